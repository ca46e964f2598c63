"""Data sets as people have them: unusable files, other label orders, photographs of every kind."""

import shutil
from argparse import Namespace

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from tiny_training import make_data

from configs.data_configs import data_config
from configs.label_spaces import BISENET_ORDER
from datasets.masks.files import read_mask
from datasets.masks.maps import MaskTransform
from datasets.photographs import open_photograph
from datasets.training_set import ImagesDataset3D, ImagesOptions
from evaluation.test_set import EvaluationSet
from models.config import with_options
from options.train_options import parse
from pretraining.image_folder import ImageFolder
from training import build
from training.extension import Extension
from training.runtime.processes import World
from training.size_schedule import Stage
from utils.errors import UserError

FACES = data_config("celebahq_seg_to_3dface")
ALONE = World(torch.device("cpu"))
SAMPLE = ROOT / "data/CelebAMask-HQ/mask_samples/90001.png"


def build_data(root, *options, world=ALONE):
    """Both sides of a training, and what was reported."""
    said = []
    opts = parse(["--exp_dir=x", f"--data_root={root}", "--use_merged_labels", "--use_contour", "--output_size=32",
                  "--src_input_size=32", "--map_cache=none", *options])
    opts = build.resolve_options(Namespace(**vars(opts)), (Stage(0, 32, 32),))
    return build.build_data(opts, Extension(), said.append, world), said


@pytest.fixture
def root(tmp_path):
    return make_data(tmp_path / "faces", count=6)


# ---- before the first step ---------------------------------------------------------------------------------------

def test_masks_without_a_face_are_left_out_and_named(root):
    for number, labels in ((2, np.zeros((64, 64), np.uint8)), (4, np.full((64, 64), 13, np.uint8))):
        cv2.imwrite(str(root / "mask" / f"{number}.png"), labels)
    data, said = build_data(root)
    assert [path.stem for path in data.train.masks] == ["1", "3", "5"]
    assert len(data.train) == 3
    assert "left out, since they show no face (or too little of one): 2.png, 4.png" in said


def test_the_parts_that_processes_check_make_the_same_data_set(root, monkeypatch):
    """Each of two processes reads every other mask; both leave out what either has found."""
    cv2.imwrite(str(root / "mask" / "1.png"), np.zeros((64, 64), np.uint8))
    monkeypatch.setattr(World, "gather", lambda self, value: [value, ([(root / "mask/2.png", "no face", True)], [])])
    data, _ = build_data(root, world=World(torch.device("cpu"), rank=0, size=2))
    names = {path.stem for path in data.train.masks}
    assert "2" not in names
    assert names <= {"1", "3", "4", "5"}


def test_all_unusable_files_are_named_at_once(root):
    (root / "mask" / "1.png").write_bytes((root / "mask" / "1.png").read_bytes()[:99])
    (root / "CelebA-HQ-img" / "3.jpg").write_bytes((root / "CelebA-HQ-img" / "3.jpg").read_bytes()[:500])
    (root / "CelebA-HQ-img" / "4.jpg").write_text("a web page")
    with pytest.raises(UserError) as caught:
        build_data(root)
    text = str(caught.value)
    assert all(name in text for name in ("1.png: this mask cannot be read", "3.jpg: this photograph cannot be read",
                                         "4.jpg: this photograph cannot be read", "3 files in all"))
    assert "its mask off the list" in text
    assert "\n" not in text


def test_a_data_set_without_faces_is_refused(root):
    for path in (root / "mask").glob("*.png"):
        cv2.imwrite(str(path), np.full((64, 64), 13, np.uint8))
    with pytest.raises(UserError, match=r"0\.png: the mask shows no face.*\(6 of 6 masks are like this\)"):
        build_data(root)


# ---- label orders ------------------------------------------------------------------------------------------------

@pytest.fixture
def bisenet(root):
    """The data set in BiSeNet's order, and its labels in ours."""
    labels = read_mask(SAMPLE, FACES.label_space)
    for path in (root / "mask").glob("*.png"):
        Image.fromarray(np.argsort(BISENET_ORDER).astype(np.uint8)[labels]).save(path)
    return root


def test_training_takes_the_remedy_of_its_own_warning(bisenet):
    _, said = build_data(bisenet)
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "use `label_order` bisenet (and 5 more like this)" in warning
    data, said = build_data(bisenet, "--label_order=bisenet")
    assert not [line for line in said if line.startswith("warning")]
    shutil.copy(SAMPLE, bisenet / "mask" / "1.png")
    right, _ = build_data(bisenet)
    first = [path.stem for path in right.train.masks].index("1")
    assert torch.equal(data.train[1]["label"], right.train[first]["label"])


