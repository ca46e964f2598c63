"""A scene's density on a grid: coarse wherever a camera looks, fine only where it sees a surface.

Densities come from the field itself and are kept before their clamp to positive values, which interpolates far better
than after it. Every coarse cell that may hold density is a brick of fine points. At first they are interpolated from
its corners; when a camera sees into it, the field is asked, the more finely the more the interpolation there is wrong.
So a video pays for each part of the head once.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import Camera, camera_origins, camera_rays, camera_to_world

CELL = 0.0063  # side of a coarse cell, world units: a thirty-eighth of the box the fields are trained in
WIDEST_FOV_DEG = 24.0  # what the first grid has room for
HIDDEN = 1e-2  # what lies behind this transmittance is not refined
OPAQUE = 1e-5  # ... and what lies behind this one is not looked at
MARGIN = 0.25  # how far beyond its corners' values a cell may reach, as a share of the range around it
RAYS_PER_CELL = 2  # along each side; they look for what a camera sees
MARCH = 1.25  # steps per coarse cell along a ray
ROW = 32  # bricks lie in memory as layers of ROW x ROW


class DensityGrid:
    """Densities around the origin for cameras on the unit sphere.

    Args:
        density: the field's density before its clamp, at any world positions.
        near, far: distances from a camera between which it sees.
        tolerance: a cell is refined further if interpolation misjudges the light that it lets through by more than
            this anywhere; as a share of the light that a camera would receive from there through empty space.
        refinement: a coarse cell is divided into so many fine ones along each side; even, 4 or more.
        fov_deg: the widest field of view it has room for.
    """

    def __init__(
        self,
        density: Callable[[Tensor], Tensor],
        near: float,
        far: float,
        tolerance: float = 0.25,
        refinement: int = 4,
        fov_deg: float = WIDEST_FOV_DEG,
    ) -> None:
        self.density, self.near, self.far, self.fov_deg = density, near, far, fov_deg
        self.tolerance, self.refinement = tolerance, refinement
        corner = math.atan(math.tan(math.radians(fov_deg) / 2) * math.sqrt(2))
        radius = math.sqrt(1 + far**2 - 2 * far * math.cos(corner))  # of a ball that holds the far corners
        self.cells = 2 * math.ceil(max(radius, 1 - near, far - 1) / CELL + 2)  # along each side
        self.radius = self.cells * CELL / 2
        self.covered: set[Camera] = set()  # so far
        self.evaluations = 0  # of the field, so far
        points, side = self.cells + 1, refinement + 1
        self.coarse = torch.zeros(points, points, points)  # [z, y, x]
        self.known = torch.zeros(points, points, points, dtype=torch.bool)
        self.brick = torch.zeros(self.cells**3, dtype=torch.int32)  # of each cell; 0: empty or unknown
        self.serves = torch.zeros(self.cells**3)  # each cell is fine enough for so much light from a camera
        self.bricks = 1  # the first is for all empty cells
        # bricks of `side` points along each side, in layers of ROW x ROW bricks
        self.atlas = torch.zeros(side, ROW * side, ROW * side)

    def cover(self, cameras: Sequence[Camera], fov_deg: float) -> None:
        """Fill in what these cameras see, without regard to their order; `fov_deg` holds where a camera has none.

        Raises:
            ValueError: a field of view is wider than the grid has room for.
        """
        cameras = [camera if camera.fov_deg else replace(camera, fov_deg=fov_deg) for camera in cameras]
        widest = max(camera.fov_deg for camera in cameras)
        if widest > self.fov_deg:
            raise ValueError(f"the grid has room for {self.fov_deg} degrees, got {widest}")
        cameras = [camera for camera in dict.fromkeys(cameras) if camera not in self.covered]
        if not cameras:
            return
        self.covered.update(cameras)
        self._cover_coarsely(cameras)
        light = torch.zeros(self.cells**3)  # the most that reaches each cell
        for camera in cameras:
            origin, directions = camera_rays(camera, self._rays_across(camera.fov_deg), camera.fov_deg)
            for part in directions.split(2048):
                cell, depth, filled, _ = self._march(origin, part)
                light.scatter_reduce_(0, cell[filled].long(), torch.exp(-depth[filled]), "amax")
        cells = ((light > HIDDEN) & (light > self.serves)).nonzero()[:, 0]
        self._refine(cells, light[cells])

    @property
    def refined(self) -> Bool[Tensor, " all_cells"]:
        """Cells of which the field was asked for finer points."""
        return self.serves > 0

    def segments(
        self, camera: Camera, fov_deg: float, directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
        """Where rays of a camera may meet something before they are opaque: start and end depth, the same for empty
        rays. Found for a lattice of rays, RAYS_PER_CELL apart; each ray takes what those around it need."""
        fov_deg = camera.fov_deg or fov_deg
        across = self._rays_across(fov_deg)
        origin, lattice = camera_rays(camera, across, fov_deg)
        bounds = []
        for part in lattice.split(2048):
            _, depth, filled, width = self._march(origin, part)
            visible = filled & (depth < -math.log(OPAQUE))
            first = visible.int().argmax(1)
            last = visible.shape[1] - visible.flip(1).int().argmax(1)
            hit = visible.any(1)
            bounds.append(torch.stack([
                torch.where(hit, (self.near + (first - 1) * width).clamp(min=self.near), self.far),
                torch.where(hit, (self.near + (last + 1) * width).clamp(max=self.far), self.near)]))
        start, end = torch.cat(bounds, 1).reshape(2, 1, across, across)
        start, end = -F.max_pool2d(-start, 3, 1, 1)[0], F.max_pool2d(end, 3, 1, 1)[0]
        right, up, back = _axes(camera).unbind(1)
        scale = -(across - 1) / 2 / math.tan(math.radians(fov_deg) / 2) / (directions @ back)
        middle = (across - 1) / 2
        column, row = ((middle + sign * scale * (directions @ axis)).round_().long().clamp_(0, across - 1)
                       for sign, axis in ((1, right), (-1, up)))
        start, end = start[row, column], end[row, column]
        return torch.minimum(start, end), end

    def lookup(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Density, not negative, trilinear between the points of each brick; 0 where a cell is empty or unknown."""
        at = points.reshape(-1, 3).add(self.radius).mul_(1 / CELL)
        corner = at.floor().clamp_(0, self.cells - 1)
        brick = self.brick.index_select(0, self._flat(corner))
        layer = torch.div(brick, ROW**2, rounding_mode="floor")
        rest = brick - layer * ROW**2
        row = torch.div(rest, ROW, rounding_mode="floor")
        side, extent = self.refinement + 1, at.new_tensor(self.atlas.shape[::-1]) - 1
        place = torch.stack([rest - row * ROW, row, layer], -1)
        at = at.sub_(corner).mul_(self.refinement).add_(place, alpha=side).mul_(2 / extent).sub_(1)
        return F.grid_sample(self.atlas[None, None], at[None, None, None], align_corners=True).relu_().reshape(
            points.shape[:-1])

    def _flat(self, cell: Float[Tensor, "*batch 3"]) -> Int[Tensor, "*batch"]:
        """Index of the cell at (x, y, z), given in whole numbers; float32 holds them exactly up to 256^3."""
        strides = torch.tensor([1, self.cells, self.cells**2], dtype=cell.dtype if self.cells <= 256 else torch.float64)
        return (cell.to(strides.dtype) @ strides).int()

    def _rays_across(self, fov_deg: float) -> int:
        return math.ceil(2 * self.far * math.tan(math.radians(fov_deg) / 2) / CELL * RAYS_PER_CELL)

    def _evaluate(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        self.evaluations += len(points)
        return self.density(points)

    def _cover_coarsely(self, cameras: Sequence[Camera]) -> None:
        """Evaluate the coarse points inside the cameras' fields of view, two cells wider on all sides."""
        new = torch.zeros_like(self.known)
        line, margin = torch.arange(self.cells + 1) * CELL - self.radius, 2 * CELL
        for camera in cameras:
            axes, slope = _axes(camera), math.tan(math.radians(camera.fov_deg) / 2)
            rays = camera_rays(camera, 5, camera.fov_deg)[1]
            ends = axes[:, 2] + torch.cat([rays * self.near, rays * self.far])
            bounds = torch.stack([ends.amin(0) - 3 * margin, ends.amax(0) + 3 * margin]).add_(self.radius) / CELL
            z, y, x = (slice(low, high + 2) for low, high in bounds.clamp_(0).int().t().flip(0).tolist())
            at = line[z, None, None], line[y, None], line[x]  # broadcast to the box around what the camera sees
            side, height, back = (at[2] * axis[0] + at[1] * axis[1] + at[0] * axis[2] for axis in axes.unbind(1))
            squared = at[2] ** 2 + at[1] ** 2 + at[0] ** 2 + 1 - 2 * back  # distance from the camera
            inside = torch.maximum(side.abs_(), height.abs_()) < (1 - back) * slope + margin
            inside &= (squared > (self.near - margin) ** 2) & (squared < (self.far + margin) ** 2)
            new[z, y, x] |= inside
        z, y, x = (new & ~self.known).nonzero().unbind(1)
        if not len(z):
            return
        self.known |= new
        self.coarse[z, y, x] = self._evaluate(torch.stack([line[x], line[y], line[z]], -1))
        inside = _pool(self.known, torch.logical_and)
        high, low = _pool(self.coarse, torch.maximum), _pool(self.coarse, torch.minimum)
        # between its corners a smooth function moves about as much as it does between those of the cells around
        reach = F.pad((high - low) * inside * MARGIN, (1, 1) * 3)
        occupied = inside & (high + _pool(_pool(reach, torch.maximum), torch.maximum) > 0)
        self._add_bricks((occupied.reshape(-1) & (self.brick == 0)).nonzero()[:, 0])

    def _march(
        self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Int[Tensor, "rays steps"], Float[Tensor, "rays steps"], Tensor, float]:
        """Along each ray in coarse steps: the cells, the optical depth before each, whether there may be density, and
        the width of a step."""
        steps = math.ceil((self.far - self.near) / CELL * MARCH)
        width = (self.far - self.near) / steps
        middles = self.near + (torch.arange(steps) + 0.5) * width
        points = torch.addcmul(origin, directions[:, None], middles[:, None]).reshape(-1, 3)
        cell = self._flat(((points + self.radius) / CELL).floor_())
        filled = self.brick.index_select(0, cell) > 0
        hits = filled.nonzero()[:, 0]
        depth = torch.zeros(len(points))
        depth[hits] = self.lookup(points.index_select(0, hits)).mul_(width)
        depth, shape = depth.reshape(-1, steps), (-1, steps)
        return cell.reshape(shape), depth.cumsum(1) - depth, filled.reshape(shape), width

    def _corner(self, cells: Int[Tensor, " cells"]) -> tuple[Tensor, Tensor, Tensor]:
        return cells // self.cells**2, cells // self.cells % self.cells, cells % self.cells

    def _corners(self, cells: Int[Tensor, " cells"]) -> Float[Tensor, "cells 8"]:
        """Coarse values."""
        points = self.cells + 1
        z, y, x = self._corner(cells)
        line = torch.arange(2)
        inner = ((line[:, None, None] * points + line[:, None]) * points + line).reshape(-1)
        return self.coarse.reshape(-1)[((z * points + y) * points + x)[:, None] + inner]

    def _add_bricks(self, cells: Int[Tensor, " cells"]) -> None:
        """Give these cells bricks, interpolated from their corners."""
        self.brick[cells] = torch.arange(self.bricks, self.bricks + len(cells), dtype=torch.int32)
        self.bricks += len(cells)
        side = self.refinement + 1
        missing = math.ceil(self.bricks / ROW**2) * side - len(self.atlas)
        if missing > 0:
            self.atlas = torch.cat([self.atlas, torch.zeros(missing, *self.atlas.shape[1:])])
        self._write(cells, self._corners(cells) @ _interpolation(1, self.refinement).t())

    def _write(self, cells: Int[Tensor, " cells"], values: Float[Tensor, "cells points"]) -> None:
        side = self.refinement + 1
        bricks = self.atlas.view(-1, side, ROW, side, ROW, side)
        brick = self.brick[cells].long()
        bricks[brick // ROW**2, :, brick // ROW % ROW, :, brick % ROW] = values.reshape(-1, side, side, side)

    def _refine(self, cells: Int[Tensor, " cells"], light: Float[Tensor, " cells"]) -> None:
        """Ask the field for every second fine point of these cells, and for all where the interpolation was wrong."""
        if not len(cells):
            return
        values = self._corners(cells)
        for coarse, fine in ((1, self.refinement // 2), (self.refinement // 2, self.refinement)):
            before, values = values, self._fine_points(cells, fine)
            self._write(cells, values @ _sharpened(fine, self.refinement).t())
            error = _light_error(values, before @ _interpolation(coarse, fine).t()).amax(1)
            self.serves[cells] = math.inf if fine == self.refinement else self.tolerance / error
            wrong = error * light > self.tolerance
            cells, light, values = cells[wrong], light[wrong], values[wrong]

    def _fine_points(self, cells: Int[Tensor, " cells"], n: int) -> Float[Tensor, "cells points"]:
        """The field at the n + 1 points along each side of these cells."""
        points = self.cells * n + 1
        line = torch.arange(n + 1)
        inner = (line[:, None, None] * points + line[:, None]) * points + line
        z, y, x = self._corner(cells)
        index, at = ((((z * points + y) * points + x) * n)[:, None] + inner.reshape(-1)).unique(return_inverse=True)
        z, y, x = index // points**2, index // points % points, index % points
        return self._evaluate(torch.stack([x, y, z], -1) * (CELL / n) - self.radius)[at]


def _axes(camera: Camera) -> Float[Tensor, "3 3"]:
    """Right, up and back (the camera's position) as columns."""
    return camera_to_world(camera_origins(torch.tensor([camera.yaw]), torch.tensor([camera.pitch])))[0, :3, :3]


def _pool(values: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Join the values at the eight corners of each cell."""
    for axis in range(3):
        count = values.shape[axis] - 1
        values = join(values.narrow(axis, 0, count), values.narrow(axis, 1, count))
    return values


def _light_error(density: Tensor, estimate: Tensor) -> Tensor:
    """How much the light let through by a coarse cell of this density is misjudged."""
    return (torch.exp(-CELL * density.relu()) - torch.exp(-CELL * estimate.relu())).abs_()


@functools.cache
def _interpolation(coarse: int, fine: int) -> Float[Tensor, "fine_points coarse_points"]:
    """From the coarse + 1 equidistant points along each side of a cell to fine + 1, by polynomials of degree at most 2
    through the nearest points."""
    degree = min(coarse, 2)
    matrix = torch.zeros(fine + 1, coarse + 1, dtype=torch.float64)
    for row in range(fine + 1):
        at = row / fine * coarse
        first = min(max(round(at - degree / 2), 0), coarse - degree)
        nodes = range(first, first + degree + 1)
        for i in nodes:
            matrix[row, i] = math.prod((at - j) / (i - j) for j in nodes if j != i)
    return _along_each_side(matrix)


@functools.cache
def _sharpened(coarse: int, fine: int) -> Float[Tensor, "fine_points coarse_points"]:
    """`_interpolation`, less what trilinear interpolation between the fine points will add on average: f'' h^2 / 12
    along each axis."""
    bend = torch.zeros(fine + 1, fine + 1, dtype=torch.float64)
    for row in range(fine + 1):
        middle = min(max(row, 1), fine - 1)
        bend[row, middle - 1 : middle + 2] = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    one, bend = torch.eye(fine + 1, dtype=torch.float64), bend / 12
    terms = [torch.kron(torch.kron(a, b), c) for a, b, c in ((bend, one, one), (one, bend, one), (one, one, bend))]
    return ((torch.eye((fine + 1) ** 3, dtype=torch.float64) - sum(terms)) @ _interpolation(coarse, fine).double()
            ).float()


def _along_each_side(matrix: Tensor) -> Tensor:
    return torch.kron(torch.kron(matrix, matrix), matrix).float()
