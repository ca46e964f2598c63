"""Lists of cameras: sweeps for strips of images, trajectories for videos."""

import math
from collections.abc import Sequence

import numpy as np

from models.pigan.cameras import FRONTAL, Camera

FOV_SWEEP = 5.0  # degrees to either side of the model's field of view; the range of the "front" trajectory


def front_trajectory(frames: int) -> list[Camera]:
    """One loop around the frontal view, zooming out and in: the official "front" path.

    t runs over linspace(0, 1, frames), both ends included: pitch pi/2 + .2 cos(2 pi t), yaw pi/2 + .4 sin(2 pi t),
    field of view 17 + 5 sin(2 pi t) degrees.
    """
    turns = 2 * math.pi * np.linspace(0, 1, frames)
    return [Camera(FRONTAL + 0.4 * math.sin(t), FRONTAL + 0.2 * math.cos(t), 17 + 5 * math.sin(t)) for t in turns]


def orbit_trajectory(frames: int, fov_deg: float) -> list[Camera]:
    """Once around the head from above: pitch pi/4, yaw 0 to 2 pi (both ends included)."""
    return [Camera(float(t), math.pi / 4, fov_deg) for t in 2 * math.pi * np.linspace(0, 1, frames)]


def trajectory(name: str, frames: int, fov_deg: float) -> list[Camera]:
    """`front`, `orbit`, or `turn`: from the front to both sides and back, at the model's own field of view."""
    if name == "turn":
        return [Camera(camera.yaw) for camera in front_trajectory(frames)]
    return front_trajectory(frames) if name == "front" else orbit_trajectory(frames, fov_deg)


def sweep(mode: str, offsets: Sequence[float], views: int, fov_deg: float) -> list[Camera]:
    """Cameras of a strip.

    Args:
        mode: 'h' turns the yaw, 'v' the pitch, 'fov' opens the field of view.
        offsets: the data set's own angles (radians), used as they are when `views` equals their number; another number
            of views is spread evenly over the same range. One view is the frontal one.
        views: number of cameras.
        fov_deg: the model's field of view.
    """
    reach = max(map(abs, offsets))
    if views == 1:
        angles: Sequence[float] = (0.0,)
    else:
        angles = offsets if views == len(offsets) else np.linspace(-reach, reach, views).tolist()
    if mode == "h":
        return [Camera(yaw=FRONTAL + angle) for angle in angles]
    if mode == "v":
        return [Camera(pitch=FRONTAL + angle) for angle in angles]
    return [Camera(fov_deg=fov_deg + FOV_SWEEP * angle / reach) for angle in angles]
