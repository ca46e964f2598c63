"""Shared fixtures: the reference data (golden numbers of the official code), where it is present."""

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
