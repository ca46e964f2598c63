"""Extreme training poses: views far to a side, above or below, for which no photograph is a target.

In some training steps the head is turned away from its photograph's pose and only the discriminator judges the image
(the region-aware strategy of "Sem2NeRF", ECCV 2022): what the photograph never shows gets a training signal too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from models.pigan.cameras import FRONTAL


@dataclass(frozen=True)
class ExtremePoseRanges:
    """Least and greatest distance from the frontal view, in radians, per axis (see `configs.category.DataConfig`)."""

    yaw: tuple[float, float]
    pitch: tuple[float, float]


def draw_extreme_poses(ranges: ExtremePoseRanges, batch: int, rng: np.random.Generator | np.random.RandomState
                       ) -> Float[np.ndarray, "{batch} 2"]:
    """Draw `batch` poses (yaw, pitch), in radians; each is extreme along one axis and frontal along the other.

    A pool of `batch` poses turned to each of the four sides (yaw down, yaw up, pitch down, pitch up) is drawn first,
    then `batch` picks from the pool, with replacement: `rng` is consumed as by the code released with the paper.
    """
    sides = []
    for axis, (least, most) in enumerate((ranges.yaw, ranges.pitch)):
        for low, high in ((-most, -least), (least, most)):
            side = np.full((batch, 2), FRONTAL)
            side[:, axis] += rng.uniform(low, high, batch)
            sides.append(side)
    return np.concatenate(sides)[rng.choice(4 * batch, batch)]
