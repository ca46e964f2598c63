"""From a head to colours, labels and depth, in pi-GAN's camera."""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, UInt8
from numba import njit

from synth_heads.generator.asset import load_asset
from synth_heads.generator.head import Head
from synth_heads.generator.materials import resolve
from synth_heads.generator.raster import rasterise, transform

FOV = math.radians(12)
MARGIN = 1.25  # CelebAMask-HQ pictures on disk are this much wider than what the loaders crop for the camera
_GAMMA = (np.linspace(0, 1, 4096) ** (1 / 2.2)).astype(np.float32)


@dataclass(frozen=True)
class HeadView:
    """One picture of a head.

    rgb: (S, S, 3) uint8. labels: (S, S) uint8, the 19 labels of CelebAMask-HQ. depth: (S, S) float32, the distance from
    the camera along the pixel's ray (the camera is at distance 1 from the origin); infinite on the background.
    """

    rgb: UInt8[np.ndarray, "s s 3"]
    labels: UInt8[np.ndarray, "s s"]
    depth: Float[np.ndarray, "s s"]


def camera_axes(yaw: float, pitch: float) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """The camera's place on the unit sphere and its axes as rows: right, up, backwards (away from the origin)."""
    pitch = min(max(pitch, 1e-5), math.pi - 1e-5)
    place = np.array([math.sin(pitch) * math.cos(yaw), math.cos(pitch), math.sin(pitch) * math.sin(yaw)])
    right = np.cross([0.0, 1.0, 0.0], place)
    right /= np.linalg.norm(right)
    return place, np.stack([right, np.cross(place, right), place])


def render(head: Head, yaw: float, pitch: float, size: int, supersample: int = 2, margin: float = MARGIN) -> HeadView:
    """Draw a head.

    Args:
        yaw, pitch: radians; both pi/2 is the frontal view, a smaller yaw shows the person's left side.
        size: pixels a side; pixel i lies at -1 + 2 i / (size - 1) of the picture's half width.
        supersample: samples a pixel and axis. The colour is their mean, the label their majority, the depth the mean
            over the samples that have this label.
        margin: the picture is this much wider than pi-GAN's camera (field of view 12 degrees); 1 is that camera.
    """
    if size < 2 or supersample < 1:
        raise ValueError(f"size must be at least 2 and supersample at least 1, not {size} and {supersample}")
    place, axes = camera_axes(yaw, pitch)
    local = transform(head.points, axes, -axes @ place)
    half = margin * math.tan(FOV / 2)
    scale = supersample * (size - 1) / (2 * half)
    middle = supersample * (size - 1) / 2 + (supersample - 1) / 2
    screen = _project(local, scale, middle)

    fine = supersample * size
    near = np.zeros((fine, fine), np.float32)
    face_id = np.full((fine, fine), -1, np.int32)
    weights = np.zeros((fine, fine, 2), np.float32)
    rasterise(screen, head.faces[:head.lens_start], head.cut, near, face_id, weights)
    lens = np.zeros((fine, fine), np.float32)
    if head.lens_start < len(head.faces):
        rasterise(screen, head.faces[head.lens_start:], head.cut, lens, face_id.copy(), weights.copy())

    rgb = np.empty((size, size, 3), np.uint8)
    labels = np.empty((size, size), np.uint8)
    far = np.empty((size, size), np.float32)
    resolve(near, face_id, weights, lens, head.faces, head.material, head.attributes, head.light, head.uv,
             load_asset().masks, head.look.pack(), supersample, middle, scale, _GAMMA, rgb, labels, far)
    return HeadView(rgb, labels, far)


@njit(cache=True, fastmath=True)
@no_type_check
def _project(local, scale, middle):
    """Pixels x (right), y (down) and depth along the view axis of points in the camera's frame."""
    out = np.empty_like(local)
    for i in range(len(local)):
        depth = -local[i, 2]
        out[i, 0] = middle + scale * local[i, 0] / depth
        out[i, 1] = middle - scale * local[i, 1] / depth
        out[i, 2] = depth
    return out
