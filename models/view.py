"""One rendered image, with what else is known of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from models.pigan.fast.exact import Pixels
from models.pigan.fast.kernels import to_cpu


@dataclass(frozen=True)
class View:
    """One rendered image, on the CPU. Rows run from top to bottom."""

    rgb: Float[Tensor, "3 height width"]  # in [-1, 1]
    depth: Float[Tensor, "height width"]  # expected distance from the camera along the pixel's unit ray, world units
    opacity: Float[Tensor, "height width"]  # accumulated weight in [0, 1], before the background takes the rest
    evaluations: float  # of the field, per ray; those that made the grid are in `DensityGrid.evaluations`
    # of each label of the scene's `semantic_head.space`, in [0, 1]; None where labels were not asked for
    label_probabilities: Float[Tensor, "labels height width"] | None = None

    @classmethod
    def of(cls, pixels: Pixels, size: int, evaluations: int) -> View:
        """From the pixels of a square image, row by row, and the number of evaluations that they took."""
        planes = to_cpu(torch.cat([(pixels.rgb * 2 - 1).t(), pixels.depth[None], pixels.opacity[None],
                                   pixels.channels[:, 3:].t()])).reshape(-1, size, size)
        return cls(planes[:3], planes[3], planes[4], evaluations / size**2, planes[5:] if len(planes) > 5 else None)

    @cached_property
    def labels(self) -> UInt8[Tensor, "height width"] | None:
        """The most probable label of each pixel; None where labels were not asked for."""
        return None if self.label_probabilities is None else self.label_probabilities.argmax(0).to(torch.uint8)
