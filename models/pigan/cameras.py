"""Cameras on the unit sphere, looking at the origin, y up: every ray and every projection of the project.

Position = (sin(pitch) cos(yaw), cos(pitch), sin(pitch) sin(yaw)): frontal is yaw = pitch = pi/2, a smaller yaw moves
the camera to +x. Images are square. Pixel i of n lies at linspace(-1, 1, n)[i], both ends included; rows run from top
to bottom. Rays of a whole image: `camera_rays`; of a batch of images: `pose_rays`; of patches: `patch_rays`; each with
a camera of its own: `world_rays`. Back into the image: `project`.
"""

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

FRONTAL = math.pi / 2
PITCH_MARGIN = 1e-5  # straight above or below, "up" would be undefined


@dataclass(frozen=True)
class Camera:
    """Yaw and pitch in radians; field of view in degrees (edge to edge), None for the model's own."""

    yaw: float = FRONTAL
    pitch: float = FRONTAL
    fov_deg: float | None = None

    def field_of_view(self, default: float) -> float:
        """In degrees; `default` where the camera has none of its own."""
        return default if self.fov_deg is None else self.fov_deg


def camera_origins(yaw: Float[Tensor, " batch"], pitch: Float[Tensor, " batch"]) -> Float[Tensor, "batch 3"]:
    """Camera positions on the unit sphere; pitch is clamped to [1e-5, pi - 1e-5]."""
    pitch = pitch.clamp(PITCH_MARGIN, math.pi - PITCH_MARGIN)
    return torch.stack([pitch.sin() * yaw.cos(), pitch.cos(), pitch.sin() * yaw.sin()], -1)


