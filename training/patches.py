"""Which rays of an image are trained: a square grid of random size and place.

Rendering a whole image in a training step is too costly, so a step renders `resolution` x `resolution` rays picked by a
regular grid that covers the image at a random scale: a large scale sees the whole head coarsely, a small one sees a
detail finely. The smallest allowed scale shrinks as training goes on (Schwarz et al., "GRAF", NeurIPS 2020).

    config = PatchConfig(min_scale=0.125, scale_anneal=0.0019)
    grid = draw_patches(config, resolution=128, iteration=step, batch=2, generator=generator)
    target = sample_image(image, grid)  # of models.pigan.cameras, as are the rays: patch_rays
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from utils.errors import UserError

ANNEALED_MIN_SCALE_CAP = 0.9  # an annealed smallest scale always leaves some room to vary


@dataclass(frozen=True)
class PatchConfig:
    """How patches are drawn. Scales are fractions of the image's side, 0 < min_scale <= max_scale <= 1."""

    min_scale: float = 0.125  # reached at the end of the annealing
    max_scale: float = 1.0
    scale_anneal: float = 0.0  # rate at which the smallest scale decays; 0: it is min_scale from the start
    random_shift: bool = True  # False: every patch is centred
    shift: Literal["free", "diagonal"] = "free"  # see `draw_patches`

    def __post_init__(self):
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise UserError(f"`ray_min_scale` {self.min_scale} `ray_max_scale` {self.max_scale}: needs 0 < smallest <= "
                            "greatest <= 1 (1 is the whole image)")


def min_scale_at(config: PatchConfig, iteration: int) -> float:
    """Smallest patch scale at an iteration: it falls, every 1000 iterations, from `max_scale` (or .9) on."""
    if config.scale_anneal <= 0:
        return config.min_scale
    decayed = config.max_scale * math.exp(-3 * (iteration // 1000) * config.scale_anneal)
    return min(max(config.min_scale, decayed), ANNEALED_MIN_SCALE_CAP)


def patch_grid(resolution: int, scale: Float[Tensor, " batch"], shift_x: Float[Tensor, " batch"],
               shift_y: Float[Tensor, " batch"]) -> Float[Tensor, "batch {resolution} {resolution} 2"]:
    """Grids of (x, y) image coordinates: -1 is the centre of the first pixel (left, top), 1 that of the last.

    Args:
        resolution: rays along each side.
        scale: half the side of the patch in those coordinates (1: the whole image).
        shift_x, shift_y: centre of the patch, at most 1 - scale away from 0.
    """
    line = torch.linspace(-1, 1, resolution, dtype=scale.dtype, device=scale.device)
    x = line * scale[:, None] + shift_x[:, None]
    y = line * scale[:, None] + shift_y[:, None]
    return torch.stack([x[:, None, :].expand(-1, resolution, -1), y[:, :, None].expand(-1, -1, resolution)], dim=-1)


def draw_patches(config: PatchConfig, resolution: int, iteration: int, batch: int, generator: torch.Generator
                 ) -> Float[Tensor, "batch {resolution} {resolution} 2"]:
    """Draw one patch grid per sample (on the CPU, where `generator` lives).

    `shift="free"`: every sample has its own scale, and its own shift along x and along y. A sample consumes three
    numbers of the generator, in order, so that a batch equals as many batches of one drawn one after the other.
    `shift="diagonal"`: what the code released with the paper does. The batch shares one scale and one distance, and
    a sample moves by the same signed distance along x and y, so that only the diagonal of the image is ever visited.
    """
    smallest = min_scale_at(config, iteration)
    if config.shift == "diagonal":
        scale = torch.empty(1).uniform_(smallest, config.max_scale, generator=generator).expand(batch)
        if not config.random_shift:
            return patch_grid(resolution, scale, torch.zeros(batch), torch.zeros(batch))
        distance = torch.empty(1).uniform_(0, 1 - scale[0].item(), generator=generator)
        sign = torch.randint(2, (batch,), generator=generator) * 2 - 1
        return patch_grid(resolution, scale, distance * sign, distance * sign)

    draws = torch.rand(batch, 3, generator=generator)
    scale = smallest + (config.max_scale - smallest) * draws[:, 0]
    shift = (1 - scale[:, None]) * (2 * draws[:, 1:] - 1) * float(config.random_shift)
    return patch_grid(resolution, scale, shift[:, 0], shift[:, 1])
