"""Volumes as they travel: a few hundred kilobytes, which web/viewer/volume.js unpacks.

    coarse, fine = bake(scene, sizes=(24, 72))
    data = [pack(coarse), pack(fine, coarse)]

Layout: b"S2NV"; the length of the header as a little-endian uint32; the header, JSON in UTF-8:

    {"version": 1, "size": 72, "half": 0.13, "densityScale": 925.2, "base": 24,
     "background": {"size": 32, "half": 0.207}, "parts": {"rgba": 398000, "background": 15000, "labels": 0}}

and the parts with these lengths in bytes, one after another, each deflated (zlib). Texels are stored channel by
channel: all of red, then green, blue, density. With `base` above 0 they are differences, modulo 256, from the packed
volume of that size enlarged by `enlarged`. Labels are never differences.
"""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
from jaxtyping import Int, UInt8

from web.volume.baking import Volume

MAGIC, VERSION = b"S2NV", 1
FAST, SMALL = 1, 9  # levels of zlib
COLOUR_STEP = 4  # to which differences of colours are rounded: it costs 0.1 dB and saves a third
EMPTY_BELOW = 96  # how far below zero a density lies need not be exact; above, a false density would be fog


def pack(volume: Volume, coarse: Volume | None = None, level: int = SMALL) -> bytes:
    """Bytes of a volume.

    Args:
        coarse: the reader has this one already, packed without another: only what it lacks is written. Colours are then
            exact to 2 or 3 of 255, densities exactly those of the volume wherever they are above zero.
        level: of compression, FAST or SMALL.

    Raises:
        ValueError: the size is no multiple of that of `coarse`.
    """
    texels = volume.rgba if coarse is None else difference(volume.rgba, coarse.rgba)
    parts = {"rgba": np.moveaxis(texels, -1, 0), "background": np.moveaxis(volume.background, -1, 0),
             "labels": volume.labels}
    packed = {name: b"" if part is None else zlib.compress(part.tobytes(), level) for name, part in parts.items()}
    header = json.dumps({
        "version": VERSION, "size": volume.size, "half": volume.half, "densityScale": volume.density_scale,
        "base": coarse.size if coarse else 0,
        "background": {"size": len(volume.background), "half": volume.background_half},
        "parts": {name: len(part) for name, part in packed.items()}}).encode()
    return b"".join([MAGIC, struct.pack("<I", len(header)), header, *packed.values()])


def difference(fine: UInt8[np.ndarray, "size size size 4"], coarse: UInt8[np.ndarray, "base base base 4"]
               ) -> UInt8[np.ndarray, "size size size 4"]:
    """What to add to the enlarged coarse texels, modulo 256; zero where nothing can be seen."""
    guess, wanted = enlarged(coarse, len(fine)), fine.astype(np.int32)
    rest = wanted - guess
    rest[..., :3] = np.rint(rest[..., :3] / COLOUR_STEP) * COLOUR_STEP
    result = guess + rest
    # rounding must not leave 0..255: the reader counts modulo 256
    rest[..., :3] += COLOUR_STEP * ((result[..., :3] < 0).astype(np.int32) - (result[..., :3] > 255))
    invisible = np.maximum(wanted[..., 3], guess[..., 3]) <= EMPTY_BELOW
    rest[invisible] = 0
    return rest.astype(np.uint8)


def enlarged(texels: UInt8[np.ndarray, "base base base 4"], size: int) -> Int[np.ndarray, "size size size 4"]:
    """Linear interpolation between texel centres, in whole numbers, so that every reader gets the same ones.

    With k = size / base, texel i of the new ones lies at (2 i + 1 - k) / 2k of the old ones.
    """
    base, k = len(texels), size // len(texels)
    if base * k != size:
        raise ValueError(f"the size must be a multiple of {base}, got {size}")
    place = 2 * np.arange(size) + 1 - k
    low, weight = np.floor_divide(place, 2 * k), np.mod(place, 2 * k).astype(np.int32)
    low, high = np.clip(low, 0, base - 1), np.clip(low + 1, 0, base - 1)
    values = texels.astype(np.int32)
    for axis in range(3):
        w = weight.reshape([-1 if i == axis else 1 for i in range(4)])
        values = values.take(low, axis) * (2 * k - w) + values.take(high, axis) * w
    return (values + 4 * k**3) // (8 * k**3)


