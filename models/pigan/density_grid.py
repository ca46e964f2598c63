"""A scene's density on a grid: coarse wherever a camera looks, fine only where it sees a surface.

Densities come from the field itself and are kept before their clamp to positive values, which interpolates far better
than after it. Both levels are filled when a camera first needs them, so a video pays for each part of the head once.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import Camera, camera_origins, camera_rays, camera_to_world

CELL = 0.0063  # side of a coarse cell, world units: a thirty-eighth of the box the fields are trained in
REFINEMENTS = (2, 3, 4, 5, 6)  # a coarse cell is divided into so many fine ones along each side
WIDEST_FOV_DEG = 24.0  # what the first grid has room for
OPAQUE = 1e-4  # what lies behind this transmittance is not refined
MARGIN = 0.25  # how far beyond its corners' values a cell may reach, as a share of the range around it
COVERING_RAYS = 128  # rays along each side that look for what a camera sees; coarse cells are wider than their spacing


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
        self.evaluations = 0  # of the field, so far
        points = self.cells + 1
        self.coarse = torch.zeros(points, points, points)  # [z, y, x]
        self.known = torch.zeros(points, points, points, dtype=torch.bool)
        # per coarse cell: a lower bound of its density, or -1 where it is empty or unknown
        self.bound = torch.full((self.cells, self.cells, self.cells), -1.0)
        self.refined = torch.zeros(self.cells**3, dtype=torch.bool)
        self.refinement = 0  # chosen with the first camera
        self.fine = self.sharp = torch.zeros(0)

    def cover(self, camera: Camera, fov_deg: float) -> None:
        """Fill in what this camera sees; `fov_deg` holds where the camera has none.

        Raises:
            ValueError: the field of view is wider than the grid has room for.
        """
        fov_deg = fov_deg if camera.fov_deg is None else camera.fov_deg
        if fov_deg > self.fov_deg:
            raise ValueError(f"the grid has room for {self.fov_deg} degrees, got {fov_deg}")
        self._cover_coarsely(camera, fov_deg)
        origin, directions = camera_rays(camera, COVERING_RAYS, fov_deg)
        seen = torch.cat([self._visible_cells(origin, part) for part in directions.split(4096)]).unique()
        if not self.refinement:
            self._choose_refinement(seen)
        steps = torch.tensor([-1, 0, 1])
        around = (steps[:, None, None] * self.cells + steps[:, None]) * self.cells + steps
        wanted = torch.zeros_like(self.refined)
        wanted[(seen[:, None] + around.reshape(-1)).clamp(0, self.cells**3 - 1)] = True
        self._refine((wanted & ~self.refined & (self.bound.reshape(-1) >= 0)).nonzero()[:, 0])

    def segments(
        self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
        """Where each ray may meet something before it is opaque: start and end depth, the same for empty rays."""
        steps, width, _, visible = self._march(origin, directions)
        first = visible.int().argmax(1)
        last = steps - visible.flip(1).int().argmax(1)
        start, end = (self.near + (index * width) for index in (first - 1, last + 1))
        hit = visible.any(1)
        return start.clamp(min=self.near) * hit, end.clamp(max=self.far) * hit

    def lookup(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Density, not negative, trilinear between the points of the fine grid; 0 where nothing was refined."""
        at = (points / self.radius).reshape(1, 1, 1, -1, 3)
        return F.grid_sample(self.sharp[None, None], at, align_corners=True).reshape(points.shape[:-1]).relu_()

    def _evaluate(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        self.evaluations += len(points)
        return self.density(points)

    def _cover_coarsely(self, camera: Camera, fov_deg: float) -> None:
        """Evaluate the coarse points inside the camera's field of view, two cells wider on all sides."""
        origin = camera_origins(torch.tensor([camera.yaw]), torch.tensor([camera.pitch]))
        line = torch.arange(-self.radius, self.radius + CELL / 2, CELL)[: self.cells + 1]
        z, y, x = torch.meshgrid(line, line, line, indexing="ij")
        right, up, back = camera_to_world(origin)[0, :3, :3].t()
        side, height = ((x * axis[0]).add_(y, alpha=float(axis[1])).add_(z, alpha=float(axis[2])).abs_()
                        for axis in (right, up))
        forward = 1 - ((x * back[0]).add_(y, alpha=float(back[1])).add_(z, alpha=float(back[2])))
        margin, reach = 2 * CELL, forward * math.tan(math.radians(fov_deg) / 2)
        distance = (side.square() + height.square() + forward.square()).sqrt_()
        new = (torch.maximum(side, height) < reach + margin) & (distance > self.near - margin) & (
            distance < self.far + margin) & ~self.known
        if not new.any():
            return
        self.known |= new
        self.coarse[new] = self._evaluate(torch.stack([x[new], y[new], z[new]], -1))
        values, known = self.coarse[None, None], self.known[None, None].float()
        inside = -F.max_pool3d(-known, 2, 1) > 0
        high, low = F.max_pool3d(values, 2, 1), -F.max_pool3d(-values, 2, 1)
        # between its corners a smooth function moves about as much as it does between those of the cells around
        margin = F.max_pool3d((high - low) * inside, 3, 1, 1) * MARGIN
        occupied = inside & (high + margin > 0)
        self.bound = torch.where(occupied, low.relu(), -torch.ones_like(low))[0, 0]

    def _march(
        self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[int, float, Int[Tensor, "rays steps"], Bool[Tensor, "rays steps"]]:
        """Number and width of coarse steps, the cell at the middle of each, and whether it can be seen."""
        steps = math.ceil((self.far - self.near) / CELL * 1.25)
        width = (self.far - self.near) / steps
        middles = self.near + (torch.arange(steps) + 0.5) * width
        x, y, z = (((origin[k] + self.radius) / CELL + directions[:, k, None] * (middles / CELL)).int()
                   for k in range(3))
        cell = z.mul_(self.cells).add_(y).mul_(self.cells).add_(x)
        bound = self.bound.reshape(-1)[cell]
        occupied = bound >= 0
        depth = bound.relu_().mul_(width)
        return steps, width, cell, occupied & (depth.cumsum(1) - depth < -math.log(OPAQUE))

    def _visible_cells(self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"]) -> Int[Tensor, " cells"]:
        _, _, cell, visible = self._march(origin, directions)
        return cell[visible].long().unique()

    def _choose_refinement(self, seen: Int[Tensor, " cells"]) -> None:
        """From the error of interpolating inside coarse cells; it falls with the square of the refinement."""
        chosen = seen[torch.linspace(0, len(seen) - 1, min(len(seen), 2000)).long()] if len(seen) else seen
        z, y, x = chosen // self.cells**2, chosen // self.cells % self.cells, chosen % self.cells
        true = self._evaluate(torch.stack([x, y, z], -1).float().add_(0.5) * CELL - self.radius)
        mean = F.avg_pool3d(self.coarse[None, None], 2, 1)[0, 0, z, y, x]
        error = (true.relu() - mean.relu()).square().mean().sqrt().item() * CELL if len(seen) else 0.0
        self.refinement = next((n for n in REFINEMENTS if error / n**2 < self.tolerance), REFINEMENTS[-1])
        points = self.cells * self.refinement + 1
        self.fine = torch.zeros(points, points, points)  # zero: unknown; memory is taken only where it is written
        self.sharp = torch.zeros(points, points, points)

    def _refine(self, cells: Int[Tensor, " cells"]) -> None:
        """Evaluate the fine points of these coarse cells."""
        if not len(cells):
            return
        self.refined[cells] = True
        n, points = self.refinement, self.cells * self.refinement + 1
        line = torch.arange(n + 1)
        inner = (line[:, None, None] * points + line[:, None]) * points + line
        corner = (cells // self.cells**2 * points + cells // self.cells % self.cells) * points + cells % self.cells
        index = (corner[:, None] * n + inner.reshape(-1)).unique()
        fine = self.fine.view(-1)
        index = index[fine[index] == 0]
        z, y, x = index // points**2, index // points % points, index % points
        fine[index] = self._evaluate(torch.stack([x, y, z], -1) * (CELL / n) - self.radius)
        # Trilinear interpolation of f errs by f'' h^2 / 12 along each axis on average: take it off beforehand.
        value = fine[index]
        sharp = value.clone()
        for stride in (1, points, points**2):
            before, after = fine[index - stride], fine[index + stride]
            sharp -= torch.where((before != 0) & (after != 0), before + after - 2 * value, 0) / 12
        self.sharp.view(-1)[index] = sharp
