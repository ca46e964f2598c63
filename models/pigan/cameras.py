"""Cameras on the unit sphere, looking at the origin, y up; rays through the pixels of a square image.

Position = (sin(pitch) cos(yaw), cos(pitch), sin(pitch) sin(yaw)): frontal is yaw = pitch = pi/2, a smaller yaw moves
the camera to +x. Pixel i of n lies at linspace(-1, 1, n)[i], both ends included; rows run from top (y = +1) to bottom.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FRONTAL = math.pi / 2
PITCH_MARGIN = 1e-5  # straight above or below, "up" would be undefined


@dataclass(frozen=True)
class Camera:
    """Yaw and pitch in radians; field of view in degrees (edge to edge), None for the model's own."""

    yaw: float = FRONTAL
    pitch: float = FRONTAL
    fov_deg: float | None = None


def camera_origins(
    yaw: Float[Tensor, " batch"], pitch: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3"]:
    """Camera positions on the unit sphere; pitch is clamped to [1e-5, pi - 1e-5]."""
    pitch = pitch.clamp(PITCH_MARGIN, math.pi - PITCH_MARGIN)
    return torch.stack([pitch.sin() * yaw.cos(), pitch.cos(), pitch.sin() * yaw.sin()], -1)


def camera_to_world(origins: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 4 4"]:
    """Rigid transforms whose columns are right, up, back (towards the viewer) and position."""
    back = torch.nn.functional.normalize(origins, dim=-1)
    world_up = torch.tensor([0.0, 1.0, 0.0], dtype=origins.dtype, device=origins.device).expand_as(back)
    right = torch.nn.functional.normalize(torch.linalg.cross(world_up, back), dim=-1)
    up = torch.linalg.cross(back, right)
    transform = torch.eye(4, dtype=origins.dtype, device=origins.device).repeat(len(origins), 1, 1)
    transform[:, :3] = torch.stack([right, up, back, origins], -1)
    return transform


def pixel_directions(size: int, fov_deg: float) -> Float[Tensor, "rays 3"]:
    """Unit directions through the pixels of a size x size image in camera space (x right, y up, z back)."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
    z = torch.full_like(x, -1 / math.tan(math.radians(fov_deg) / 2))
    return torch.nn.functional.normalize(torch.stack([x, y, z], -1).reshape(-1, 3), dim=-1)


def rotate(
    directions: Float[Tensor, "*batch rays 3"], to_world: Float[Tensor, "batch 4 4"]
) -> Float[Tensor, "batch rays 3"]:
    """Directions from camera to world space; one set of rays is shared by all cameras if it has no batch dimension."""
    return directions @ to_world[:, :3, :3].transpose(1, 2)


def camera_rays(
    camera: Camera, size: int, fov_deg: float
) -> tuple[Float[Tensor, "3"], Float[Tensor, "rays 3"]]:
    """Origin and world directions of one camera's rays, row by row; `fov_deg` holds where the camera has none."""
    yaw, pitch = torch.tensor([[camera.yaw], [camera.pitch]], dtype=torch.float32)
    origin = camera_origins(yaw, pitch)
    fov_deg = fov_deg if camera.fov_deg is None else camera.fov_deg
    return origin[0], rotate(pixel_directions(size, fov_deg), camera_to_world(origin))[0]
