"""Light fixed to the head: sky with soft occlusion, one key light with a soft shadow; a value a vertex and colour."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numba import njit

from datasets.synth_heads.latent import Latent
from datasets.synth_heads.mesh import Mesh
from datasets.synth_heads.raster import rasterise_depth

_SPAN = 4.6  # what a shadow map covers (MakeHuman units)
_SKY_SIZE, _KEY_SIZE = 100, 160


class Light(NamedTuple):
    """Linear light colours; `towards` is the unit vector to the key light."""

    towards: Float[np.ndarray, "3"]
    key: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]


def head_light(z: Latent) -> Light:
    """The light that a latent code asks for."""
    azimuth, height = 0.9 * np.tanh(0.8 * z("light", "side")), 0.55 + 0.25 * np.tanh(z("light", "height"))
    contrast, warmth = np.tanh(0.6 * z("light", "contrast")), 0.06 * np.tanh(z("light", "warmth"))
    towards = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    tint = np.array([1 + warmth, 1.0, 1 - 1.5 * warmth])
    return Light(towards, tint * (0.78 + 0.22 * contrast), np.array([0.97, 0.99, 1.03]) * (0.62 - 0.17 * contrast))


def _sky_directions() -> np.ndarray:
    """Mirror-symmetric directions (12, 3) over the front and upper sky, and one from below (a bounce)."""
    rows = [(0.0, 20, 1.2), (45, 12, 1.0), (-45, 12, 1.0), (95, 15, 0.7), (-95, 15, 0.7), (180, 25, 0.5), (25, 55, 1.1), (-25, 55, 1.1),
            (120, 55, 0.7), (-120, 55, 0.7), (0, 88, 1.0), (0, -40, 0.5)]
    azimuth, height, weight = np.array(rows).T
    azimuth, height = np.radians(azimuth), np.radians(height)
    unit = np.stack([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)], 1)
    return np.concatenate([unit, weight[:, None] / weight.sum()], 1)


_SKY = _sky_directions()


def _frame(towards: np.ndarray) -> np.ndarray:
    """Rows: right, up, towards the light."""
    right = np.array([towards[2], 0.0, -towards[0]])
    right /= max(np.linalg.norm(right), 1e-9)
    return np.stack([right, np.cross(towards, right), towards])


def _shadow_map(points: np.ndarray, faces: np.ndarray, cut: np.ndarray, frame: np.ndarray, size: int) -> np.ndarray:
    local = points @ frame.T.astype(np.float32)
    screen = np.stack([local[:, 0] * (size / _SPAN) + size / 2, local[:, 1] * (size / _SPAN) + size / 2, -local[:, 2]], 1)
    depth = np.full((size, size), 1e9, np.float32)
    rasterise_depth(np.ascontiguousarray(screen, np.float32), faces, cut, depth)
    return depth


@njit(cache=True, fastmath=True)
def _gather(points, normals, frame, depth, span, bias, lift, out):  # noqa: ANN001, ANN202
    """out[i] = share of the shadow map's 2 x 2 texels around point i (bilinear) that do not hide it."""
    size = depth.shape[0]
    scale = size / span
    for i in range(len(points)):
        x = points[i, 0] + lift * normals[i, 0]
        y = points[i, 1] + lift * normals[i, 1]
        z = points[i, 2] + lift * normals[i, 2]
        u = (frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z) * scale + size / 2
        v = (frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z) * scale + size / 2
        d = -(frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z) - bias
        if u < 0 or v < 0 or u >= size - 1 or v >= size - 1:
            out[i] = 1.0
            continue
        p, q = int(u), int(v)
        fu, fv = u - p, v - q
        out[i] = (((d < depth[q, p]) * (1 - fu) + (d < depth[q, p + 1]) * fu) * (1 - fv)
                  + ((d < depth[q + 1, p]) * (1 - fu) + (d < depth[q + 1, p + 1]) * fu) * fv)


def light_vertices(mesh: Mesh, centre: Float[np.ndarray, "3"], light: Light, soft: Float[np.ndarray, "n 3"],
                   openness: Float[np.ndarray, " n"], shiny: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Light that reaches each vertex (r, g, b) and a sheen (seen from the front, so that no view changes it).

    Args:
        soft: how far light wraps around the terminator, per colour (skin: more red).
        openness: a baked factor for small cavities.
        shiny: strength of the sheen.
    """
    points = (mesh.points - centre).astype(np.float32)
    normals = mesh.normals
    sky = np.zeros(len(points), np.float32)
    seen = np.empty(len(points), np.float32)
    for x, y, z, weight in _SKY:
        frame = _frame(np.array([x, y, z]))
        depth = _shadow_map(points, mesh.faces, mesh.cut, frame, _SKY_SIZE)
        _gather(points, normals, frame, depth, _SPAN, 0.035, 0.05, seen)
        sky += np.float32(2.0 * weight) * seen * np.clip(0.25 + 0.75 * (normals @ np.array([x, y, z], np.float32)), 0, 1)
    frame = _frame(light.towards)
    depth = _shadow_map(points, mesh.faces, mesh.cut, frame, _KEY_SIZE)
    _gather(points, normals, frame, depth, _SPAN, 0.03, 0.035, seen)
    facing = normals @ light.towards.astype(np.float32)
    lit = np.clip((facing[:, None] + soft) / (1 + soft), 0, 1) * (0.06 + 0.94 * seen[:, None])
    half = light.towards + np.array([0, 0, 1.0])
    half /= np.linalg.norm(half)
    sheen = shiny * np.clip(normals @ half.astype(np.float32), 0, 1) ** 14 * (0.25 + 0.75 * seen)
    colour = (sky * openness)[:, None] * light.sky + lit * light.key * (0.5 + 0.5 * openness)[:, None]
    return np.concatenate([colour, (sheen * light.key.mean())[:, None]], 1).astype(np.float32)
