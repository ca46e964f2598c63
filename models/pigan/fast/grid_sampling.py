"""Rays -> pixels with few field evaluations: opacity along a ray is read off the bricks, only colour is evaluated.

A ray's colour is an integral over its accumulated opacity u: C = int_0^A c(t(u)) du + (1 - A) c(far). The bricks give
t(u) and A; a Gauss-Legendre rule in u gives the few depths where the field is evaluated for colour.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.pigan.fast.bricks import CELL, BrickMap
from models.pigan.fast.exact import Pixels
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import FusedField
from models.pigan.fast.kernels import constant

QUADRATURE_SIZES = (3, 4, 5, 6, 8, 10, 12, 16, 20)  # colour samples per ray
MARCH_STEPS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # from where a ray may meet something to its end
FULL_BUDGET_OPACITY = 0.2  # rays of less opacity get proportionally fewer colour samples
MIN_COLOURED_OPACITY = 1e-4  # a ray of less is not coloured, nor is its far end where less is left over for it


@functools.cache
def legendre(samples: int) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"]]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(samples)
    return torch.from_numpy((nodes + 1) / 2).float(), torch.from_numpy(weights / 2).float()


def opacity_at_steps(bricks: BrickMap, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
                     start: Float[Tensor, " rays"], end: Float[Tensor, " rays"], steps: int
                    ) -> Float[Tensor, "rays steps_plus_1"]:
    """Accumulated opacity at the borders of equal steps from `start` to `end`."""
    width = (end - start)[:, None] / steps
    depths = start[:, None] + width * (torch.arange(steps) + 0.5)
    density = bricks.lookup(torch.addcmul(origin, directions[:, None], depths[..., None]))
    return -torch.expm1(-F.pad(density.mul_(width).cumsum(1), (1, 0)))


def invert(opacity: Float[Tensor, "rays steps_plus_1"], wanted: Float[Tensor, "rays samples"]
          ) -> Float[Tensor, "rays samples"]:
    """Where the accumulated opacity reaches `wanted`, in steps from the first border."""
    index = torch.searchsorted(opacity, wanted).clamp_(1, opacity.shape[1] - 1)
    below, above = opacity.gather(1, index - 1), opacity.gather(1, index)
    return index - 1 + ((wanted - below) / (above - below).clamp_(min=1e-12)).clamp_(0, 1)


class Budget(NamedTuple):
    """How many colour samples each ray gets."""

    depth_per_sample: float  # one more for each such depth, world units, over which the ray becomes opaque
    max_samples: int


def samples_needed(depth: Float[Tensor, "*rays"], opacity: Float[Tensor, "*rays"], budget: Budget
                  ) -> Int[Tensor, "*rays"]:
    """Index into QUADRATURE_SIZES for rays that gain the middle 80 % of their opacity within `depth` world units."""
    wanted = (QUADRATURE_SIZES[1] + depth / budget.depth_per_sample).clamp(max=budget.max_samples)
    return index_of(wanted * (opacity / FULL_BUDGET_OPACITY).clamp(max=1), QUADRATURE_SIZES)


def index_of(wanted: Float[Tensor, "*rays"], numbers: tuple[int, ...]) -> Int[Tensor, "*rays"]:
    """Index of the first of these ascending numbers that is at least as great as the wanted one, or of the last."""
    return torch.bucketize(wanted, constant(numbers, wanted.device)).clamp_(max=len(numbers) - 1)


class Samples(NamedTuple):
    """Where the colour of a block of rays is evaluated; ragged, as rays differ in their number of samples."""

    ray: Int[Tensor, " samples"]
    depth: Float[Tensor, " samples"]
    weight: Float[Tensor, " samples"]


def place_samples(bricks: BrickMap, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
                  start: Float[Tensor, " rays"], end: Float[Tensor, " rays"], budget: Budget
                 ) -> tuple[Samples, Float[Tensor, " rays"]]:
    """The colour samples before the far end, and the opacity of each ray (which its weights sum to).

    `start` and `end` are those of `BrickMap.segments`.
    """
    total = torch.zeros_like(start)
    samples = [(torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.zeros(0))]
    # rays in groups of equal shape: first by the number of steps through the grid, then by that of colour samples
    steps = index_of((end - start) / (CELL / bricks.refinement), MARCH_STEPS)
    steps[end <= start] = -1
    for step in steps[steps >= 0].unique().tolist():
        group, count = (steps == step).nonzero()[:, 0], MARCH_STEPS[step]
        first, width = start[group, None], (end - start)[group, None] / count
        opacity = opacity_at_steps(bricks, origin, directions[group], first[:, 0], end[group], count)
        reached = opacity[:, -1:]
        total[group] = reached[:, 0]
        tails = invert(opacity, reached * torch.tensor([0.1, 0.9]))
        rules = samples_needed(tails.diff() * width, reached, budget)[:, 0]
        rules[reached[:, 0] < MIN_COLOURED_OPACITY] = -1
        for rule in rules[rules >= 0].unique().tolist():
            part = (rules == rule).nonzero()[:, 0]
            nodes, shares = legendre(QUADRATURE_SIZES[rule])
            depths = first[part] + invert(opacity[part], reached[part] * nodes) * width[part]
            samples.append((group[part].repeat_interleave(len(nodes)), depths.reshape(-1),
                            (reached[part] * shares).reshape(-1)))
    return Samples(*(torch.cat(values) for values in zip(*samples, strict=True))), total


@torch.no_grad()
def render_block_with_grid(
    field: FoldedField | FusedField, bricks: BrickMap, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
    start: Float[Tensor, " rays"], end: Float[Tensor, " rays"], *, budget: Budget, block: int, last_back: bool,
) -> tuple[Pixels, int]:
    """Pixels of a block of rays and the number of field evaluations they took, on a CPU.

    Args:
        bricks: of a grid that covers the camera.
        start, end: see `BrickMap.segments`.
        block: points evaluated at a time.
    """
    samples, total = place_samples(bricks, origin, directions, start, end, budget)
    left = (1 - total > MIN_COLOURED_OPACITY).nonzero()[:, 0]
    ray, depth, weight = (torch.cat(values) for values in zip(
        samples, (left, torch.full_like(total[left], bricks.far), 1 - total[left]), strict=True))
    at_far = torch.arange(len(ray)) >= len(ray) - len(left)
    rgb, opacity = directions.new_zeros(len(directions), field.channels), total.clone()
    for i in range(0, len(ray), block):
        part = slice(i, i + block)
        colour, density = field(torch.addcmul(origin, directions[ray[part]], depth[part, None]))
        # behind the far end lies an infinite interval: opaque where there is density, else left to the background
        solid = (density > 0) & at_far[part]
        opacity.index_add_(0, ray[part][solid], weight[part][solid])
        if not last_back:
            weight[part] *= solid | ~at_far[part]
        rgb.index_add_(0, ray[part], colour * weight[part, None])
    expected = torch.zeros_like(total).index_add_(0, ray, weight * depth)
    return Pixels(rgb, expected, opacity), len(ray)
