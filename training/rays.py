"""The rays of a training patch: directions of a whole image's pixels, read off at the patch's coordinates."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from models.pigan.cameras import camera_origins, camera_to_world, pixel_directions, rotate
from training.patches import sample_image


def patch_rays(
    poses: Float[Tensor, "batch 2"],
    grid: Float[Tensor, "batch rows columns 2"],
    image_size: int,
    fov_deg: float,
) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch rows*columns 3"]]:
    """Origins and world directions of the rays through a patch, row by row.

    Args:
        poses: yaw and pitch of each camera, radians.
        grid: where the patch lies in the image, see `training.patches`.
        image_size: pixels along each side of the whole image. Between its pixels the unit directions are
            interpolated, as the colours of the target are, and not stretched to length one again.
    """
    size = image_size
    image = pixel_directions(size, fov_deg).to(grid).t().reshape(1, 3, size, size).expand(len(grid), -1, -1, -1)
    directions = sample_image(image, grid).flatten(2).transpose(1, 2)
    origins = camera_origins(poses[:, 0], poses[:, 1])
    return origins, rotate(directions, camera_to_world(origins))
