"""`grid_sampling` for a GPU: the same samples of all rays at once, in tensors of fixed shapes.

A CPU treats rays in groups of equal shape; to know the groups, a GPU would have to be waited for. Here every ray has a
row as long as the longest, and the samples that count are gathered before the field is evaluated: the one moment at
which the host waits.
"""

import functools
import math
import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.fast.bricks import CELL, BrickMap
from models.pigan.fast.exact import Pixels
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import FusedField
from models.pigan.fast.grid_sampling import (
    MARCH_STEPS,
    MIN_COLOURED_OPACITY,
    QUADRATURE_SIZES,
    Budget,
    index_of,
    invert,
    legendre,
    samples_needed,
)
from models.pigan.fast.kernels import constant, has_triton, problem_of

STEPS_AT_ONCE = 1 << 22  # through the bricks, of all rays together


@torch.no_grad()
def render_with_grid_at_once(
    field: FoldedField | FusedField, bricks: BrickMap, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
    start: Float[Tensor, " rays"], end: Float[Tensor, " rays"], *, budget: Budget, block: int, last_back: bool,
) -> tuple[Pixels, int]:
    """See `grid_sampling.render_block_with_grid`; everything is on one device."""
    depth, weight, total = place(bricks, origin, directions, start, end, budget)
    left = 1 - total
    depth = torch.cat([depth, torch.full_like(left[:, None], bricks.far)], 1)
    weight = torch.cat([weight, (left * (left > MIN_COLOURED_OPACITY))[:, None]], 1)
    kept = weight.reshape(-1).nonzero()[:, 0]  # waits
    columns = depth.shape[1]
    depth, weight = depth.reshape(-1)[kept], weight.reshape(-1)[kept]
    points = torch.addcmul(origin, directions[kept // columns], depth[:, None])
    parts = [field(part) for part in points.split(block)]  # each ray has a sample, at least at its far end
    colour, density = parts[0] if len(parts) == 1 else (torch.cat(values) for values in zip(*parts, strict=True))
    # behind the far end lies an infinite interval: opaque where there is density, else left to the background
    at_far = kept % columns == columns - 1
    solid = weight * (at_far & (density > 0))
    if not last_back:
        weight = torch.where(at_far, solid, weight)
    # added along rows, not by index: on a GPU the order of addition would change from run to run
    values = torch.cat([colour * weight[:, None], (weight * depth)[:, None], solid[:, None]], 1)
    rows = values.new_zeros(len(total) * columns, values.shape[1]).index_copy_(0, kept, values)
    sums = rows.reshape(-1, columns, values.shape[1]).sum(1)
    return Pixels(sums[:, :-2], sums[:, -2], total + sums[:, -1]), len(kept)


def place(bricks: BrickMap, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
          start: Float[Tensor, " rays"], end: Float[Tensor, " rays"], budget: Budget
         ) -> tuple[Float[Tensor, "rays samples"], Float[Tensor, "rays samples"], Float[Tensor, " rays"]]:
    """Depths and weights of the colour samples before the far end (weight 0: none), and each ray's opacity."""
    finest = CELL / bricks.refinement
    device = directions.device
    count = constant(MARCH_STEPS, device)[index_of((end - start) / finest, MARCH_STEPS)]
    count = torch.where(end > start, count, 0)
    width = (end - start) / count.clamp(min=1)
    most = next((steps for steps in MARCH_STEPS if steps >= (bricks.far - bricks.near) / finest), MARCH_STEPS[-1])
    opacity = opacity_at_own_steps(bricks, origin, directions, start, width, count, most)
    reached, width = opacity[:, -1:], width[:, None]
    tails = invert(opacity, reached * constant((0.1, 0.9), device))
    rules = samples_needed(tails.diff() * width, reached, budget)[:, 0]
    rules = torch.where(reached[:, 0] < MIN_COLOURED_OPACITY, len(QUADRATURE_SIZES), rules)
    longest = next((size for size in QUADRATURE_SIZES if size >= budget.max_samples), QUADRATURE_SIZES[-1])
    nodes, shares = (table[rules] for table in _rules(longest, device))
    return start[:, None] + invert(opacity, reached * nodes) * width, reached * shares, reached[:, 0]


def opacity_at_own_steps(bricks: BrickMap, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
                         start: Float[Tensor, " rays"], width: Float[Tensor, " rays"], count: Float[Tensor, " rays"],
                         most: int) -> Float[Tensor, "rays most_plus_1"]:
    """Accumulated opacity at the borders of steps whose `width` and `count` are a ray's own; behind the last border
    the opacity there."""
    if has_kernel(directions.device):
        from models.pigan.fast import march_kernel

        return march_kernel.opacity_at_own_steps(bricks, origin, directions, start, width, count, most)
    opacity = directions.new_zeros(len(directions), most + 1)
    step = torch.arange(most, device=directions.device)
    for i in range(0, len(directions), max(1, STEPS_AT_ONCE // most)):
        part = slice(i, i + max(1, STEPS_AT_ONCE // most))
        depths = start[part, None] + width[part, None] * (step + 0.5)
        density = bricks.lookup(torch.addcmul(origin, directions[part, None], depths[..., None]))
        passed = torch.where(step < count[part, None], density.mul_(width[part, None]), 0).cumsum(1)
        torch.neg(torch.expm1(passed.neg_()), out=opacity[part, 1:])
    return opacity


@functools.cache
def has_kernel(device: torch.device) -> bool:
    """Whether Triton's kernel works there; tried once. A line says so where it should and does not."""
    if device.type != "cuda" or not has_triton():
        return False
    from models.pigan.fast import march_kernel

    def trial() -> float:
        ray, bricks = torch.ones(1, device=device), BrickMap.empty(0.9, 1.1, 4, 4, device)
        way = torch.zeros(3, device=device), torch.ones(1, 3, device=device), ray, ray, ray
        return march_kernel.opacity_at_own_steps(bricks, *way, 16).sum().item()

    if reason := problem_of(trial, math.inf):
        warnings.warn(f"no Triton kernel for the density grid on {device} ({reason}): it is read by PyTorch, which is "
                      "slower", stacklevel=2)
    return reason is None


@functools.lru_cache(maxsize=64)
def _rules(longest: int, device: torch.device) -> tuple[Float[Tensor, "rules longest"], Float[Tensor, "rules longest"]]:
    """Nodes and weights of the quadrature rules up to this length, filled with zeros; the last one has no nodes."""
    tables = torch.zeros(2, len(QUADRATURE_SIZES) + 1, longest)
    for row, size in enumerate(QUADRATURE_SIZES):
        if size <= longest:
            tables[0, row, :size], tables[1, row, :size] = legendre(size)
    nodes, shares = tables.to(device, non_blocking=True)
    return nodes, shares
