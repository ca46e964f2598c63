"""One rendered image, with what else is known of its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from models.pigan.fast.exact import Pixels
from models.pigan.fast.kernels import to_cpu

SMALLEST_ALPHA = 1e-3  # colours of pixels with less say nothing


@dataclass(frozen=True)
class View:
    """One rendered image, on the CPU. Rows run from top to bottom."""

    rgb: Float[Tensor, "3 height width"]  # in [-1, 1]
    depth: Float[Tensor, "height width"]  # expected distance from the camera along the pixel's unit ray, world units
    opacity: Float[Tensor, "height width"]  # accumulated weight in [0, 1], before the background takes the rest
    evaluations: float  # of the field, per ray; those that made the grid are in `DensityGrid.evaluations`
    # of each label of the scene's `semantic_head.space`, in [0, 1]; None where labels were not asked for
    label_probabilities: Float[Tensor, "labels height width"] | None = None

    # where labels were asked for: colours in [0, 1], times how much of them is not background
    foreground: Float[Tensor, "3 height width"] | None = None

    @classmethod
    def of(cls, pixels: Pixels, size: int, evaluations: int) -> View:
        """From the pixels of a square image, row by row, and the number of evaluations that they took."""
        planes = to_cpu(torch.cat([(pixels.rgb * 2 - 1).t(), pixels.depth[None], pixels.opacity[None],
                            pixels.channels[:, 3:].t()])).reshape(-1, size, size)
        view = cls(planes[:3], planes[3], planes[4], evaluations / size**2)
        return replace(view, foreground=planes[5:8], label_probabilities=planes[8:]) if len(planes) > 5 else view

    @cached_property
    def labels(self) -> UInt8[Tensor, "height width"] | None:
        """The most probable label of each pixel; None where labels were not asked for."""
        return None if self.label_probabilities is None else self.label_probabilities.argmax(0).to(torch.uint8)

    @cached_property
    def rgba(self) -> Float[Tensor, "4 height width"] | None:
        """Colours of all but the background, and how much of a pixel that is (alpha, not multiplied into the colours);
        in [0, 1]. None where labels were not asked for."""
        if self.foreground is None or self.label_probabilities is None:
            return None
        alpha = 1 - self.label_probabilities[:1]
        return torch.cat([(self.foreground / alpha.clamp_min(SMALLEST_ALPHA)).clamp(0, 1), alpha.clamp(0, 1)])
