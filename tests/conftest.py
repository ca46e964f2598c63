"""Shared fixtures: the reference data (golden numbers of the official code); and nothing that a
test starts stays."""

import faulthandler
import os
import shutil
import sys
import time
from pathlib import Path

# before PyTorch is imported: with a worker of pytest-xdist on every core, each has one thread, and what waits sleeps
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pretend_device
import pytest
import torch
from browsers import chromium, open_page  # noqa: F401 - fixtures
from child_processes import end, end_started, leftovers

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
GOLDEN = ROOT / "tests" / "golden"
sys.path.append(str(GOLDEN))  # golden_values.py regenerates weights, inputs and random draws from their names

SECONDS_TO_LEAVE = 120
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton asks when it is imported: kernels run on the CPU, slowly and exactly


@pytest.fixture(scope="session", autouse=True)
def nothing_stays():
    """The whole run: fails, and ends what is left, if a process that a test has started is still there."""
    yield
    patience = time.monotonic() + 15  # loader processes look every five seconds whether theirs was killed
    while (alive := leftovers()) and time.monotonic() < patience:
        time.sleep(0.2)
    found = [str(process) for process in alive]
    end(alive)
    assert not found, f"still running at the end of the tests: {found}"


@pytest.fixture(autouse=True)
def nothing_started_stays():
    """Every test: whatever it started through `child_processes` or `launching` ends with it."""
    yield
    end_started()


def pytest_collection_finish(session):
    """Where a test asks for the pretended device: before any gradient is computed, as autograd counts devices once."""
    if any("pretend" in getattr(item, "fixturenames", ()) for item in session.items):
        pretend_device.enable()


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU here")


def pytest_unconfigure():
    """Should Python not find its end (it waits for threads and for processes), say where, and end."""
    faulthandler.dump_traceback_later(SECONDS_TO_LEAVE, exit=True, file=sys.__stderr__)


@pytest.fixture
def pretend():
    """A device made of Python in place of a GPU: `pretend.device`, `pretend.counting()`; see `pretend_device.py`."""
    if reason := pretend_device.why_not():
        pytest.skip(reason)
    with pretend_device.entered() as device:
        yield device


@pytest.fixture(scope="session")
def golden():
    """`golden('poses')` -> the arrays of poses.npz."""
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
