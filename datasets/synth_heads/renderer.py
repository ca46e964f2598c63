"""From a head to colours, labels and depth, in pi-GAN's camera."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numba import njit

from datasets.synth_heads.asset import load_asset
from datasets.synth_heads.head import Head
from datasets.synth_heads.labels import EYE_G, M_LENS
from datasets.synth_heads.materials import BACKGROUND_COLOUR, TINT, shade_point
from datasets.synth_heads.raster import rasterise, transform

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
        rasterise(screen, head.faces[head.lens_start:], head.cut, lens, np.full_like(face_id, -1), np.zeros_like(weights))

    rgb = np.empty((size, size, 3), np.uint8)
    labels = np.empty((size, size), np.uint8)
    far = np.empty((size, size), np.float32)
    _resolve(near, face_id, weights, lens, head.faces, head.material, head.attributes, head.light, head.uv,
             load_asset().masks, head.look.pack(), supersample, middle, scale, _GAMMA, rgb, labels, far)
    return HeadView(rgb, labels, far)


@njit(cache=True, fastmath=True)
def _project(local, scale, middle):  # noqa: ANN001, ANN202
    """Pixels x (right), y (down) and depth along the view axis of points in the camera's frame."""
    out = np.empty_like(local)
    for i in range(len(local)):
        depth = -local[i, 2]
        out[i, 0] = middle + scale * local[i, 0] / depth
        out[i, 1] = middle - scale * local[i, 1] / depth
        out[i, 2] = depth
    return out


@njit(cache=True, fastmath={"contract", "arcp", "nsz", "afn", "reassoc"})  # infinite depths must survive
def _resolve(near, face_id, weights, lens, faces, material, attributes, light, uv, masks, look, n, middle, scale, gamma,  # noqa: ANN001, ANN202
             rgb, labels, far):
    size = labels.shape[0]
    votes = np.zeros(19, np.int64)
    reach = np.zeros(19, np.float64)
    a = np.zeros(8, np.float32)
    colour = np.zeros(3, np.float64)
    tint = look[TINT]
    for i in range(size):
        for j in range(size):
            votes[:] = 0
            reach[:] = 0
            sr, sg, sb = 0.0, 0.0, 0.0
            for y in range(n * i, n * i + n):
                for x in range(n * j, n * j + n):
                    t = face_id[y, x]
                    z = 1 / near[y, x] if t >= 0 else 0.0
                    if t < 0:
                        label = 0
                        cr, cg, cb = look[BACKGROUND_COLOUR], look[BACKGROUND_COLOUR + 1], look[BACKGROUND_COLOUR + 2]
                    else:
                        wa, wb = weights[y, x, 0], weights[y, x, 1]
                        wc = 1 - wa - wb
                        fa, fb, fc = faces[t, 0], faces[t, 1], faces[t, 2]
                        for k in range(8):
                            a[k] = wa * attributes[fa, k] + wb * attributes[fb, k] + wc * attributes[fc, k]
                        u, v = 0.0, 0.0
                        if t < uv.shape[0]:
                            u = wa * uv[t, 0, 0] + wb * uv[t, 1, 0] + wc * uv[t, 2, 0]
                            v = wa * uv[t, 0, 1] + wb * uv[t, 1, 1] + wc * uv[t, 2, 1]
                        label = shade_point(material[t], a, u, v, masks, look, colour)
                        sheen = wa * light[fa, 3] + wb * light[fb, 3] + wc * light[fc, 3]
                        cr = colour[0] * (wa * light[fa, 0] + wb * light[fb, 0] + wc * light[fc, 0]) + sheen
                        cg = colour[1] * (wa * light[fa, 1] + wb * light[fb, 1] + wc * light[fc, 1]) + sheen
                        cb = colour[2] * (wa * light[fa, 2] + wb * light[fb, 2] + wc * light[fc, 2]) + sheen
                    if lens[y, x] > near[y, x]:
                        label = EYE_G
                        keep = 1 - tint
                        cr, cg, cb = cr * keep + 0.010 * tint, cg * keep + 0.010 * tint, cb * keep + 0.012 * tint
                        if t < 0 or tint > 0.5:
                            z = 1 / lens[y, x]
                    votes[label] += 1
                    if label > 0:
                        px, py = (x - middle) / scale, (y - middle) / scale
                        reach[label] += z * math.sqrt(1 + px * px + py * py)
                    sr += gamma[int(min(max(cr, 0.0), 1.0) * 4095)]
                    sg += gamma[int(min(max(cg, 0.0), 1.0) * 4095)]
                    sb += gamma[int(min(max(cb, 0.0), 1.0) * 4095)]
            best = 0
            for k in range(1, 19):
                if votes[k] > votes[best] or (votes[k] == votes[best] and votes[k] > 0
                                              and (best == 0 or reach[k] < reach[best])):
                    best = k
            labels[i, j] = best
            far[i, j] = np.inf if best == 0 else reach[best] / votes[best]
            rgb[i, j, 0] = int(sr / (n * n) * 255 + 0.5)
            rgb[i, j, 1] = int(sg / (n * n) * 255 + 0.5)
            rgb[i, j, 2] = int(sb / (n * n) * 255 + 0.5)
