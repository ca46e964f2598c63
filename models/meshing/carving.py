"""What is meant of a grid of densities: only what cameras of the trained poses see.

Inside a head, and behind it, the density is whatever training left there: cavities, sheets, columns. So all that lies
deeper than DEEP behind the first surface, to every camera, is filled. Before that the density decides. The unseen side
becomes the hull of the cameras' silhouettes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.meshing.volume import Volume
from models.pigan.cameras import FRONTAL, Camera, camera_rays, project

DEEP = 0.0765  # in units of `Volume.edge`: a little less than the thinnest shell of density that a decoder learns
SOFT = 0.14  # the volume's cut is so wide, in units of `Volume.inside_cut`
OFFSETS_DEG = (*((yaw, 0) for yaw in (0, -60, 60, -40, 40, -20, 20)),
               *((yaw, pitch) for yaw in (-30, 30) for pitch in (-22, 22)))  # of the cameras, from the frontal one
CAMERAS = [Camera(FRONTAL + math.radians(yaw), FRONTAL + math.radians(pitch)) for yaw, pitch in OFFSETS_DEG]
STEP = 1.2  # of a ray, in units of the grid's spacing
ENOUGH_RAYS = 192  # along each side of a depth map
COARSE_RAYS = 64  # along each side of the map that tells the others where to begin
MARCHED = 8  # steps at a time
NOWHERE = 2.0  # the depth where there is no surface: behind everything


def depth_maps(volume: Volume, grid: Float[Tensor, "x y z"]) -> list[Float[Tensor, "size size"]]:
    """For each of CAMERAS the distance of the first place where the values turn positive, or NOWHERE."""
    size = min(volume.cells + 1, ENOUGH_RAYS)
    maps = []
    for camera in CAMERAS:
        begin = None
        if size > 2 * COARSE_RAYS:
            coarse = _first_surface(volume, grid, camera, COARSE_RAYS, None)
            # the nearest surface around; a step less, since a ray between may meet it earlier
            nearest = -F.max_pool2d(-coarse[None], 3, 1, 1) - 4 * volume.spacing
            begin = F.interpolate(nearest[None], size=size, mode="nearest")[0, 0].reshape(-1)
        maps.append(_first_surface(volume, grid, camera, size, begin))
    return maps


def _first_surface(volume: Volume, grid: Float[Tensor, "x y z"], camera: Camera, size: int,
                   begin: Float[Tensor, " rays"] | None) -> Float[Tensor, "size size"]:
    """See `depth_maps`. begin: where on each ray to look first; None: at its start."""
    preset, reach = volume.preset, math.sqrt(3) * volume.half
    near, far, step = max(preset.ray_start, 1 - reach), min(preset.ray_end, 1 + reach), STEP * volume.spacing
    origin, directions = camera_rays(camera, size, preset.fov_deg)
    found = torch.full((size * size,), NOWHERE)
    at = torch.full((size * size,), near) if begin is None else begin.clamp(min=near)
    active = (at < far).nonzero()[:, 0]
    steps = torch.arange(MARCHED + 1) * step  # the last place of a part is the first of the next
    while len(active):
        depths = at[active, None] + steps
        points = origin + directions[active, None] * depths[..., None]
        values = volume.look_up(grid, points.reshape(-1, 3)).reshape(depths.shape)
        hit = values > 0
        index = hit.int().argmax(1, keepdim=True)
        after, before = values.gather(1, index), values.gather(1, (index - 1).clamp(min=0)).clamp(max=0)
        back = step * (after / (after - before).clamp(min=1e-12)) * (index > 0)
        ended = hit.any(1)
        found[active[ended]] = (depths.gather(1, index) - back)[ended, 0]
        at[active] += MARCHED * step
        active = active[~ended & (at[active] < far)]
    return found.reshape(size, size)


def reach_of(volume: Volume, camera: Camera, depth: Float[Tensor, "size size"], points: Float[Tensor, "points 3"]
             ) -> Float[Tensor, " points"]:
    """How far before (positive) or behind (negative) the surface that a camera sees points lie; minus infinity where it
    does not look.

    Args:
        depth: the camera's, of `depth_maps`.
    """
    place, distance = project(points, camera, volume.preset.fov_deg)
    column, row = ((place.clamp(-1, 1) + 1) * ((len(depth) - 1) / 2)).round_().long().unbind(1)
    inside = (place.abs() <= 1).all(1) & (distance < volume.preset.ray_end)
    return torch.where(inside, depth[row, column] - distance, -torch.inf)


def farthest_reach(volume: Volume, maps: Sequence[Float[Tensor, "size size"]], points: Float[Tensor, "points 3"]
                   ) -> Float[Tensor, " points"]:
    """`reach_of` to the camera that sees farthest."""
    reaches = [reach_of(volume, camera, depth, points) for camera, depth in zip(CAMERAS, maps, strict=True)]
    return torch.stack(reaches).amax(0)


def carved(volume: Volume, grid: Float[Tensor, "x y z"], maps: Sequence[Float[Tensor, "size size"]]
           ) -> Float[Tensor, "x y z"]:
    """The grid with what no camera sees filled, and with the volume's cut: closed on all sides.

    Args:
        grid: positive inside.
        maps: of `depth_maps`.
    """
    full, values = float(grid.abs().max()), grid.clone()
    for part, points in volume.slabs():
        slab, depth_of_cut = values[part].reshape(-1), volume.inside_cut(points)
        hidden = ((slab <= 0) & (depth_of_cut > 0)).nonzero()[:, 0]
        for camera, depth in zip(CAMERAS, maps, strict=True):  # the first ones see most of what is empty
            hidden = hidden[reach_of(volume, camera, depth, points[hidden]) < -DEEP * volume.edge]
        slab[hidden] = -slab[hidden]
        values[part] = torch.minimum(slab, depth_of_cut * (full / SOFT)).reshape(values[part].shape)
    for axis in range(3):
        values.select(axis, 0).fill_(-full)
        values.select(axis, -1).fill_(-full)
    return values
