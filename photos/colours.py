"""The colours of the parts of a picture: mean and spread of each label.

    reference = PartColours.of(picture, labels, space)
    reference.mean[space.index("hair")]         # RGB in [0, 1]
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer

from configs.label_spaces import LabelSpace

FEWEST_PIXELS = 12      # that say what colour a part has
RIM = 0.008             # of the picture's side: so near to its outline a part's colours are mixed with its neighbour's


@dataclass(frozen=True)
class PartColours:
    """Of each label of a space; nan where the picture does not show the part."""

    mean: Float[np.ndarray, "labels 3"]         # RGB in [0, 1]
    spread: Float[np.ndarray, "labels 3"]       # standard deviation

    @classmethod
    def of(cls, picture: Float[np.ndarray, "height width 3"], labels: Integer[np.ndarray, "height width"],
           space: LabelSpace, inside: bool = True) -> PartColours:
        """
        Args:
            picture: RGB in [0, 1].
            labels: of `space`.
            inside: leave out what lies near a part's outline, where something is left without it.
        """
        mean, spread = np.full((2, len(space), 3), np.nan)
        for label in np.unique(labels):
            part = inner(labels == label) if inside else labels == label
            if part.sum() >= FEWEST_PIXELS:
                mean[label], spread[label] = picture[part].mean(0), picture[part].std(0)
        return cls(mean, spread)

    @property
    def shown(self) -> Bool[np.ndarray, " labels"]:
        """Which parts the picture shows."""
        return np.isfinite(self.mean.sum(1))


def inner(part: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """A part without its rim; the part itself where nothing much would be left of it."""
    width = 2 * max(1, round(RIM * len(part))) + 1
    within = cv2.erode(part.astype(np.uint8), np.ones((width, width), np.uint8), borderValue=1).astype(bool)
    return within if within.sum() >= FEWEST_PIXELS else part
