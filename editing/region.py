"""Where two label maps of one view differ: the edited region, the margin around it, and the rest, which should stay."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

MARGIN = 4 / 128  # of the margin, relative to a side: where labels stay, but colours may follow the edit
SPECKLE = 8e-5    # of a patch that differs, relative to the area: a smaller one is rounding, not drawing


class EditRegion(NamedTuple):
    """Three parts that cover a view, or some of its pixels."""

    inside: Bool[np.ndarray, "*pixels"]
    margin: Bool[np.ndarray, "*pixels"]
    outside: Bool[np.ndarray, "*pixels"]


def edit_region(before: UInt8[np.ndarray, "size size"], after: UInt8[np.ndarray, "size size"]) -> EditRegion:
    """Where two label maps differ; patches of a pixel or two (at 128 pixels a side) do not count."""
    changed = (before != after).astype(np.uint8)
    _, patches, stats, _ = cv2.connectedComponentsWithStats(changed, connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= SPECKLE * changed.size
    return region_around(changed.astype(bool) & ~small[patches])


def region_around(inside: Bool[np.ndarray, "size size"]) -> EditRegion:
    """The three parts, given the first."""
    near = grown(inside, max(round(MARGIN * len(inside)), 1))
    return EditRegion(inside, near & ~inside, ~near)


def grown(region: Bool[np.ndarray, "height width"], margin: int) -> Bool[np.ndarray, "height width"]:
    """A region and everything within `margin` pixels of it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    return cv2.dilate(region.astype(np.uint8), disc).astype(bool)
