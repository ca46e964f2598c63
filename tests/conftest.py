"""Shared fixtures: the reference data (golden numbers of the official code), where it is present."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDEN = SHARED / "golden"

if GOLDEN.is_dir():
    sys.path.append(str(GOLDEN))  # golden_values.py regenerates weights, inputs and random draws from their names


@pytest.fixture(scope="session")
def golden():
    """`golden('poses')` -> the arrays of poses.npz; the test is skipped where the reference data is not there."""
    if not GOLDEN.is_dir():
        pytest.skip("reference data not present")

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    return load


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A small face checkpoint, of iteration 500 by its name."""
    from tiny import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny_model_500.pt")


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Path:
    """A folder of three face masks, two of them of one head, with a pose file."""
    folder = tmp_path_factory.mktemp("masks") / "mask"
    folder.mkdir()
    for name in ("90001.png", "90002.png", "90001_hair.png", "CelebAMask-HQ-pose-anno.txt"):
        shutil.copy(ROOT / "data/CelebAMask-HQ/mask_samples" / name, folder / name)
    return folder
