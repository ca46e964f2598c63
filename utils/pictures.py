"""Rows of pictures, written as PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from utils.files import atomic_path


def row(pictures: Sequence[UInt8[np.ndarray, "height width 3"]]) -> UInt8[np.ndarray, "height total 3"]:
    """Pictures of one size, side by side."""
    return np.concatenate(list(pictures), axis=1)


def stack_rows(rows: Sequence[Sequence[UInt8[np.ndarray, "height width 3"]]]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Rows of pictures of one size, one below the other; shorter rows end in white."""
    longest, blank = max(map(len, rows)), np.full_like(rows[0][0], 255)
    return np.concatenate([row([*pictures, *[blank] * (longest - len(pictures))]) for pictures in rows])


def resize(picture: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resampled to size x size (area-weighted when it shrinks)."""
    if picture.shape[:2] == (size, size):
        return picture
    return np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


def save_png(path: str | Path, picture: UInt8[np.ndarray, "height width 3"]) -> Path:
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return Path(path)
