"""Builds a scene's map of bricks: coarse wherever a camera looks, fine only where it sees a surface.

Densities come from the field itself. At first a brick is interpolated from the corners of its cell; when a camera sees
into the cell, the field is evaluated there, the more finely the more the interpolation is wrong. So a video pays for
each part of the head once.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import Camera, camera_axes, camera_rays
from models.pigan.fast.bricks import CELL, BrickMap, rays_per_block

WIDEST_FOV_DEG = 24.0  # what the first grid has room for
MIN_TRANSMITTANCE_TO_REFINE = 1e-2  # what is seen more dimly stays interpolated
OVERSHOOT = 0.25  # density in a cell may exceed that at its corners by this share of the range of values around it


class DensityGrid:
    """Densities around the origin for cameras on the unit sphere.

    `bricks` is the present map. `cover` replaces it and never changes one that it has replaced, so a thread that took
    the map before may go on reading it. Calls of `cover` must not overlap.

    Args:
        density: the field's density before its clamp, at any world positions.
        near, far: distances from a camera between which it sees, world units.
        tolerance: greatest error of what a camera sees of a cell: by how much interpolation may misjudge the share of
            light that passes the cell (0 to 1), times the transmittance between camera and cell.
        refinement: parts into which each side of a coarse cell is divided at most; even, 4 or more.
        fov_deg: the widest field of view it has room for.
        device: where it is kept, and where `density` takes and gives its values.
    """

    def __init__(self, density: Callable[[Tensor], Tensor], near: float, far: float, tolerance: float = 0.25,
                 refinement: int = 4, fov_deg: float = WIDEST_FOV_DEG, device: torch.device | str = "cpu") -> None:
        self.density, self.near, self.far, self.fov_deg = density, near, far, fov_deg
        self.tolerance, self.refinement = tolerance, refinement
        corner = math.atan(math.tan(math.radians(fov_deg) / 2) * math.sqrt(2))
        radius = math.sqrt(1 + far**2 - 2 * far * math.cos(corner))  # of a ball that holds the far corners
        self.cells = 2 * math.ceil(max(radius, 1 - near, far - 1) / CELL + 2)  # along each side
        self.bricks = BrickMap.empty(near, far, self.cells, refinement, device)
        self._copies: dict[torch.device, BrickMap] = {}
        self.covered: set[Camera] = set()
        self.evaluations = 0  # of the field, up to now
        self.device = self.bricks.device
        corners = (self.cells + 1,) * 3
        self.coarse = torch.zeros(corners, device=device)  # density at the cells' corners, [z, y, x]
        self.evaluated = torch.zeros(corners, dtype=torch.bool, device=device)
        # the greatest transmittance between a camera and the cell for which the cell is fine enough; 0 where the field
        # was not evaluated at finer points
        self.refined_for = torch.zeros(self.cells**3, device=device)

    def cover(self, cameras: Sequence[Camera], fov_deg: float) -> None:
        """Fill in what these cameras see, without regard to their order; `fov_deg` holds where a camera has none.

        Raises:
            ValueError: a field of view is wider than the grid has room for.
        """
        cameras = [replace(camera, fov_deg=camera.field_of_view(fov_deg)) for camera in cameras]
        widest = max(camera.field_of_view(fov_deg) for camera in cameras)
        if widest > self.fov_deg:
            raise ValueError(f"the grid has room for {self.fov_deg} degrees, got {widest}")
        cameras = [camera for camera in dict.fromkeys(cameras) if camera not in self.covered]
        if not cameras:
            return
        bricks = self.bricks.copy()
        self._cover_coarsely(cameras, fov_deg, bricks)
        light = torch.zeros_like(self.refined_for)  # the greatest transmittance between any camera and each cell
        for camera in cameras:
            across = bricks.rays_across(camera.field_of_view(fov_deg))
            origin, directions = camera_rays(camera, across, fov_deg, self.device)
            for part in directions.split(rays_per_block(self.device)):
                march = bricks.march(origin, part)
                light.scatter_reduce_(0, march.cell[march.filled].long(),
                                      torch.exp(-march.optical_depth[march.filled]), "amax")
        cells = ((light > MIN_TRANSMITTANCE_TO_REFINE) & (light > self.refined_for)).nonzero()[:, 0]
        self._refine(cells, light[cells], bricks)
        self.bricks = bricks
        self.covered.update(cameras)

    def bricks_on(self, device: torch.device) -> BrickMap:
        """The present map on a device, where a copy of it is kept until the map is replaced."""
        if self._copies.get(self.device) is not self.bricks:
            self._copies = {self.device: self.bricks}
        if device not in self._copies:
            self._copies[device] = self.bricks.to(device)
        return self._copies[device]

    def _evaluate(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        self.evaluations += len(points)
        return self.density(points)

    def _cover_coarsely(self, cameras: Sequence[Camera], fov_deg: float, bricks: BrickMap) -> None:
        """Evaluate the coarse points inside the cameras' fields of view, two cells wider on all sides."""
        new = torch.zeros_like(self.evaluated)
        line, margin = torch.arange(self.cells + 1, device=self.device) * CELL - bricks.radius, 2 * CELL
        for camera in cameras:
            axes, slope = camera_axes(camera), math.tan(math.radians(camera.field_of_view(fov_deg)) / 2)
            rays = camera_rays(camera, 5, fov_deg)[1]
            ends = axes[:, 2] + torch.cat([rays * self.near, rays * self.far])
            bounds = torch.stack([ends.amin(0) - 3 * margin, ends.amax(0) + 3 * margin]).add_(bricks.radius) / CELL
            z, y, x = (slice(low, high + 2) for low, high in bounds.clamp_(0).int().t().flip(0).tolist())
            at = line[z, None, None], line[y, None], line[x]  # broadcast to the box around what the camera sees
            side, height, back = (at[2] * axis[0] + at[1] * axis[1] + at[0] * axis[2] for axis in axes.unbind(1))
            squared = at[2] ** 2 + at[1] ** 2 + at[0] ** 2 + 1 - 2 * back  # distance from the camera
            inside = torch.maximum(side.abs_(), height.abs_()) < (1 - back) * slope + margin
            inside &= (squared > (self.near - margin) ** 2) & (squared < (self.far + margin) ** 2)
            new[z, y, x] |= inside
        z, y, x = (new & ~self.evaluated).nonzero().unbind(1)
        if not len(z):
            return
        self.evaluated |= new
        self.coarse[z, y, x] = self._evaluate(torch.stack([line[x], line[y], line[z]], -1))
        inside = _pool(self.evaluated, torch.logical_and)
        high, low = _pool(self.coarse, torch.maximum), _pool(self.coarse, torch.minimum)
        # between its corners a smooth function moves about as much as it does between those of the cells around
        reach = F.pad((high - low) * inside * OVERSHOOT, (1, 1) * 3)
        occupied = inside & (high + _pool(_pool(reach, torch.maximum), torch.maximum) > 0)
        cells = (occupied.reshape(-1) & (bricks.brick_index == 0)).nonzero()[:, 0]
        bricks.add(cells, self._corners(cells) @ _interpolation(1, self.refinement).t().to(self.device))

    def _corner(self, cells: Int[Tensor, " cells"]) -> tuple[Tensor, Tensor, Tensor]:
        return cells // self.cells**2, cells // self.cells % self.cells, cells % self.cells

    def _corners(self, cells: Int[Tensor, " cells"]) -> Float[Tensor, "cells 8"]:
        """Coarse values."""
        points = self.cells + 1
        z, y, x = self._corner(cells)
        line = torch.arange(2, device=self.device)
        inner = ((line[:, None, None] * points + line[:, None]) * points + line).reshape(-1)
        return self.coarse.reshape(-1)[((z * points + y) * points + x)[:, None] + inner]

    def _refine(self, cells: Int[Tensor, " cells"], light: Float[Tensor, " cells"], bricks: BrickMap) -> None:
        """Evaluate every second fine point of these cells, and all of them where the interpolation was wrong.

        Args:
            light: transmittance between a camera and the cell.
        """
        if not len(cells):
            return
        values = self._corners(cells)
        for coarse, fine in ((1, self.refinement // 2), (self.refinement // 2, self.refinement)):
            before, values = values, self._fine_points(cells, fine)
            bricks.write(cells, values @ _sharpened(fine, self.refinement).t().to(self.device))
            error = _light_error(values, before @ _interpolation(coarse, fine).t().to(self.device)).amax(1)
            self.refined_for[cells] = math.inf if fine == self.refinement else self.tolerance / error
            wrong = error * light > self.tolerance
            cells, light, values = cells[wrong], light[wrong], values[wrong]

    def _fine_points(self, cells: Int[Tensor, " cells"], n: int) -> Float[Tensor, "cells points"]:
        """The field at the n + 1 points along each side of these cells."""
        points = self.cells * n + 1
        line = torch.arange(n + 1, device=self.device)
        inner = (line[:, None, None] * points + line[:, None]) * points + line
        z, y, x = self._corner(cells)
        index, at = ((((z * points + y) * points + x) * n)[:, None] + inner.reshape(-1)).unique(return_inverse=True)
        z, y, x = index // points**2, index // points % points, index % points
        return self._evaluate(torch.stack([x, y, z], -1) * (CELL / n) - self.bricks.radius)[at]


def _pool(values: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Join the values at the eight corners of each cell."""
    for axis in range(3):
        count = values.shape[axis] - 1
        values = join(values.narrow(axis, 0, count), values.narrow(axis, 1, count))
    return values


def _light_error(density: Tensor, estimate: Tensor) -> Tensor:
    """By how much the share of the light that passes a coarse cell of this density is misjudged."""
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
    return torch.kron(torch.kron(matrix, matrix), matrix).float()


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
