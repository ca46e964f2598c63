"""A scene's density as a map of bricks, for reading: look-ups, and how far a camera's rays see.

Space is divided into coarse cells. Each cell that may hold density has a brick: densities at fine points, the outermost
ones on its sides, before their clamp to positive values, which interpolates far better than after it. A map does not
change once it is in use, so that any number of threads may read it; `models.pigan.fast.density_grid` makes the next.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import Camera, camera_rays, grid_position
from models.pigan.fast.kernels import constant

CELL = 0.0063  # side of a coarse cell, world units: a thirty-eighth of the box the fields are trained in
END_TRANSMITTANCE = 1e-5  # a ray ends where less of its light than this would come from behind
RAYS_PER_CELL = 2  # along each side of the image; they find what a camera sees
MARCH_STEPS_PER_CELL = 1.25
BRICKS_PER_ROW = 32  # bricks lie in memory as layers of BRICKS_PER_ROW x BRICKS_PER_ROW


class March(NamedTuple):
    """What rays meet on their way through the coarse cells, step by step."""

    cell: Int[Tensor, "rays steps"]
    optical_depth: Float[Tensor, "rays steps"]  # from the camera to the step
    filled: Bool[Tensor, "rays steps"]  # there may be density
    width: float  # of a step, world units


def rays_per_block(device: torch.device) -> int:
    """Rays to march at a time."""
    return 1 << 11 if device.type == "cpu" else 1 << 16


@dataclass
class BrickMap:
    """Density around the origin for cameras on the unit sphere.

    Args:
        near, far: distances from a camera between which it sees, world units.
        cells: coarse cells along each side.
        refinement: parts into which a cell's brick divides each of its sides.
        brick_index: the brick of each cell, x fastest; 0, the brick of zeros, where a cell is empty or unknown.
        atlas: all bricks, each of refinement + 1 points along each side.
        num_bricks: that are in use, the first one included.
    """

    near: float
    far: float
    cells: int
    refinement: int
    brick_index: Int[Tensor, " all_cells"]
    atlas: Float[Tensor, "depth height width"]
    num_bricks: int = 1

    @classmethod
    def empty(cls, near: float, far: float, cells: int, refinement: int, device: torch.device | str = "cpu"
             ) -> "BrickMap":
        side = refinement + 1
        atlas = torch.zeros(side, BRICKS_PER_ROW * side, BRICKS_PER_ROW * side, device=device)
        return cls(near, far, cells, refinement, torch.zeros(cells**3, dtype=torch.int32, device=device), atlas)

    def copy(self) -> "BrickMap":
        """A map to be changed while this one is in use."""
        return replace(self, brick_index=self.brick_index.clone(), atlas=self.atlas.clone())

    def to(self, device: torch.device) -> "BrickMap":
        """The same map on a device; itself, if it is there."""
        if device == self.device:
            return self
        return replace(self, brick_index=self.brick_index.to(device), atlas=self.atlas.to(device))

    @property
    def device(self) -> torch.device:
        return self.atlas.device

    @property
    def radius(self) -> float:
        """Half the side of the cube of all cells, world units."""
        return self.cells * CELL / 2

    def add(self, cells: Int[Tensor, " cells"], values: Float[Tensor, "cells points"]) -> None:
        """Give bricks to these cells, which have none."""
        last = self.num_bricks + len(cells)
        self.brick_index[cells] = torch.arange(self.num_bricks, last, dtype=torch.int32, device=self.device)
        self.num_bricks = last
        missing = math.ceil(self.num_bricks / BRICKS_PER_ROW**2) * (self.refinement + 1) - len(self.atlas)
        if missing > 0:
            self.atlas = torch.cat([self.atlas, self.atlas.new_zeros(missing, *self.atlas.shape[1:])])
        self.write(cells, values)

    def write(self, cells: Int[Tensor, " cells"], values: Float[Tensor, "cells points"]) -> None:
        """Change the bricks of these cells."""
        side = self.refinement + 1
        bricks = self.atlas.view(-1, side, BRICKS_PER_ROW, side, BRICKS_PER_ROW, side)
        row, column = (f(self.brick_index[cells].long(), BRICKS_PER_ROW) for f in (torch.floor_divide, torch.remainder))
        bricks[row // BRICKS_PER_ROW, :, row % BRICKS_PER_ROW, :, column] = values.reshape(-1, side, side, side)

    def lookup(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Density, not negative, trilinear between the points of each brick; 0 where a cell is empty or unknown."""
        at = points.reshape(-1, 3).add(self.radius).mul_(1 / CELL)
        corner = at.floor().clamp_(0, self.cells - 1)
        brick = self.brick_index.index_select(0, self.cell_at(corner))
        layer = torch.div(brick, BRICKS_PER_ROW**2, rounding_mode="floor")
        rest = brick - layer * BRICKS_PER_ROW**2
        row = torch.div(rest, BRICKS_PER_ROW, rounding_mode="floor")
        side, extent = self.refinement + 1, constant(tuple(self.atlas.shape[::-1]), self.device) - 1
        place = torch.stack([rest - row * BRICKS_PER_ROW, row, layer], -1)
        at = at.sub_(corner).mul_(self.refinement).add_(place, alpha=side).mul_(2 / extent).sub_(1)
        density = F.grid_sample(self.atlas[None, None], at[None, None, None], align_corners=True)
        return density.relu_().reshape(points.shape[:-1])

    def cell_at(self, corner: Float[Tensor, "*batch 3"]) -> Int[Tensor, "*batch"]:
        """Number of the cell at (x, y, z), given in whole numbers; float32 holds them exactly up to 256^3."""
        strides = constant((1, self.cells, self.cells**2), corner.device,
                           corner.dtype if self.cells <= 256 else torch.float64)
        return (corner.to(strides.dtype) @ strides).int()

    def rays_across(self, fov_deg: float) -> int:
        """Rays along each side of an image that leave no cell between them unmet."""
        return math.ceil(2 * self.far * math.tan(math.radians(fov_deg) / 2) / CELL * RAYS_PER_CELL)

    def march(self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]) -> March:
        """Follow rays in steps of about a coarse cell."""
        steps = math.ceil((self.far - self.near) / CELL * MARCH_STEPS_PER_CELL)
        width = (self.far - self.near) / steps
        middles = self.near + (torch.arange(steps, device=directions.device) + 0.5) * width
        points = torch.addcmul(origin, directions[:, None], middles[:, None]).reshape(-1, 3)
        cell = self.cell_at(((points + self.radius) / CELL).floor_())
        filled = self.brick_index.index_select(0, cell) > 0
        if self.device.type == "cpu":  # few steps meet anything
            hits = filled.nonzero()[:, 0]
            depth = torch.zeros(len(points))
            depth[hits] = self.lookup(points.index_select(0, hits)).mul_(width)
        else:  # a GPU looks them all up before it could say how many do
            depth = self.lookup(points).mul_(width)
        depth, shape = depth.reshape(-1, steps), (-1, steps)
        return March(cell.reshape(shape), depth.cumsum(1) - depth, filled.reshape(shape), width)

    def segments(self, camera: Camera, fov_deg: float, directions: Float[Tensor, "rays 3"]
                ) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
        """Where rays of a camera may meet something before they end: from and to which distance, the same if nowhere.

        Found for a lattice of rays, RAYS_PER_CELL per cell; each ray takes what those around it need.
        """
        fov_deg = camera.field_of_view(fov_deg)
        across = self.rays_across(fov_deg)
        origin, lattice = camera_rays(camera, across, fov_deg, directions.device)
        bounds = []
        for part in lattice.split(rays_per_block(self.device)):
            march = self.march(origin, part)
            visible = march.filled & (march.optical_depth < -math.log(END_TRANSMITTANCE))
            first = visible.int().argmax(1)
            last = visible.shape[1] - visible.flip(1).int().argmax(1)
            hit = visible.any(1)
            bounds.append(torch.stack([
                torch.where(hit, (self.near + (first - 1) * march.width).clamp(min=self.near), self.far),
                torch.where(hit, (self.near + (last + 1) * march.width).clamp(max=self.far), self.near)]))
        start, end = torch.cat(bounds, 1).reshape(2, 1, across, across)
        start, end = -F.max_pool2d(-start, 3, 1, 1)[0], F.max_pool2d(end, 3, 1, 1)[0]
        nearest = (grid_position(directions, camera, fov_deg) + 1) * ((across - 1) / 2)
        column, row = nearest.round_().long().clamp_(0, across - 1).unbind(1)
        start, end = start[row, column], end[row, column]
        return torch.minimum(start, end), end
