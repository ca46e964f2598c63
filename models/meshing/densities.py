"""The densities of a field on the grid of a volume, and the density at which its surface is put.

A coarse grid is refined where the surface may pass, and interpolated elsewhere: at 160 cells along each side that is a
seventh of the evaluations, with the same signs at every point.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.meshing.field import MeshableField
from models.meshing.volume import MARGIN, Volume
from models.pigan.cameras import Camera, camera_rays
from models.pigan.integration import sample_weights

OVERSHOOT = 0.25  # values in a cell may exceed those at its corners by this share of their range around it
RAYS, STEPS = 48, 256  # along each side of the frontal image, and along each ray, by which the level is found
SHARE = 0.25  # of the density where a ray loses half of its light; before the surface it has hardly lost any


def coarse_densities(field: MeshableField, volume: Volume) -> Float[Tensor, "x y z"]:
    """Of every `volume.stride`-th point of the grid; far outside of the volume's cut, the least of all densities."""
    side = volume.cells // volume.stride + 1
    return _evaluate(field, volume, volume.indices(volume.stride), None).reshape(side, side, side)


def surface_level(volume: Volume, grid: Float[Tensor, "x y z"]) -> float | None:
    """The density that the surface has: SHARE of what the frontal camera's rays typically meet where half of their
    light is lost; None if no ray loses half of it.

    A field that jumps from empty to opaque has its surface at nearly the same place for any level. In one that is like
    fog, this is where the fog begins to be seen.
    """
    preset = volume.preset
    origin, directions = camera_rays(Camera(), RAYS, preset.fov_deg)
    depths = torch.linspace(preset.ray_start, preset.ray_end, STEPS)
    points = (origin + directions[:, None] * depths[:, None]).reshape(-1, 3)
    density = torch.where(volume.inside_cut(points) > 0, volume.look_up(grid, points), -torch.inf)
    density = density.reshape(len(directions), STEPS)
    weights = sample_weights(density, depths.expand_as(density), clamp=preset.clamp_mode)
    lost = weights[:, :-1].cumsum(1) >= 0.5  # without the last sample, which stands for all that is behind it
    opaque = lost.any(1)
    if not bool(opaque.any()):
        return None
    return SHARE * float(density[opaque].gather(1, lost[opaque].int().argmax(1, keepdim=True)).median())


def refined(field: MeshableField, volume: Volume, coarse: Float[Tensor, "cx cy cz"], level: float
            ) -> Float[Tensor, "x y z"]:
    """The densities of all points of the grid: the field's own where the level may be crossed."""
    grid, stride = coarse, volume.stride
    while stride > 1:
        stride //= 2
        high, low = _of_corners(grid), -_of_corners(-grid)
        reach = OVERSHOOT * F.max_pool3d((high - low)[None], 3, 1, 1)[0]
        cells = ((high + reach > level) & (low - reach <= level)).nonzero()
        side = volume.cells // stride + 1
        grid = F.interpolate(grid[None, None], size=(side,) * 3, mode="trilinear", align_corners=True)[0, 0]
        points = _new_points(cells, side)
        grid[points] = _evaluate(field, volume, points.nonzero() * stride, grid[points])
    return grid


def _evaluate(field: MeshableField, volume: Volume, index: Int[Tensor, "points 3"],
              otherwise: Float[Tensor, " points"] | None) -> Float[Tensor, " points"]:
    """The field at grid points; far outside of the cut `otherwise`, or the least of all."""
    places = volume.places(index)
    wanted = volume.inside_cut(places) > -MARGIN
    found = field.density(places[wanted]).float()
    values = found.min().expand(len(places)).clone() if otherwise is None else otherwise.clone()
    values[wanted] = found
    return values


def _of_corners(grid: Float[Tensor, "x y z"]) -> Float[Tensor, "x-1 y-1 z-1"]:
    """The greatest value at the eight corners of each cell."""
    return F.max_pool3d(grid[None], 2, 1)[0]


def _new_points(cells: Int[Tensor, "cells 3"], side: int) -> Bool[Tensor, "side side side"]:
    """The points of a grid twice as fine that lie in or on these cells of the coarse one and not on its points."""
    points = torch.zeros((side,) * 3, dtype=torch.bool)
    line = torch.arange(3)
    x, y, z = (2 * cells[:, None] + torch.cartesian_prod(line, line, line)).reshape(-1, 3).unbind(1)
    points[x, y, z] = True
    points[::2, ::2, ::2] = False
    return points
