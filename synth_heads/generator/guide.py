"""The guide map of one head: how far its surface (without ears) lies from the middle, all around.

Above GUIDE_CENTRE the map is spherical, below it is cylindrical, so that scalp, face, neck and shoulders have one
smooth parametrisation. Hair, hats, necklaces stand on it.
"""

import math
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from synth_heads.generator.asset import GUIDE_CENTRE, GUIDE_DROP, GUIDE_STATIONS, Asset


class Guide(NamedTuple):
    """`radius[azimuth, station]` about `centre`; azimuths -pi..pi inclusive, stations 0..GUIDE_STATIONS."""

    centre: Float[np.ndarray, "3"]
    radius: Float[np.ndarray, "a s"]


def guide_map(asset: Asset, points: Float[np.ndarray, "v 3"]) -> Guide:
    """Measure the map on shaped vertices (MakeHuman units)."""
    surface = (points[asset.guide_vertices] * asset.guide_weights[..., None]).sum(2)
    rest = (asset.vertices[asset.guide_vertices] * asset.guide_weights[..., None]).sum(2)
    scalp = slice(0, 20)
    centre = np.array(GUIDE_CENTRE, np.float32) + (surface - rest)[:, scalp].mean((0, 1))
    offset = surface - centre
    station = np.linspace(0, GUIDE_STATIONS, surface.shape[1])
    offset[:, station > 1, 1] = 0
    return Guide(centre.astype(np.float32), np.linalg.norm(offset, axis=-1).astype(np.float32))


@njit(cache=True, fastmath=True)
@no_type_check
def locate(centre, x, y, z):
    """Azimuth, station and radius of a point, and the unit vector outwards."""
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    flat = math.sqrt(dx * dx + dz * dz) + 1e-9
    azimuth = math.atan2(dx, dz)
    if dy > 0:
        r = math.sqrt(flat * flat + dy * dy)
        return azimuth, math.atan2(flat, dy) / (math.pi / 2), r, dx / r, dy / r, dz / r
    return azimuth, 1.0 - dy / GUIDE_DROP, flat, dx / flat, 0.0, dz / flat


@njit(cache=True, fastmath=True)
@no_type_check
def radius_at(radius, azimuth, station):
    """The map's radius at an azimuth and a station, bilinear, clamped at its ends."""
    rows, columns = radius.shape
    u = (azimuth / (2 * math.pi) + 0.5) * (rows - 1)
    v = station / GUIDE_STATIONS * (columns - 1)
    u = min(max(u, 0.0), rows - 1.001)
    v = min(max(v, 0.0), columns - 1.001)
    i, j = int(u), int(v)
    fu, fv = u - i, v - j
    return ((radius[i, j] * (1 - fu) + radius[i + 1, j] * fu) * (1 - fv)
            + (radius[i, j + 1] * (1 - fu) + radius[i + 1, j + 1] * fu) * fv)


def guide_points(guide: Guide, azimuth: Float[np.ndarray, "*any"], station: Float[np.ndarray, "*any"],
                 offset: float | Float[np.ndarray, "*any"] = 0.0) -> Float[np.ndarray, "*any 3"]:
    """Points `offset` above the surface at these azimuths (radians) and stations."""
    azimuth, station = np.broadcast_arrays(azimuth, station)
    radius = _radii(guide.radius, azimuth.ravel(), station.ravel()).reshape(azimuth.shape) + offset
    polar = np.minimum(station, 1) * np.pi / 2
    direction = np.stack([np.sin(azimuth) * np.sin(polar), np.cos(polar), np.cos(azimuth) * np.sin(polar)], -1)
    points = guide.centre + radius[..., None] * direction
    points[..., 1] -= np.maximum(station - 1, 0) * GUIDE_DROP
    return points


@njit(cache=True)
@no_type_check
def _radii(radius, azimuth, station):
    out = np.empty(len(azimuth))
    for k in range(len(azimuth)):
        out[k] = radius_at(radius, azimuth[k], station[k])
    return out
