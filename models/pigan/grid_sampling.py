"""Rays -> pixels with few field evaluations: a density grid says how much light each part of a ray adds, the field
says in what colour.

A ray's colour is an integral over its accumulated opacity u: C = int_0^A c(t(u)) du + (1 - A) c(far). The grid gives
t(u) and A; a Gauss-Legendre rule in u gives the few depths where the colour is evaluated.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.pigan.density_grid import CELL, DensityGrid
from models.pigan.folded import FoldedField
from models.pigan.generator import Pixels

RULES = (3, 4, 5, 6, 8, 10, 12, 16)  # colour samples a ray
SPREAD = 0.01  # depth, world units, that calls for one more colour sample
FAINT = 0.2  # rays of less opacity get proportionally fewer
MAX_STEPS = 512
CLEAR = 1e-4  # less opacity, or less left over, is not coloured


def legendre(samples: int) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"]]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(samples)
    return torch.from_numpy((nodes + 1) / 2).float(), torch.from_numpy(weights / 2).float()


def opacity_at_steps(
    grid: DensityGrid,
    origin: Float[Tensor, "3"],
    directions: Float[Tensor, "rays 3"],
    start: Float[Tensor, " rays"],
    end: Float[Tensor, " rays"],
    steps: int,
) -> Float[Tensor, "rays steps_plus_1"]:
    """Accumulated opacity at the borders of equal steps from `start` to `end`."""
    width = (end - start)[:, None] / steps
    depths = start[:, None] + width * (torch.arange(steps) + 0.5)
    density = grid.lookup(torch.addcmul(origin, directions[:, None], depths[..., None]))
    optical = F_pad_left(density.mul_(width).cumsum(1))
    return -torch.expm1(-optical)


def F_pad_left(values: Float[Tensor, "rays steps"]) -> Float[Tensor, "rays steps_plus_1"]:
    return torch.nn.functional.pad(values, (1, 0))


def invert(
    opacity: Float[Tensor, "rays steps_plus_1"], wanted: Float[Tensor, "rays samples"]
) -> Float[Tensor, "rays samples"]:
    """Where the accumulated opacity reaches `wanted`, in steps from the first border."""
    index = torch.searchsorted(opacity, wanted).clamp_(1, opacity.shape[1] - 1)
    below, above = opacity.gather(1, index - 1), opacity.gather(1, index)
    return index - 1 + ((wanted - below) / (above - below).clamp_(min=1e-12)).clamp_(0, 1)


def samples_needed(spread: Float[Tensor, " rays"], opacity: Float[Tensor, " rays"]) -> Int[Tensor, " rays"]:
    """Index into RULES for rays whose middle 80 % of opacity spreads over so much depth."""
    wanted = (RULES[1] + spread / SPREAD) * (opacity / FAINT).clamp(max=1)
    return torch.bucketize(wanted, torch.tensor(RULES, dtype=torch.float32)).clamp_(max=len(RULES) - 1)


@torch.no_grad()
def render_block_with_grid(
    field: FoldedField,
    grid: DensityGrid,
    origin: Float[Tensor, "3"],
    directions: Float[Tensor, "rays 3"],
    buffers: tuple[Tensor, Tensor],
    *,
    last_back: bool,
) -> tuple[Pixels, int]:
    """Pixels of a block of rays and the number of field evaluations they took; the grid must cover the camera."""
    start, end = grid.segments(origin, directions)
    total = torch.zeros(len(directions))
    rays, depths, weights = [], [], []

    def add(ray: Tensor, depth: Tensor, weight: Tensor) -> None:
        rays.append(ray), depths.append(depth), weights.append(weight)

    # rays in groups of equal shape: first by the number of steps through the grid, then by that of colour samples
    steps_needed = ((end - start) / (CELL / grid.refinement)).clamp(max=MAX_STEPS)
    power = steps_needed.clamp(min=16).log2().ceil().int()
    for exponent in power[end > start].unique().tolist():
        group = ((power == exponent) & (end > start)).nonzero()[:, 0]
        begin, width = start[group], (end - start)[group] / 2**exponent
        opacity = opacity_at_steps(grid, origin, directions[group], begin, end[group], 2**exponent)
        reached = opacity[:, -1]
        total[group] = reached
        tails = invert(opacity, reached[:, None] * torch.tensor([0.1, 0.9]))
        rule = samples_needed((tails[:, 1] - tails[:, 0]) * width, reached)
        rule[reached < CLEAR] = -1
        for index in rule.unique().tolist():
            if index < 0:
                continue
            part = (rule == index).nonzero()[:, 0]
            nodes, shares = legendre(RULES[index])
            at = invert(opacity[part], reached[part, None] * nodes)
            add(group[part].repeat_interleave(len(nodes)), (begin[part, None] + at * width[part, None]).reshape(-1),
                (reached[part, None] * shares).reshape(-1))
    left = (1 - total > CLEAR).nonzero()[:, 0]
    add(left, torch.full((len(left),), grid.far), 1 - total[left])

    ray, depth, weight = torch.cat(rays), torch.cat(depths), torch.cat(weights)
    at_far = torch.arange(len(ray)) >= len(ray) - len(left)
    rgb, opacity = torch.zeros_like(directions), total.clone()
    for i in range(0, len(ray), len(buffers[0])):
        part = slice(i, i + len(buffers[0]))
        points = torch.addcmul(origin, directions[ray[part]], depth[part, None])
        features = field.features(points, buffers[0][: len(points)], buffers[1][: len(points)])
        # beyond the far end lies an infinite interval: opaque if there is any density, else left to the background
        solid = (field.density(features) > 0) & at_far[part]
        opacity.index_add_(0, ray[part][solid], weight[part][solid])
        if not last_back:
            weight[part] *= solid | ~at_far[part]
        rgb.index_add_(0, ray[part], field.colour(features) * weight[part, None])
    expected = torch.zeros(len(directions)).index_add_(0, ray, weight * depth)
    return Pixels(rgb, expected, opacity), len(ray)
