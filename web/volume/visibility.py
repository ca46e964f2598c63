"""What can be seen of a volume from the poses that are allowed: which texels are worth evaluating."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import FRONTAL, Camera, camera_rays
from web.volume.viewing import Viewing

# A texel counts if it may give this share of a ray's colour: the light that reaches it times what it would take of it
# if it were as dense as the densest texel around it.
MIN_SHARE = 0.02
YAWS, PITCHES, RAYS = 5, 3, 48  # cameras that look, and rays along each side of their images
BACKGROUND_YAWS, BACKGROUND_PITCHES, BACKGROUND_RAYS = 15, 11, 16  # the same for the ends of rays
STEPS_PER_TEXEL = 1.25


@torch.no_grad()
def visible(density: Float[Tensor, "size size size"], viewing: Viewing, overshoot: float = 0.0
            ) -> Bool[Tensor, "size size size"]:
    """Which texels may give at least MIN_SHARE of a ray's colour, seen from any of the allowed poses.

    Args:
        density: before its clamp to positive values; what is not positive is empty.
        overshoot: density may exceed that of the texels around by this part of their range, as where something thin
            lies between them.
    """
    size = len(density)
    paths, step = _paths(viewing, size, density.device)
    absorbed = torch.cat([density.relu().reshape(-1) * step, density.new_zeros(1)])
    light = density.new_zeros(size**3 + 1)
    for path in paths:
        passed = absorbed[path]
        arriving = torch.exp(passed - passed.cumsum(1))
        light.scatter_reduce_(0, path.reshape(-1), arriving.reshape(-1), "amax")
    most = _grown(density)
    if overshoot:
        most = most + (most + _grown(-density)) * overshoot
    return light[:-1].reshape(density.shape) * -torch.expm1(-most.relu() * step) > MIN_SHARE


@functools.lru_cache(maxsize=6)
def _paths(viewing: Viewing, size: int, device: torch.device) -> tuple[Int[Tensor, "cameras rays steps"], float]:
    """Numbers of the texels that rays pass, step by step (size^3: outside of the cube), and the length of a step."""
    length = viewing.ray_end - viewing.ray_start
    steps = math.ceil(length / (2 * viewing.half / size) * STEPS_PER_TEXEL)
    depths = viewing.ray_start + (torch.arange(steps) + 0.5) * (length / steps)
    paths = []
    for camera in cameras_of(viewing, YAWS, PITCHES):
        origin, directions = camera_rays(camera, RAYS, viewing.fov)
        points = origin + directions[:, None] * depths[:, None]
        inside = (points.abs() < viewing.half).all(-1)
        paths.append(torch.where(inside, texel_of(points, size, viewing.half), size**3))
    return torch.stack(paths).to(device), length / steps


@functools.lru_cache(maxsize=8)
def background_texels(viewing: Viewing, size: int) -> Int[Tensor, " chosen"]:
    """Numbers of the texels that the far ends of rays touch, from any of the allowed poses."""
    ends = torch.zeros(size**3)
    for camera in cameras_of(viewing, BACKGROUND_YAWS, BACKGROUND_PITCHES):
        origin, directions = camera_rays(camera, BACKGROUND_RAYS, viewing.fov)
        ends[texel_of(origin + directions * viewing.ray_end, size, viewing.background_half)] = 1
    return (_grown(ends.reshape(size, size, size)) > 0).reshape(-1).nonzero()[:, 0]


def cameras_of(viewing: Viewing, yaws: int, pitches: int) -> list[Camera]:
    """Cameras spread over all allowed poses, with the widest field of view."""
    return [Camera(FRONTAL + float(yaw), FRONTAL + float(pitch), viewing.fov_range[1])
            for yaw in np.linspace(*viewing.yaw_range, yaws) for pitch in np.linspace(*viewing.pitch_range, pitches)]


def texel_of(points: Float[Tensor, "*points 3"], size: int, half: float) -> Int[Tensor, "*points"]:
    """Number of the texel in which a point lies; of the nearest one for points outside."""
    x, y, z = ((points / half + 1) / 2 * size).long().clamp_(0, size - 1).unbind(-1)
    return (z * size + y) * size + x


def nearest(texels: Shaped[Tensor, "old old old *channels"], size: int) -> Shaped[Tensor, "size size size *channels"]:
    """For each texel of another size that one in which its centre lies."""
    old = len(texels)
    index = torch.div((2 * torch.arange(size, device=texels.device) + 1) * old, 2 * size, rounding_mode="floor")
    for axis in range(3):
        texels = texels.index_select(axis, index)
    return texels


def _grown(texels: Float[Tensor, "size size size"]) -> Float[Tensor, "size size size"]:
    """The greatest of each texel and its 26 neighbours."""
    return F.max_pool3d(texels[None, None], 3, 1, 1)[0, 0]
