"""A scene's density on a grid: coarse wherever a camera looks, fine only where it sees a surface.

Densities come from the field itself and are kept before their clamp to positive values, which interpolates far better
than after it. Every coarse cell that may hold density is a brick of fine points. At first they are interpolated from
its corners; when a camera sees into it, the field is asked. So a video pays for each part of the head once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import Camera, camera_origins, camera_rays, camera_to_world

CELL = 0.0063  # side of a coarse cell, world units: a thirty-eighth of the box the fields are trained in
REFINEMENTS = (2, 3, 4, 5, 6)  # a coarse cell is divided into so many fine ones along each side
WIDEST_FOV_DEG = 24.0  # what the first grid has room for
HIDDEN = 1e-2  # what lies behind this transmittance is not refined
OPAQUE = 1e-6  # ... and what lies behind this one is not looked at
MARGIN = 0.25  # how far beyond its corners' values a cell may reach, as a share of the range around it
RAYS_PER_CELL = 2  # along each side; they look for what a camera sees
MARCH = 1.25  # steps per coarse cell along a ray
ROW = 32  # bricks lie in memory as layers of ROW x ROW
PROBED_CELLS = 2000


class DensityGrid:
    """Densities around the origin for cameras on the unit sphere.

    Args:
        density: the field's density before its clamp, at any world positions.
        near, far: distances from a camera between which it sees.
        tolerance: wanted root mean square error of the optical depth across a coarse cell, from interpolation.
        fov_deg: the widest field of view it has room for.
    """

    def __init__(
        self,
        density: Callable[[Tensor], Tensor],
        near: float,
        far: float,
        tolerance: float = 0.025,
        fov_deg: float = WIDEST_FOV_DEG,
    ) -> None:
        self.density, self.near, self.far, self.tolerance, self.fov_deg = density, near, far, tolerance, fov_deg
        corner = math.atan(math.tan(math.radians(fov_deg) / 2) * math.sqrt(2))
        radius = math.sqrt(1 + far**2 - 2 * far * math.cos(corner))  # of a ball that holds the far corners
        self.cells = 2 * math.ceil(max(radius, 1 - near, far - 1) / CELL + 2)  # along each side
        self.radius = self.cells * CELL / 2
        self.covered: set[Camera] = set()  # so far
        self.evaluations = 0  # of the field, so far
        points = self.cells + 1
        self.coarse = torch.zeros(points, points, points)  # [z, y, x]
        self.known = torch.zeros(points, points, points, dtype=torch.bool)
        self.brick = torch.zeros(self.cells**3, dtype=torch.int32)  # of each cell; 0: empty or unknown
        self.refined = torch.zeros(self.cells**3, dtype=torch.bool)
        self.refinement = 0  # chosen with the first camera
        self.bricks = 1  # the first is for all empty cells
        self.atlas = torch.zeros(0)  # bricks of refinement + 1 points along each side, in layers of ROW x ROW bricks

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
        seen = torch.zeros_like(self.refined)
        for camera in cameras:
            across = 2 * self.far * math.tan(math.radians(camera.fov_deg) / 2)
            origin, directions = camera_rays(camera, math.ceil(across / CELL * RAYS_PER_CELL), camera.fov_deg)
            for part in directions.split(4096):
                seen[self._visible_cells(origin, part)] = True
        self._refine((seen & ~self.refined).nonzero()[:, 0])

    def segments(
        self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
        """Where each ray may meet something before it is opaque: start and end depth, the same for empty rays."""
        cell, depth, width = self._march(origin, directions)
        visible = (self.brick[cell] > 0) & (depth < -math.log(OPAQUE))
        first = visible.int().argmax(1)
        last = visible.shape[1] - visible.flip(1).int().argmax(1)
        start, end = (self.near + (index * width) for index in (first - 1, last + 1))
        hit = visible.any(1)
        return start.clamp(min=self.near) * hit, end.clamp(max=self.far) * hit

    def lookup(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Density, not negative, trilinear between the points of each brick; 0 where a cell is empty or unknown."""
        at = (points + self.radius) / CELL
        corner = at.floor().clamp_(0, self.cells - 1)
        brick = self.brick[self._flat(corner.int())]
        side = self.refinement + 1
        place = torch.stack([brick % ROW, brick // ROW % ROW, brick // ROW**2], -1) * side
        at = at.sub_(corner).mul_(self.refinement).add_(place)
        extent = at.new_tensor(self.atlas.shape[::-1]) - 1
        at = at.mul_(2 / extent).sub_(1).reshape(1, 1, 1, -1, 3)
        return F.grid_sample(self.atlas[None, None], at, align_corners=True).reshape(points.shape[:-1]).relu_()

    def _flat(self, cell: Int[Tensor, "*batch 3"]) -> Int[Tensor, "*batch"]:
        """Index of the cell at (x, y, z)."""
        x, y, z = cell.unbind(-1)
        return (z * self.cells + y) * self.cells + x

    def _evaluate(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        self.evaluations += len(points)
        return self.density(points)

    def _cover_coarsely(self, cameras: Sequence[Camera]) -> None:
        """Evaluate the coarse points inside the cameras' fields of view, two cells wider on all sides."""
        unknown = (~self.known).nonzero()
        points, margin = unknown.flip(1) * CELL - self.radius, 2 * CELL
        new = torch.zeros(len(points), dtype=torch.bool)
        for camera in cameras:
            axes = camera_to_world(camera_origins(torch.tensor([camera.yaw]), torch.tensor([camera.pitch])))[0, :3, :3]
            side, height, forward = (points @ axes).unbind(1)
            forward = 1 - forward
            reach = forward * math.tan(math.radians(camera.fov_deg) / 2) + margin
            distance = (side.square() + height.square()).add_(forward.square()).sqrt_()
            new |= (torch.maximum(side.abs(), height.abs()) < reach) & (distance > self.near - margin) & (
                distance < self.far + margin)
        if not new.any():
            return
        z, y, x = unknown[new].unbind(1)
        self.known[z, y, x] = True
        self.coarse[z, y, x] = self._evaluate(points[new])
        values, known = self.coarse[None, None], self.known[None, None].float()
        inside = -F.max_pool3d(-known, 2, 1) > 0
        high, low = F.max_pool3d(values, 2, 1), -F.max_pool3d(-values, 2, 1)
        # between its corners a smooth function moves about as much as it does between those of the cells around
        margin = F.max_pool3d((high - low) * inside, 3, 1, 1) * MARGIN
        occupied = (inside & (high + margin > 0)).reshape(-1)
        if not self.refinement:
            self._choose_refinement(occupied.nonzero()[:, 0])
        self._add_bricks((occupied & (self.brick == 0)).nonzero()[:, 0])

    def _march(
        self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Int[Tensor, "rays steps"], Float[Tensor, "rays steps"], float]:
        """Along each ray in coarse steps: the cells, the optical depth before each, and the width of a step."""
        steps = math.ceil((self.far - self.near) / CELL * MARCH)
        width = (self.far - self.near) / steps
        middles = self.near + (torch.arange(steps) + 0.5) * width
        points = torch.addcmul(origin, directions[:, None], middles[:, None])
        cell = self._flat(((points + self.radius) / CELL).int())
        depth = self.lookup(points).mul_(width)
        return cell, depth.cumsum(1) - depth, width

    def _visible_cells(self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]) -> Int[Tensor, " cells"]:
        cell, depth, _ = self._march(origin, directions)
        seen = cell[depth < -math.log(HIDDEN)].long().unique()
        return seen[self.brick[seen] > 0]

    def _choose_refinement(self, occupied: Int[Tensor, " cells"]) -> None:
        """From the error of interpolating inside coarse cells; it falls with the square of the refinement."""
        chosen = occupied[:: max(1, len(occupied) // PROBED_CELLS)]
        z, y, x = self._corner(chosen)
        true = self._evaluate(torch.stack([x, y, z], -1).float().add_(0.5) * CELL - self.radius)
        mean = F.avg_pool3d(self.coarse[None, None], 2, 1)[0, 0, z, y, x]
        error = (true.relu() - mean.relu()).square().mean().sqrt().item() * CELL if len(chosen) else 0.0
        self.refinement = next((n for n in REFINEMENTS if error / n**2 < self.tolerance), REFINEMENTS[-1])
        side = self.refinement + 1
        self.atlas = torch.zeros(side, ROW * side, ROW * side)

    def _corner(self, cells: Int[Tensor, " cells"]) -> tuple[Tensor, Tensor, Tensor]:
        return cells // self.cells**2, cells // self.cells % self.cells, cells % self.cells

    def _add_bricks(self, cells: Int[Tensor, " cells"]) -> None:
        """Give these cells bricks, interpolated from their corners."""
        self.brick[cells] = torch.arange(self.bricks, self.bricks + len(cells), dtype=torch.int32)
        self.bricks += len(cells)
        side = self.refinement + 1
        missing = math.ceil(self.bricks / ROW**2) * side - len(self.atlas)
        if missing > 0:
            self.atlas = torch.cat([self.atlas, torch.zeros(missing, *self.atlas.shape[1:])])
        z, y, x = self._corner(cells)
        offset = torch.arange(2)
        corners = self.coarse[(z[:, None] + offset)[:, :, None, None], (y[:, None] + offset)[:, None, :, None],
                              (x[:, None] + offset)[:, None, None, :]]
        values = F.interpolate(corners[:, None], size=(side,) * 3, mode="trilinear", align_corners=True)
        self._write(cells, values[:, 0])

    def _write(self, cells: Int[Tensor, " cells"], values: Float[Tensor, "cells side side side"]) -> None:
        side = self.refinement + 1
        bricks = self.atlas.view(-1, side, ROW, side, ROW, side)
        brick = self.brick[cells].long()
        bricks[brick // ROW**2, :, brick // ROW % ROW, :, brick % ROW] = values

    def _refine(self, cells: Int[Tensor, " cells"]) -> None:
        """Ask the field for the fine points of these cells."""
        if not len(cells):
            return
        self.refined[cells] = True
        n, points = self.refinement, self.cells * self.refinement + 1
        line = torch.arange(n + 1)
        inner = (line[:, None, None] * points + line[:, None]) * points + line
        z, y, x = self._corner(cells)
        index, at = ((((z * points + y) * points + x) * n)[:, None] + inner.reshape(-1)).unique(return_inverse=True)
        z, y, x = index // points**2, index // points % points, index % points
        value = self._evaluate(torch.stack([x, y, z], -1) * (CELL / n) - self.radius)[at].reshape(-1, *[n + 1] * 3)
        # Trilinear interpolation of f errs by f'' h^2 / 12 along each axis on average: take it off beforehand.
        sharp = value.clone()
        for axis in (1, 2, 3):
            bend = value.diff(n=2, dim=axis)
            sharp.narrow(axis, 1, n - 1).sub_(bend, alpha=1 / 12)
            for face, nearest in ((0, 0), (n, n - 2)):
                sharp.select(axis, face).sub_(bend.select(axis, nearest), alpha=1 / 12)
        self._write(cells, sharp)
