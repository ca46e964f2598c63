"""A view looked at through a few rays: what codes make of an edit, in a fraction of the time of a view."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from configs.data_configs import CameraPreset
from editing.region import EditRegion
from models.pigan.cameras import Camera, camera_rays
from models.scene import Scene

RAYS_NEAR, RAYS_OUTSIDE = 256, 64  # most rays in the edited region with its margin, and elsewhere
SAMPLES = 12  # per ray, and as many again where the surface is


class Glance:
    """Every so many pixels of a view in rows and columns: the closer, the smaller the edited region is.

    Args:
        region: of the edit that is to be judged; what belongs to none of its parts is not looked at.
    """

    def __init__(self, camera: Camera, preset: CameraPreset, region: EditRegion) -> None:
        self.region, self.size = region, len(region.inside)
        self._pixels = np.unique(np.concatenate([_thinned(region.inside | region.margin, RAYS_NEAR),
                                                 _thinned(region.outside, RAYS_OUTSIDE)]))
        self.origin, directions = camera_rays(camera, self.size, preset.fov_deg)
        self._directions = directions[torch.from_numpy(self._pixels)]

    def look(self, scene: Scene) -> tuple[UInt8[np.ndarray, " pixels"], np.ndarray]:
        """Labels and colours (pixels, 3) in [-1, 1] of a scene at these pixels."""
        seen = scene.render_rays(self.origin, self._directions, SAMPLES, labels=True)
        return seen.channels[:, 6:].argmax(1).to(torch.uint8).numpy(), (seen.rgb * 2 - 1).numpy()

    def of(self, plane: np.ndarray) -> np.ndarray:
        """The values of a whole plane (size, size, ...) at these pixels."""
        return plane.reshape(self.size**2, -1)[self._pixels].reshape(len(self._pixels), *plane.shape[2:])

    @property
    def sampled(self) -> EditRegion:
        """The region, at these pixels."""
        return EditRegion(*(self.of(part) for part in self.region))


def _thinned(where: Bool[np.ndarray, "size size"], most: int) -> np.ndarray:
    """Pixels (numbers in row-major order) of the finest lattice whose cells cover a region with no more pixels than
    `most`."""
    rows, columns = np.nonzero(where)
    for step in range(1, len(where) + 1):
        pixels = np.unique(rows // step * step * len(where) + columns // step * step)
        if len(pixels) <= most:
            break
    return pixels
