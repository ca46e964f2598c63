"""From where a head may be looked at in a viewer, and which part of the world a viewer therefore needs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from configs.data_configs import CameraPreset, config_of_preset

# The narrowest and widest fields of view, in parts of the camera preset's. What lies beyond was never trained.
NARROWEST, WIDEST = 1 / 4, 13 / 12
BEYOND_TRAINING = 1.25  # angles go this far beyond the extreme poses of training
# Half of the side of the cube that is baked, in parts of half the picture's height at the origin. A larger one would
# hold the corners of extreme views as well, but its texels would be larger, which costs more.
CUBE = 1.24


@dataclass(frozen=True)
class Viewing:
    """Angles are offsets from the frontal pose in radians, fields of view degrees, distances world units."""

    fov: float                         # of the camera preset
    fov_range: tuple[float, float]
    yaw_range: tuple[float, float]
    pitch_range: tuple[float, float]
    ray_start: float                   # distances from the camera between which a ray takes samples
    ray_end: float

    @classmethod
    def of(cls, preset: CameraPreset) -> Viewing:
        """What suits the camera of a model.

        Raises:
            UserError: no data set has this camera preset.
        """
        data = config_of_preset(preset.name)
        yaw, pitch = (BEYOND_TRAINING * extreme[1] for extreme in (data.extreme_yaw, data.extreme_pitch))
        return cls(preset.fov_deg, (preset.fov_deg * NARROWEST, preset.fov_deg * WIDEST), (-yaw, yaw), (-pitch, pitch),
                   preset.ray_start, preset.ray_end)

    @property
    def half(self) -> float:
        """Half of the side of the cube around the origin that a volume holds."""
        return CUBE * math.tan(math.radians(self.fov) / 2)

    @property
    def background_half(self) -> float:
        """Half of the side of the cube in which all rays end."""
        corner = math.atan(math.tan(math.radians(self.fov_range[1]) / 2) * math.sqrt(2))
        return math.sqrt(1 + self.ray_end**2 - 2 * self.ray_end * math.cos(corner))

    def as_preset(self) -> dict[str, float | list[float]]:
        """The same for `sem2nerf.Viewer`: {fov, fovRange, yawRange, pitchRange, rayStart, rayEnd}."""
        def camel(name: str) -> str:
            first, *rest = name.split("_")
            return first + "".join(map(str.title, rest))

        return {camel(name): list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
