"""Smooth steps, value noise and the shape of brows, of which the materials are made.

numba's cache of `materials` does not see a change of this file: delete its `__pycache__` after one.
"""

import math
from typing import no_type_check

from numba import njit


@njit(cache=True, fastmath=True)
@no_type_check
def step(low, high, x):
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit(cache=True, fastmath=True)
@no_type_check
def _hash(i, j, k):
    h = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791)
    h = (h ^ (h >> 13)) * 1274126177
    h = h ^ (h >> 16)
    return (h & 0xFFFF) / 65535.0


@njit(cache=True, fastmath=True)
@no_type_check
def noise3(x, y, z):
    """Value noise in 0..1 with unit cells."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    i, j, k = int(i), int(j), int(k)
    a = _hash(i, j, k) * (1 - u) + _hash(i + 1, j, k) * u
    b = _hash(i, j + 1, k) * (1 - u) + _hash(i + 1, j + 1, k) * u
    c = _hash(i, j, k + 1) * (1 - u) + _hash(i + 1, j, k + 1) * u
    d = _hash(i, j + 1, k + 1) * (1 - u) + _hash(i + 1, j + 1, k + 1) * u
    return (a * (1 - v) + b * v) * (1 - w) + (c * (1 - v) + d * v) * w


@njit(cache=True, fastmath=True)
@no_type_check
def brow_field(x, y, thickness, arch):
    """Signed closeness to a brow: 1 on its spine, 0 at its rim; and the place along it, 0 inside to 1 outside."""
    t = (x - 0.115) / 0.50
    if t < -0.1 or t > 1.1:
        return -1.0, t
    u = min(max(t, 0.0), 1.0)
    spine = 7.462 + 0.075 * math.sin(2.3 * u) - 0.075 * u * u + arch * 0.10 * (math.sin(2.6 * u) - 0.4)
    half = 0.046 * thickness * (1 - 0.72 * u * u) * (0.72 + 0.28 * min(u / 0.2, 1.0))
    ends = min(t / 0.10 + 0.5, 1.0, (1.06 - t) / 0.12)
    return min(1 - abs(y - spine) / half, ends), u
