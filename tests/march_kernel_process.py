"""A process of `test_rendering_on_device.py`: Triton's kernel, interpreted on the CPU, beside the plain operations."""

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is imported

import torch

from models.pigan.cameras import Camera, camera_rays
from models.pigan.fast import grid_at_once, march_kernel
from models.pigan.fast.density_grid import DensityGrid


def density(points):
    """Ripples in front of a wall that begins at z = 0, and fog around."""
    return -2e3 * points[:, 2] + 40 * torch.sin(300 * points[:, 0]) * torch.cos(200 * points[:, 1])


def main() -> None:
    for refinement in (4, 6):
        camera = Camera(1.3, 1.7)
        grid = DensityGrid(density, 0.88, 1.12, tolerance=0.02, refinement=refinement)
        grid.cover([camera], 12.0)
        assert grid.bricks.num_bricks > 32**2  # more than a layer of them
        origin, directions = camera_rays(camera, 7, 12.0)
        start, end = grid.bricks.segments(camera, 12.0, directions)
        count = torch.full_like(start, 64).where(end > start, torch.zeros(()))
        count[::3] = 24
        width = (end - start) / 64
        results = [module.opacity_at_own_steps(grid.bricks, origin, directions, start, width, count, 70)
                   for module in (grid_at_once, march_kernel)]
        assert results[0].max() > 0.9
        print(refinement, (results[0] - results[1]).abs().max().item())
        torch.testing.assert_close(*results, atol=3e-5, rtol=1e-3)


if __name__ == "__main__":
    sys.exit(main())
