"""The cube around the origin in which a mesh is looked for, as a grid of values indexed (x, y, z).

Only what the frontal camera frames is meant by a model, so the cube is cut to that: a rounded square, rounded off
towards the back, which no camera of the trained poses ever sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor
from torch.nn import functional as F

from configs.data_configs import CameraPreset

# in units of what the frontal camera sees of the plane through the origin, from its middle to an edge
REACH = 1.14  # from the origin to the sides of the cube
SIDES = (1.065, 1.095)  # from the axis to where the left and right, the top and bottom are cut
BACK = 0.81  # behind the origin
MARGIN = 0.1  # of `Volume.inside_cut`: densities are of interest this far outside of the cut
LEAST_CELLS = 40  # along each side of the coarsest grid
SLAB = 1 << 18  # points of the grid that are looked at together


class Volume:
    """
    Args:
        preset: camera, near and far planes of the field.
        resolution: cells along each side of the cube, rounded up so that coarser grids fit.
    """

    def __init__(self, preset: CameraPreset, resolution: int) -> None:
        self.preset = preset
        self.stride = 1  # of the coarsest grid
        while resolution >= 2 * self.stride * LEAST_CELLS:
            self.stride *= 2
        self.cells = -(-resolution // self.stride) * self.stride
        self.edge = math.tan(math.radians(preset.fov_deg) / 2)
        self.half = REACH * self.edge
        self.spacing = 2 * self.half / self.cells

    def places(self, index: Real[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """World positions of grid points, or of places between them."""
        return index * self.spacing - self.half

    def indices(self, stride: int = 1) -> Int[Tensor, "points 3"]:
        """Every `stride`-th grid point along each side."""
        line = torch.arange(0, self.cells + 1, stride)
        return torch.cartesian_prod(line, line, line)

    def slabs(self) -> Iterator[tuple[slice, Float[Tensor, "points 3"]]]:
        """Slabs of the grid along x, some SLAB points each: which, and the positions of their points."""
        line = torch.arange(self.cells + 1)
        for part in line.split(max(SLAB // len(line) ** 2, 1)):
            yield slice(int(part[0]), int(part[-1]) + 1), self.places(torch.cartesian_prod(part, line, line))

    def inside_cut(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """How far inside of the cut points lie: 1 at the origin, 0 on the cut, negative outside."""
        x, y, z = (points / self.edge).unbind(-1)
        squared = ((x / SIDES[0]) ** 4 + (y / SIDES[1]) ** 4).sqrt() + (z.clamp(max=0) / BACK) ** 2
        return 1 - squared

    def look_up(self, grid: Float[Tensor, "x y z"], points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """A grid's values between its points (trilinear), whatever its stride; outside, those at its sides."""
        at = (points / self.half).flip(-1)[None, None, None]
        return F.grid_sample(grid[None, None], at, align_corners=True, padding_mode="border")[0, 0, 0, 0]
