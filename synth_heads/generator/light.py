"""Light fixed to the head: sky with soft occlusion, one key light with a soft shadow; a value a vertex and colour."""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from synth_heads.generator.latent import Latent
from synth_heads.generator.mesh import Mesh
from synth_heads.generator.raster import rasterise_depth, transform

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
    rows = [(0.0, 20, 1.2), (45, 12, 1.0), (-45, 12, 1.0), (95, 15, 0.7), (-95, 15, 0.7), (180, 25, 0.5),
            (25, 55, 1.1), (-25, 55, 1.1), (120, 55, 0.7), (-120, 55, 0.7), (0, 88, 1.0), (0, -40, 0.5)]
    azimuth, height, weight = np.array(rows).T
    azimuth, height = np.radians(azimuth), np.radians(height)
    unit = np.stack([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)], 1)
    return np.concatenate([unit, 2 * weight[:, None] / weight.sum()], 1).astype(np.float32)


_SKY = _sky_directions()


def _frame(towards: np.ndarray, size: int) -> np.ndarray:
    """Rows: right and up in texels of a shadow map, and away from the light in MakeHuman units."""
    right = np.array([towards[2], 0.0, -towards[0]])
    right /= max(np.linalg.norm(right), 1e-9)
    texels = size / _SPAN
    return np.stack([texels * right, texels * np.cross(towards, right), -towards]).astype(np.float32)


def _shadow_map(points: np.ndarray, faces: np.ndarray, cut: np.ndarray, frame: np.ndarray, size: int) -> np.ndarray:
    """Depths along the light; `frame` is the light's frame, in texels."""
    local = transform(points, frame, np.array([size / 2, size / 2, 0], np.float32))
    depth = np.full((size, size), 1e9, np.float32)
    rasterise_depth(local, faces, cut, depth)
    return depth


@njit(cache=True, fastmath=True)
@no_type_check
def _gather(points, normals, frame, depth, bias, lift, reach, direction, soft, out):
    """Add direction[3] * (wrapped cosine) * (share of the map around the point that does not hide it) to out[i].

    The share is bilinear over (2 reach) x (2 reach) texels. direction: towards the light and a weight.
    """
    size = depth.shape[0]
    for i in range(len(points)):
        facing = normals[i, 0] * direction[0] + normals[i, 1] * direction[1] + normals[i, 2] * direction[2]
        facing = (facing + soft) / (1 + soft)
        if facing <= 0:
            continue
        x = points[i, 0] + lift * normals[i, 0]
        y = points[i, 1] + lift * normals[i, 1]
        z = points[i, 2] + lift * normals[i, 2]
        u = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + size / 2
        v = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + size / 2
        d = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z - bias
        p, q = int(np.floor(u)), int(np.floor(v))
        if p < reach or q < reach or p >= size - reach or q >= size - reach:
            out[i] += direction[3] * facing
            continue
        fu, fv = u - p, v - q
        total, weight = 0.0, 0.0
        for b in range(1 - reach, 1 + reach):
            wv = 1 - fv if b == 1 - reach else (fv if b == reach else 1.0)
            for a in range(1 - reach, 1 + reach):
                wu = 1 - fu if a == 1 - reach else (fu if a == reach else 1.0)
                weight += wu * wv
                if d < depth[q + b, p + a]:
                    total += wu * wv
        out[i] += direction[3] * facing * total / weight


def light_vertices(mesh: Mesh, casting: Int[np.ndarray, "t 3"], sparse: Bool[np.ndarray, " t"], smooth: int,
                   centre: Float[np.ndarray, "3"], light: Light, soft: Float[np.ndarray, "n 3"],
                   openness: Float[np.ndarray, " n"], shiny: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Light that reaches each vertex (r, g, b) and a sheen (seen from the front, so that no view changes it).

    Args:
        casting: the faces that cast shadows. sparse: those among them that are enough for the sky's soft ones.
        smooth: the first vertices, up to this one, get a softer shadow. centre: the middle of the head.
        soft: how far light wraps around the terminator, per colour (skin: more red).
        openness: a baked factor for small cavities.
        shiny: strength of the sheen.
    """
    points, normals = (mesh.points - centre).astype(np.float32), mesh.normals
    sky = np.zeros(len(points), np.float32)
    thin = casting[sparse]
    for direction in _SKY:
        frame = _frame(direction[:3], _SKY_SIZE)
        depth = _shadow_map(points, thin, mesh.cut, frame, _SKY_SIZE)
        _gather(points, normals, frame, depth, np.float32(0.035), np.float32(0.05), 1, direction, np.float32(0.33), sky)
    towards = light.towards.astype(np.float32)
    frame = _frame(towards, _KEY_SIZE)
    depth = _shadow_map(points, casting, mesh.cut, frame, _KEY_SIZE)
    seen = np.zeros(len(points), np.float32)
    for part, reach in ((slice(0, smooth), 3), (slice(smooth, None), 1)):
        _gather(points[part], normals[part], frame, depth, np.float32(0.05), np.float32(0.0), reach,
                np.append(towards, np.float32(1)), np.float32(1e6), seen[part])  # so soft that it is the bare share
    facing = normals @ towards
    lit = np.clip((facing[:, None] + soft) / (1 + soft), 0, 1) * (0.10 + 0.90 * seen[:, None])
    half = light.towards + np.array([0, 0, 1.0])
    half /= np.linalg.norm(half)
    sheen = shiny * np.clip(normals @ half.astype(np.float32), 0, 1) ** 14 * (0.25 + 0.75 * seen)
    colour = (sky * openness)[:, None] * light.sky + lit * light.key * (0.5 + 0.5 * openness)[:, None]
    return np.concatenate([colour, (sheen * light.key.mean())[:, None]], 1).astype(np.float32)
