"""scripts/reproduce_paper.py: what it says is missing, and CelebAMask-HQ from beginning to end at a tiny size."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from tiny import FACE_OPTS, tiny_checkpoint
from tiny_training import make_data

from configs.label_spaces import LABEL_SPACES
from datasets.split import list_digest
from scripts import reproduce_paper
from utils.errors import UserError

OPTS = {**FACE_OPTS, "src_input_size": 64, "image_load_size": 320, "image_crop_size": 256}
SMALL = ["--test_output_size=16", "--pigan_infer_ray_step=4", "--workers=1", "--device=cpu"]


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A working folder with nothing in it, and no AlexNet anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("criteria.perceptual.PRETRAINED_MODELS", tmp_path / "pretrained_models")
    return tmp_path


def test_says_what_is_missing(bare, capsys):
    reproduce_paper.main(["--dataset=celebahq", "--check"])
    said = capsys.readouterr().out.splitlines()
    for part in ("sem2nerf_celebahq_pretrained.pt", "CelebAMask-HQ-mask-anno", "CelebAMask-HQ-pose-anno.txt",
                 "CelebA-HQ-img", "weights-inception-2015-12-05-6726825d.pth", "alexnet-owt-7be5be79.pth",
                 "79999_iter.pth", "train_paths.txt", "val_paths.txt", "test_paths.txt"):
        (line,) = [line for line in said if part in line.partition(":")[0]]
        assert line.startswith("MISSING")
        assert "<- https://" in line
    with pytest.raises(UserError, match=r"4 of the files above cannot be done without, first .*celebahq_pretr"):
        reproduce_paper.main(["--dataset=celebahq"])
    assert not list(bare.iterdir())


def test_celebahq_from_part_masks(bare, capsys):
    """The user's own files in place (painted heads stand in for them), networks that measure missing."""
    root = make_data(bare / "data/CelebAMask-HQ", 4)
    parts = root / "CelebAMask-HQ-mask-anno/0"
    parts.mkdir(parents=True)
    names = LABEL_SPACES["CelebAMask_HQ"].labels
    for path in (root / "mask").glob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        for label in set(mask.ravel().tolist()) - {0}:
            cv2.imwrite(str(parts / f"{int(path.stem):05d}_{names[label]}.png"), (mask == label) * np.uint8(255))
    shutil.rmtree(root / "mask")
    tiny_checkpoint(bare / "pretrained_models/sem2nerf_celebahq_pretrained.pt", OPTS)
    reproduce_paper.main(["--dataset=celebahq", *SMALL])
    table = (bare / "out/reproduce_celebahq/table.md").read_text()
    for row in ("| pix2pixHD, published, CelebAMask-HQ | 67.32 | 1.72 |",
                "| pSp, published, CelebAMask-HQ | 55.56 | 1.74 |",
                "| Sem2NeRF, published, CelebAMask-HQ | 41.52 | 2.03 |",
                "| this project, sem2nerf_celebahq_pretrained.pt, CelebAMask-HQ, own split (own_test_paths.txt) | "
                "not measured | not measured |"):
        assert row in table
    assert "does not publish its exact protocol" in table
    assert "PSNR to the true image" in table
    assert "mIoU" not in table, "no face segmenter for photographs is there"
    assert "- masks: CelebAMask-HQ, own split (own_test_paths.txt)" in table
    assert f"- split sha256: {list_digest(root / 'own_test_paths.txt')}" in table
    assert "the authors' weights were trained on most of these faces" in table
    assert "the authors' weights were trained on most of these faces" in capsys.readouterr().out
