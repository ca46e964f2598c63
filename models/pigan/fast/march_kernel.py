"""`grid_at_once.opacity_at_own_steps` as one Triton kernel: no tensor but the result is ever in a GPU's memory.

A program follows RAYS rays, STEPS steps at a time, each ray to its own last step. Importing this needs Triton, which is
part of PyTorch's wheels with CUDA.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# (Triton compiles what follows; to Python's types it does not keep)
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models.pigan.fast.bricks import BRICKS_PER_ROW, CELL, BrickMap

RAYS, STEPS = 32, 16


def opacity_at_own_steps(
    bricks: BrickMap,
    origin: Float[Tensor, "3"],
    directions: Float[Tensor, "rays 3"],
    start: Float[Tensor, " rays"],
    width: Float[Tensor, " rays"],
    count: Float[Tensor, " rays"],
    most: int,
) -> Float[Tensor, "rays most_plus_1"]:
    """See `grid_at_once.opacity_at_own_steps`."""
    opacity = directions.new_empty(len(directions), most + 1)
    if len(directions):
        with torch.cuda.device_of(directions):
            _march[(triton.cdiv(len(directions), RAYS),)](
                origin.contiguous(), directions.contiguous(), start.contiguous(), width.contiguous(),
                count.contiguous(), bricks.brick_index, bricks.atlas, opacity, len(directions), most, bricks.radius,
                1 / CELL, CELLS=bricks.cells, REFINEMENT=bricks.refinement, ROW=BRICKS_PER_ROW, RAYS=RAYS, STEPS=STEPS)
    return opacity


@triton.jit
@no_type_check  # the shape checks of the tests would come between Triton and the source
def _march(origin, directions, start, width, count, brick_index, atlas, opacity, rays, most, radius, per_cell,
           CELLS: tl.constexpr, REFINEMENT: tl.constexpr, ROW: tl.constexpr, RAYS: tl.constexpr, STEPS: tl.constexpr):
    SIDE: tl.constexpr = REFINEMENT + 1
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    real = ray < rays
    first = tl.load(start + ray, mask=real, other=0.0)
    step = tl.load(width + ray, mask=real, other=0.0)
    number = tl.load(count + ray, mask=real, other=0.0)
    toward_x = tl.load(directions + ray * 3, mask=real, other=0.0)
    toward_y = tl.load(directions + ray * 3 + 1, mask=real, other=0.0)
    toward_z = tl.load(directions + ray * 3 + 2, mask=real, other=0.0)
    from_x = tl.load(origin) + radius
    from_y = tl.load(origin + 1) + radius
    from_z = tl.load(origin + 2) + radius
    row = opacity + ray.to(tl.int64) * (most + 1)
    tl.store(row, tl.zeros((RAYS,), tl.float32), mask=real)
    passed = tl.zeros((RAYS,), tl.float32)  # optical depth up to here
    last = tl.max(number, 0).to(tl.int32)
    for base in range(0, last, STEPS):
        index = base + tl.arange(0, STEPS)
        depth = first[:, None] + step[:, None] * (index.to(tl.float32) + 0.5)[None, :]
        x = (from_x + toward_x[:, None] * depth) * per_cell
        y = (from_y + toward_y[:, None] * depth) * per_cell
        z = (from_z + toward_z[:, None] * depth) * per_cell
        cell_x = tl.minimum(tl.maximum(tl.floor(x), 0.0), CELLS - 1.0)
        cell_y = tl.minimum(tl.maximum(tl.floor(y), 0.0), CELLS - 1.0)
        cell_z = tl.minimum(tl.maximum(tl.floor(z), 0.0), CELLS - 1.0)
        cell = (cell_z.to(tl.int32) * CELLS + cell_y.to(tl.int32)) * CELLS + cell_x.to(tl.int32)
        wanted = (index.to(tl.float32)[None, :] < number[:, None]) & real[:, None]
        brick = tl.load(brick_index + cell, mask=wanted, other=0)
        filled = brick > 0
        # where in the brick, in its points
        x = tl.minimum(tl.maximum((x - cell_x) * REFINEMENT, 0.0), REFINEMENT * 1.0)
        y = tl.minimum(tl.maximum((y - cell_y) * REFINEMENT, 0.0), REFINEMENT * 1.0)
        z = tl.minimum(tl.maximum((z - cell_z) * REFINEMENT, 0.0), REFINEMENT * 1.0)
        low_x = tl.minimum(tl.floor(x), REFINEMENT - 1.0)
        low_y = tl.minimum(tl.floor(y), REFINEMENT - 1.0)
        low_z = tl.minimum(tl.floor(z), REFINEMENT - 1.0)
        x -= low_x
        y -= low_y
        z -= low_z
        layer = brick // (ROW * ROW)
        place_z = layer.to(tl.int64) * SIDE + low_z.to(tl.int32)
        place_y = (brick // ROW % ROW) * SIDE + low_y.to(tl.int32)
        place_x = (brick % ROW) * SIDE + low_x.to(tl.int32)
        corner = atlas + (place_z * (ROW * SIDE) + place_y) * (ROW * SIDE) + place_x
        density = tl.zeros((RAYS, STEPS), tl.float32)
        for k in tl.static_range(8):
            weight = (x if k % 2 else 1 - x) * (y if k // 2 % 2 else 1 - y) * (z if k // 4 else 1 - z)
            offset = (k // 4 * (ROW * SIDE) + k // 2 % 2) * (ROW * SIDE) + k % 2
            density += weight * tl.load(corner + offset, mask=filled, other=0.0)
        crossed = tl.maximum(density, 0.0) * step[:, None]
        so_far = passed[:, None] + tl.cumsum(crossed, 1)
        tl.store(row[:, None] + 1 + index[None, :], _opacity(so_far), mask=real[:, None] & (index < most)[None, :])
        passed += tl.sum(crossed, 1)
    end = _opacity(passed)[:, None]
    for base in range((last + STEPS - 1) // STEPS * STEPS, most, STEPS):
        index = base + tl.arange(0, STEPS)
        tl.store(row[:, None] + 1 + index[None, :], end + tl.zeros((RAYS, STEPS), tl.float32),
                 mask=real[:, None] & (index < most)[None, :])


@triton.jit
@no_type_check  # the shape checks of the tests would come between Triton and the source
def _opacity(depth):
    """1 - exp(-depth), to the last digits where it is small."""
    small = depth * (1 - depth * (0.5 - depth * (0.16666667 - depth * 0.041666667)))
    return tl.where(depth < 0.03, small, 1 - tl.exp(-depth))
