"""Images as arrays of bytes and as the network's floats: back and forth, painted, side by side, written as PNG.

Arrays of bytes are (height, width, 3), 0..255; network images are (channels, height, width), floats in [-1, 1].
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image
from torch import Tensor

from utils.errors import UserError
from utils.files import atomic_path


def from_bytes(image: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """0..255 -> [-1, 1], any shape; `to_uint8` gives the same bytes back."""
    return (image.float() / 255 - 0.5) / 0.5


def colour_labels(labels: UInt8[np.ndarray, "height width"], palette: tuple[tuple[int, int, int], ...],
                  ) -> UInt8[np.ndarray, "height width 3"]:
    """Paint every label in its colour; `palette` is that of the labels' own space (merged or not)."""
    return np.array(palette, np.uint8)[labels]


def overlay(image: UInt8[np.ndarray, "height width 3"], mask: UInt8[np.ndarray, "height width 3"], weight: float,
            ) -> UInt8[np.ndarray, "height width 3"]:
    """The coloured mask laid over a image of the same size: (1 - weight) image + weight mask, rounded.

    Raises:
        UserError: the weight is not in 0..1.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"`mask_overlay_weight` {weight}: give a weight from 0 (image only) to 1 (mask only)")
    return cv2.addWeighted(image, 1 - weight, mask, weight, 0)


def to_uint8(image: Float[Tensor, "channels height width"]) -> UInt8[np.ndarray, "height width channels"]:
    """[-1, 1] -> 0..255, rounded to the nearest; values outside are cut off.

    The range is fixed, never the image's own minimum and maximum, so that colours compare between images.
    """
    scaled = (image.detach().float().clamp(-1, 1) + 1) / 2 * 255
    return (scaled + 0.5).byte().permute(1, 2, 0).contiguous().cpu().numpy()


def to_tensor(image: UInt8[np.ndarray, "height width channels"]) -> Float[Tensor, "channels height width"]:
    """0..255 -> [-1, 1]; `to_uint8` gives the same bytes back."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))


def row(images: Sequence[UInt8[np.ndarray, "height width 3"]]) -> UInt8[np.ndarray, "height total 3"]:
    """Images of one size, side by side."""
    return np.concatenate(list(images), axis=1)


def stack_rows(rows: Sequence[Sequence[UInt8[np.ndarray, "height width 3"]]]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Rows of images of one size, one below the other; shorter rows end in white."""
    longest, blank = max(map(len, rows)), np.full_like(rows[0][0], 255)
    return np.concatenate([row([*images, *[blank] * (longest - len(images))]) for images in rows])


def resize(image: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resampled to size x size (area-weighted when it shrinks)."""
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))


def resize_labels(labels: UInt8[np.ndarray, "height width"], size: int) -> UInt8[np.ndarray, "size size"]:
    """The nearest labels, size x size, as PyTorch's interpolate chooses them."""
    rows, columns = (np.arange(size) * length // size for length in labels.shape)
    return labels[np.ix_(rows, columns)]


def save_png(path: str | Path, image: UInt8[np.ndarray, "height width *channels"] | UInt16[np.ndarray, "height width"]
             ) -> Path:
    """Write a PNG atomically: grey or labels (also of 16 bits), colours, or colours and alpha."""
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
    return Path(path)