def test_evaluation_reads_the_order_too(bisenet):
    """Labels of the truth, and how the model reads its masks."""
    data = EvaluationSet.find(bisenet, FACES)
    wrong, right = (data.truth(MaskTransform(), 32, label_order=order)[0]["label"]
                    for order in ("celebamask", "bisenet"))
    assert not torch.equal(wrong, right)
    order = bisenet / "order.txt"
    order.write_text("\n".join(FACES.label_space.labels[label] for label in BISENET_ORDER))
    asked = with_options({"opts": {"dataset_type": FACES.name}}, {"label_order": str(order)}, "x.pt")
    assert asked["input"]["label_order"].startswith("background,skin,l_brow")


def test_the_old_name_of_the_cats(tmp_path):
    """In a checkpoint's options and on the command line, alone or both."""
    cats = data_config("catmask_seg_to_3dface")
    assert data_config("pseudocats_seg_to_3dface") is cats
    old = {"dataset_type": "pseudocats_seg_to_3dface", "pigan_curriculum_type": "PseudoCats"}
    for opts, answers in ((old, {}), (old, old), ({**old, "dataset_type": cats.name}, old),
                          (old, {"dataset_type": cats.name, "pigan_curriculum_type": "CatMask"})):
        asked = with_options({"opts": opts}, answers, "x.pt")
        assert asked["opts"]["dataset_type"] == cats.name
        assert asked["input"]["label_space"] == "CatMask"


# ---- photographs -------------------------------------------------------------------------------------------------

def first_image(root):
    options = ImagesOptions(MaskTransform(80, 64, 32), output_size=48)
    return ImagesDataset3D(root, FACES, [root / "mask" / "0.png"], options)[0]["image"].float()


@pytest.mark.parametrize("tag, turn", [(3, 2), (6, 1), (8, 3)])
def test_turned_by_a_tag(root, tag, turn):
    """The camera stored the picture turned, and a tag that says how: everywhere it is read upright."""
    path = root / "CelebA-HQ-img" / "0.jpg"
    expected, upright = first_image(root), Image.open(path).convert("RGB")
    exif = upright.getexif()
    exif[0x0112] = tag
    Image.fromarray(np.rot90(np.asarray(upright), turn)).save(path, exif=exif, quality=95)
    assert (first_image(root) - expected).abs().mean() < 2
    folder = ImageFolder(root / "CelebA-HQ-img")
    stored = np.asarray(upright.resize((16, 16), Image.Resampling.BILINEAR)).astype(float).transpose(2, 0, 1)
    assert np.abs(folder.read(0, 16).numpy() - stored).mean() < 4


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(tmp_path, channels):
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    cv2.imwrite(str(tmp_path / "1.png"), np.repeat(grey[..., None], channels, -1))
    found = np.asarray(open_photograph(tmp_path / "1.png")).astype(int)
    assert np.abs(found - grey[..., None] / 257).max() <= 1


def test_folders_of_a_thousand(root):
    expected = first_image(root)
    for number in range(6):
        place = root / "CelebA-HQ-img" / f"{number // 2:05d}"
        place.mkdir(exist_ok=True)
        (root / "CelebA-HQ-img" / f"{number}.jpg").rename(place / f"{number:05d}.jpg")
    assert torch.equal(first_image(root), expected)
    assert len(ImageFolder(root / "CelebA-HQ-img")) == 6


def test_two_photographs_of_one_number(root):
    shutil.copy(root / "CelebA-HQ-img" / "0.jpg", root / "CelebA-HQ-img" / "00000.png")
    with pytest.raises(UserError, match=r"CelebA-HQ-img: 0\.jpg and 00000\.png are both photograph 0; keep the one"):
        first_image(root)


def test_a_photograph_that_is_not_square(root):
    path = root / "CelebA-HQ-img" / "2.jpg"
    Image.open(path).resize((128, 96)).save(path)
    _, said = build_data(root)
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "2.jpg: 128 x 96 pixels are squeezed into a square" in warning


def test_masks_in_folders_inside(root):
    (root / "mask" / "part").mkdir()
    for number in (3, 4):
        (root / "mask" / f"{number}.png").rename(root / "mask" / "part" / f"{number}.png")
    data, _ = build_data(root)
    assert [path.stem for path in data.train.masks] == ["1", "2", "5", "3", "4"]
    assert data.train.poses[3] == pytest.approx(data.train.poses[3])
