"""How a model reads its own masks: files, arrays and network input give the same scene."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint, tiny_model

from configs.label_spaces import BISENET_ORDER
from datasets.masks.files import MaskWarning
from datasets.masks.maps import MaskTransform
from datasets.masks.mask_input import MaskInput
from models.checkpoints import for_release, read_checkpoint, to_native, to_official
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError

FACE, CAT = (ROOT / "data" / name / "mask_samples/90001.png" for name in ("CelebAMask-HQ", "CatMask"))


def test_options_of_a_training_say_how_masks_are_read():
    assert MaskInput.from_opts(FACE_OPTS) == MaskInput() == MaskInput.from_opts({})
    assert MaskInput.from_opts(CAT_OPTS) == MaskInput("CatMask", transform=MaskTransform(crop=False))
    apart = {"use_merged_labels": False, "use_contour": False, "input_nc": 19, "src_input_size": 96}
    assert MaskInput.from_opts(apart) == MaskInput(merged=False, use_contour=False,
                                                   transform=MaskTransform(input_size=96))
    cats = MaskInput.from_opts({"dataset_type": "celebahq_seg_to_3dface", "pigan_curriculum_type": "PseudoCats"})
    assert cats.label_space == "CatMask"
    with pytest.raises(UserError, match=r"18 channels here .*, the network reads 20"):
        MaskInput.from_opts({**FACE_OPTS, "input_nc": 20})


@pytest.mark.parametrize("tag, expected", [("celebahq", MaskInput()),
                                           ("catmask", MaskInput("CatMask", transform=MaskTransform(crop=False)))])
def test_official_options(tag, expected):
    import make_checkpoint

    assert MaskInput.from_opts(make_checkpoint.build(tag)["opts"]) == expected


def test_it_is_plain_data():
    reader = MaskInput(merged=False, label_order="bisenet", transform=MaskTransform(300, 200, 64))
    assert MaskInput.from_dict(json.loads(json.dumps(reader.to_dict()))) == reader
    for broken in ({}, {**reader.to_dict(), "colour": 1}, {**reader.to_dict(), "transform": {"load_size": "x"}},
                   {**reader.to_dict(), "label_space": "Dogs"}, {**reader.to_dict(), "label_order": "random"}):
        with pytest.raises(UserError, match=r"entry 'input'|label space Dogs|`label_order` random"):
            MaskInput.from_dict(broken)


@pytest.mark.parametrize("opts, path", [(FACE_OPTS, FACE), (CAT_OPTS, CAT)])
def test_files_arrays_and_network_input_are_one_scene(opts, path):
    net = tiny_model(opts)
    labels = np.asarray(Image.open(path))
    x = net.read(path)
    assert x.shape == (opts["input_nc"], 224, 224)
    assert torch.equal(net.read(str(path)), x)
    assert torch.equal(net.read(labels), x)
    assert torch.equal(net.read(torch.from_numpy(labels.astype(np.int64))), x)
    codes = [net.scene(mask, style_seed=3, style_layers=[7, 8]).codes
             for mask in (path, str(path), labels, torch.from_numpy(labels.copy()), x, x.numpy())]
    for other in codes[1:]:
        assert torch.equal(other.frequencies, codes[0].frequencies)
    assert not torch.equal(net.scene(path).codes.frequencies, codes[0].frequencies)
    with pytest.raises(ValueError, match=r"shape \(\d+, 224, 224\), got \(3, 8, 8\)"):
        net.scene(torch.zeros(3, 8, 8))


def test_arrays_are_numbered_like_files():
    right = np.asarray(Image.open(FACE))
    bisenet = np.argsort(BISENET_ORDER)[right]
    assert torch.equal(MaskInput(label_order="bisenet").read(bisenet), MaskInput().read(right))
    with pytest.warns(MaskWarning, match="mask: the parts lie as if the labels were in bisenet order"):
        MaskInput().read(bisenet)


@pytest.mark.parametrize("spoil, words", [
    (lambda mask: mask * 0, "mask: the mask is empty"), (lambda mask: mask + 1, "labels out of range"),
    (lambda mask: mask.astype(int) - 1, "holds no labels"), (lambda mask: mask[:0], "holds no labels"),
    (lambda mask: np.where(mask == 13, mask, 0), "shows no face"),
    (lambda mask: np.pad(mask[200:320, 200:320], 600), "shows no face"),
])
def test_arrays_that_are_no_masks(spoil, words):
    with pytest.raises(UserError, match=words):
        MaskInput().read(spoil(np.asarray(Image.open(FACE))))


def test_odd_masks_are_warned_of(tmp_path):
    mask = np.asarray(Image.open(FACE))
    with pytest.warns(MaskWarning, match="mask: 512 x 400 pixels are squeezed"):
        MaskInput().read(mask[:400])
    Image.fromarray((mask == 1).astype(np.uint8)).save(tmp_path / "skin.png")
    with pytest.warns(MaskWarning, match=r"skin\.png: the only part besides the background is skin"):
        MaskInput().read(tmp_path / "skin.png")


def test_a_face_outside_the_crop_is_refused():
    mask = np.zeros((500, 500), np.uint8)
    mask[:, :45] = 1  # 9% of the image, of which the central four fifths show nothing
    with pytest.raises(UserError, match="empty in the part that the network sees"), pytest.warns(MaskWarning):
        MaskInput().read(mask)


def test_painted_shows_what_the_network_sees():
    reader = MaskInput()
    labels = reader.labels(FACE)
    planes = reader.prepare(labels)
    seen = np.asarray(reader.network_space.palette, np.uint8)[planes.label]
    np.testing.assert_array_equal(reader.painted(planes, 224), seen)
    for size in (64, 300):  # nearest pixels of the network's square, as in the release
        expected = torch.nn.functional.interpolate(torch.from_numpy(seen).permute(2, 0, 1)[None].float(), size=size)
        np.testing.assert_array_equal(reader.painted(planes, size), expected[0].permute(1, 2, 0).numpy())


def test_a_checkpoint_says_how_its_masks_are_read(tmp_path):
    """Training, release and conversion write it down; for official and older files it follows from their options."""
    older = read_checkpoint(tiny_checkpoint(tmp_path / "older.pt"))
    assert "input" not in older
    own = {**older, "input": MaskInput(label_order="bisenet").to_dict()}
    for changed in (own, for_release(own), to_native(to_official(own))):
        assert Sem2NeRF.from_contents(changed, "net.pt").input == MaskInput(label_order="bisenet")
    for changed in (for_release(older), to_native(to_official(older))):
        assert MaskInput.from_dict(changed["input"]) == MaskInput()
    with pytest.raises(UserError, match=r"odd\.pt: .*'input' does not say how masks are read"):
        Sem2NeRF.from_contents({**older, "input": {"label_space": "CelebAMask_HQ"}}, "odd.pt")