def camera_to_world(origins: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 4 4"]:
    """Rigid transforms whose columns are right, up, back (towards the viewer) and position."""
    back = F.normalize(origins, dim=-1)
    x, _, z = back.unbind(-1)
    right = F.normalize(torch.stack([z, torch.zeros_like(x), -x], -1), dim=-1)  # (0, 1, 0), which is up, x back
    up = torch.linalg.cross(back, right)
    transform = torch.eye(4, dtype=origins.dtype, device=origins.device).repeat(len(origins), 1, 1)
    transform[:, :3] = torch.stack([right, up, back, origins], -1)
    return transform


@functools.lru_cache(maxsize=32)
def pixel_directions(size: int, fov_deg: float, device: torch.device | str = "cpu") -> Float[Tensor, "rays 3"]:
    """Unit directions through the pixels of a size x size image in camera space (x right, y up, z back), row by row.

    They are the same numbers on every device. The tensor is kept for the next call: do not change it in place.
    """
    with torch.inference_mode(False):
        line = torch.linspace(-1, 1, size)
        y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
        z = torch.full_like(x, -1 / math.tan(math.radians(fov_deg) / 2))
        return F.normalize(torch.stack([x, y, z], -1).reshape(-1, 3), dim=-1).to(device, non_blocking=True)


def rotate(directions: Float[Tensor, "*batch rays 3"], to_world: Float[Tensor, "batch 4 4"]
          ) -> Float[Tensor, "batch rays 3"]:
    """Directions from camera to world space; one set of rays is shared by all cameras if it has no batch dimension."""
    return directions @ to_world[:, :3, :3].transpose(1, 2)


def pose_rays(poses: Float[Tensor, "batch 2"], size: int, fov_deg: float
             ) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch rays 3"]]:
    """Origins and world directions of whole images' rays, row by row; poses are yaw and pitch, radians."""
    origins = camera_origins(*poses.unbind(-1))
    return origins, rotate(pixel_directions(size, fov_deg, poses.device), camera_to_world(origins))


def camera_rays(camera: Camera, size: int, fov_deg: float, device: torch.device | str = "cpu"
               ) -> tuple[Float[Tensor, "3"], Float[Tensor, "rays 3"]]:
    """Origin and world directions of one camera's rays, row by row; `fov_deg` holds where the camera has none."""
    to_world = _to_world(camera).to(device, non_blocking=True)
    return to_world[0, :3, 3], rotate(pixel_directions(size, camera.field_of_view(fov_deg), device), to_world)[0]


def patch_rays(poses: Float[Tensor, "batch 2"], grid: Float[Tensor, "batch rows columns 2"], image_size: int,
               fov_deg: float) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch rows*columns 3"]]:
    """Origins and world directions of the rays through a patch, row by row.

    Args:
        poses: yaw and pitch of each camera, radians.
        grid: where the patch lies in the image, see `training.patches.patch_grid`.
        image_size: pixels along each side of the whole image. Between its pixels the unit directions are
            interpolated, as the colours of the target are, and not stretched to length one again.
    """
    image = pixel_directions(image_size, fov_deg, grid.device).to(grid.dtype).t().unflatten(1, (image_size, -1))
    directions = sample_image(image.expand(len(grid), -1, -1, -1), grid).flatten(2).transpose(1, 2)
    origins = camera_origins(*poses.unbind(-1))
    return origins, rotate(directions, camera_to_world(origins))


def world_rays(poses: Float[Tensor, "batch rays 2"], image_xy: Float[Tensor, "batch rays 2"], fov_deg: float
              ) -> tuple[Float[Tensor, "batch rays 3"], Float[Tensor, "batch rays 3"]]:
    """Origins and unit directions of rays that have a camera each.

    Args:
        poses: yaw and pitch of each ray's camera, radians.
        image_xy: where the ray goes through its image, x to the right and y up; the outermost pixels lie at -1 and 1.
    """
    origins = camera_origins(*poses.reshape(-1, 2).unbind(-1))
    edge = math.tan(math.radians(fov_deg) / 2)
    local = F.normalize(torch.cat([image_xy * edge, -torch.ones_like(image_xy[..., :1])], -1), dim=-1)
    directions = (camera_to_world(origins)[:, :3, :3] @ local.reshape(-1, 3, 1))[..., 0]
    return origins.reshape(*image_xy.shape[:2], 3), directions.reshape(*image_xy.shape[:2], 3)


def camera_axes(camera: Camera) -> Float[Tensor, "3 3"]:
    """Right, up and back (which is the camera's position, too) as columns."""
    return _to_world(camera)[0, :3, :3]


def _to_world(camera: Camera) -> Float[Tensor, "1 4 4"]:
    yaw, pitch = torch.tensor([[camera.yaw], [camera.pitch]], dtype=torch.float32)
    return camera_to_world(camera_origins(yaw, pitch))


def grid_position(directions: Float[Tensor, "rays 3"], camera: Camera, fov_deg: float) -> Float[Tensor, "rays 2"]:
    """Where a camera sees what lies in these directions (of any length) from it.

    (x to the right, y down) as `sample_image` takes it: the outermost pixels lie at -1 and 1. `fov_deg` holds where
    the camera has none.
    """
    right, up, back = (directions @ camera_axes(camera).to(directions.device, non_blocking=True)).unbind(1)
    scale = math.tan(math.radians(camera.field_of_view(fov_deg)) / 2) * -back
    return torch.stack([right / scale, -up / scale], 1)


def project(points: Float[Tensor, "points 3"], camera: Camera, fov_deg: float
           ) -> tuple[Float[Tensor, "points 2"], Float[Tensor, " points"]]:
    """Where a camera sees points of the world (see `grid_position`), and their distance from it in world units."""
    offset = points - camera_rays(camera, 1, fov_deg, points.device)[0]
    return grid_position(offset, camera, fov_deg), offset.norm(dim=1)


def sample_image(image: Float[Tensor, "batch channels height width"], grid: Float[Tensor, "batch rows columns 2"]
                ) -> Float[Tensor, "batch channels rows columns"]:
    """Read an image (or a map of ray directions) bilinearly at (x to the right, y down).

    The centres of the outermost pixels lie at -1 and 1; what rounding puts a hair outside reads the border's value.
    """
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
