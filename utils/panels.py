"""Images to follow a training by: one row per sample, one column per thing to compare, captions above."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from utils.images import colour_labels, to_uint8

Image = UInt8[np.ndarray, "_ _ 3"]
GAP, CAPTION = 4, 18  # pixels
PAPER, INK = 255, (40, 40, 40)


def mask_image(label: UInt8[Tensor, "size size"], palette: tuple[tuple[int, int, int], ...]) -> Image:
    """A mask in the colours of its label table."""
    return colour_labels(label.cpu().numpy(), palette)


def photo_image(image: Float[Tensor, "3 height width"]) -> Image:
    """An RGB image in [-1, 1] (cut off outside)."""
    return to_uint8(image)


def with_frame(image: Image, grid: Float[Tensor, "rows columns 2"]) -> Image:
    """`image` with the outline of a patch on it."""
    corners = (grid[[0, -1], [0, -1]].cpu().numpy() + 1) / 2 * (np.array(image.shape[1::-1]) - 1)
    (left, top), (right, bottom) = corners.round().astype(int).tolist()
    thickness = max(1, image.shape[0] // 128)
    return cv2.rectangle(image.copy(), (left, top), (right, bottom), (255, 255, 0), thickness)


def panel(captions: Sequence[str], rows: Sequence[Sequence[Image]], side: int) -> Image:
    """Images in rows under captions, each brought to `side` x `side` pixels (nearest when enlarged)."""
    step = side + GAP
    out = np.full((CAPTION + len(rows) * step, len(captions) * step + GAP, 3), PAPER, np.uint8)
    for column, caption in enumerate(captions):
        place = (GAP + column * step, CAPTION - 5)
        cv2.putText(out, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            way = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_NEAREST
            top, left = CAPTION + row * step, GAP + column * step
            out[top:top + side, left:left + side] = cv2.resize(image, (side, side), interpolation=way)
    return out
