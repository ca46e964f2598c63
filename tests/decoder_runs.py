"""Runs of commands that train a decoder, in this process, and what their checkpoints say."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from tiny_training import paint_head


def paint_images(folder: Path, count: int, size: int = 32) -> Path:
    """A folder of painted heads, PNG."""
    folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), paint_head(index, size)[1][..., ::-1])
    return folder


def contents(exp_dir: Path, name: str = "latest_model.pt") -> dict:
    return torch.load(Path(exp_dir) / "checkpoints" / name, weights_only=True)


def resume_from_milestone(main: Callable, exp_dir: Path, step: int, folder: Path) -> dict:
    """Go on from iteration_<step>.pt of a finished run of a command, in another folder, to the same end; its last
    checkpoint."""
    shutil.copytree(exp_dir, folder, ignore=lambda _, names: {
        name for name in names if name.endswith((".pt", ".pth")) and name != f"iteration_{step}.pt"})
    main([f"--exp_dir={folder}", "--auto_resume", "--device=cpu"])
    return contents(folder)


def assert_same(one, other, path="checkpoint"):
    """Bit for bit, whatever is nested in what."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for index, (a, b) in enumerate(zip(one, other)):
            assert_same(a, b, f"{path}/{index}")
    else:
        assert one == other, path


def assert_same_run(one: dict, other: dict) -> None:
    """All but the options, which hold the folder's name, and global generators, of which training draws nothing."""
    assert_same(*({key: value for key, value in run.items() if key not in ("opts", "rng")} for run in (one, other)))


def assert_same_way(before: dict, one: dict, other: dict, share: float = 5e-4) -> None:
    """Two states are the same up to rounding, as a share of the way that training has brought them.

    Only the order of sums differs, which is worth 5e-5 of the way. It is the way of all weights together: Adam divides
    a gradient by its own size, so a weight whose gradient is nothing but rounding may go another way than its twin.
    """
    moved = sum((one[key] - before[key]).abs().sum() for key in one)
    apart = sum((one[key] - other[key]).abs().sum() for key in one)
    assert moved > 0
    assert apart < share * moved, f"{float(apart):.3g} apart after moving {float(moved):.3g}"
