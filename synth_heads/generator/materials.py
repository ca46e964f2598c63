"""Materials: label and colour of a point of a head (compiled; called a few ten thousand times a picture).

Coordinates are those of the resting base head, so that every feature follows the morphs: x to the person's left,
eyes at (+-.31, 7.28), tip of the nose at (0, 6.94, 1.68), chin at y 6.3.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from synth_heads.generator.labels import (
    CLOTH,
    EAR_R,
    EYE_G,
    HAIR,
    HAT,
    L_BROW,
    L_EAR,
    L_EYE,
    L_LIP,
    M_CLOTH,
    M_EARRING,
    M_EYE_LEFT,
    M_EYE_RIGHT,
    M_HAIR,
    M_HAT,
    M_LASHES,
    M_NECKLACE,
    M_SKIN,
    M_TEETH,
    M_TONGUE,
    MOUTH,
    NECK,
    NECK_L,
    NOSE,
    R_BROW,
    R_EAR,
    R_EYE,
    SKIN,
    U_LIP,
)
from synth_heads.generator.patterns import brow_field, noise3, step

# Where the fields of a packed `Look` begin (compiled code reads a plain array much faster than a tuple of arrays).
SKIN_COLOUR, LIPS, HAIR_COLOUR, IRIS, CLOTH_COLOUR, HAT_COLOUR, METAL, FRAME, BACKGROUND_COLOUR = range(0, 27, 3)
TINT, FRECKLES, BEARD, BROW_THICKNESS, BROW_ARCH, MAKE_UP, GAZE_X, GAZE_Y, GLINT_X = range(27, 36)


@njit(cache=True, fastmath=True)
@no_type_check
def _sample(masks, u, v, channel):
    """Bilinear value 0..1 of one mask channel at texture coordinates (v up)."""
    size = masks.shape[0]
    x, y = min(max(u * size - 0.5, 0.0), size - 1.001), min(max((1 - v) * size - 0.5, 0.0), size - 1.001)
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    top = masks[j, i, channel] * (1 - fx) + masks[j, i + 1, channel] * fx
    low = masks[j + 1, i, channel] * (1 - fx) + masks[j + 1, i + 1, channel] * fx
    return (top * (1 - fy) + low * fy) / 255.0


@njit(cache=True, fastmath=True)
@no_type_check
def _skin(a, u, v, masks, look, out):
    """attributes: rest x, y, z; nose, upper minus lower lip, neck, ear weights; hair margin in radians."""
    x, y, z, nose, lip, neck, ear, margin = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    ax = abs(x)
    r, g, b = look[SKIN_COLOUR], look[SKIN_COLOUR + 1], look[SKIN_COLOUR + 2]
    label = SKIN
    mottle = noise3(ax * 9, y * 9, z * 9) - 0.5 + 0.6 * (noise3(ax * 23, y * 23, z * 23) - 0.5)
    r *= 1 + 0.05 * mottle
    g *= 1 + 0.09 * mottle
    b *= 1 + 0.09 * mottle
    if z > 0.7:
        cheeks = math.exp(-(((ax - 0.50) / 0.22) ** 2 + ((y - 6.98) / 0.20) ** 2))
        tip = math.exp(-((ax / 0.17) ** 2 + ((y - 6.93) / 0.13) ** 2)) * step(1.45, 1.6, z)
        sockets = math.exp(-(((ax - 0.30) / 0.20) ** 2 + ((y - 7.20) / 0.10) ** 2))
        red = 0.55 * cheeks * (0.6 + 0.5 * look[MAKE_UP]) + 0.45 * tip + 0.3 * ear
        r *= 1 + 0.04 * red - 0.08 * sockets
        g *= 1 - 0.22 * red - 0.13 * sockets
        b *= 1 - 0.20 * red - 0.09 * sockets
        lid = math.exp(-(((ax - 0.31) / 0.17) ** 2 + ((y - 7.37) / 0.05) ** 2)) * (0.12 + 0.4 * look[MAKE_UP])
        r *= 1 - 0.45 * lid
        g *= 1 - 0.6 * lid
        b *= 1 - 0.55 * lid
        if look[FRECKLES] > 0.02:
            spots = step(0.70, 0.82, noise3(ax * 34, y * 34, z * 20)) * look[FRECKLES] * (cheeks + 0.7 * tip + 0.15)
            r *= 1 - 0.25 * spots
            g *= 1 - 0.40 * spots
            b *= 1 - 0.45 * spots

    throat = 6.28 - 0.30 * (z - 1.45) + 0.55 * max(0.0, 0.9 - z) if z > 0.2 else 7.0
    if (neck > 0.5 and ear < 0.3 and y < min(throat, 7.2)) or y < 5.95:
        label = NECK
    bridge = 0.082 + 0.100 * step(7.14, 6.90, y)
    if z > 1.3 and 6.795 < y < 7.28 and ax < bridge and (nose > 0.30 or y > 7.1):
        label = NOSE
    if _sample(masks, u, v, 1) > 0.5:
        label = L_EAR if x > 0 else R_EAR
        g *= 0.93
        b *= 0.93
    if margin > -0.12 and label == SKIN:
        ragged = margin + 0.07 * (noise3(ax * 16, y * 5, z * 5) - 0.5) + 0.05 * (noise3(ax * 40, y * 14, z * 14) - 0.5)
        cover = step(-0.05, 0.07, ragged)
        shade = 0.55
        r += (look[HAIR_COLOUR] * shade - r) * cover
        g += (look[HAIR_COLOUR + 1] * shade - g) * cover
        b += (look[HAIR_COLOUR + 2] * shade - b) * cover
        if cover > 0.5:
            label = HAIR

    if label == SKIN and z > 0.75 and 7.3 < y < 7.8:
        near, along = brow_field(ax, y, look[BROW_THICKNESS], look[BROW_ARCH])
        if near > -0.3:
            hairs = noise3(ax * 70 + y * 55 * (1 - along), y * 30 - ax * 24, 3.7)
            cover = min(step(-0.35, 0.40, near) * (0.86 + 0.5 * (hairs - 0.5)), 1.0) * (0.98 - 0.2 * along * along)
            r += (look[HAIR_COLOUR] * 0.6 - r) * cover
            g += (look[HAIR_COLOUR + 1] * 0.6 - g) * cover
            b += (look[HAIR_COLOUR + 2] * 0.6 - b) * cover
            if near > 0:
                label = L_BROW if x > 0 else R_BROW
    lips = _sample(masks, u, v, 0)
    if lips > 0.08 and label != NOSE:
        cover = step(0.15, 0.75, lips)
        fine = 1 + 0.10 * (noise3(ax * 60, y * 4, 1.5) - 0.5)
        r += (look[LIPS] * fine - r) * cover
        g += (look[LIPS + 1] * fine - g) * cover
        b += (look[LIPS + 2] * fine - b) * cover
        if lips > 0.5:
            label = U_LIP if lip > 0 else L_LIP
    if look[BEARD] > 0.02 and z > 0.1 and y < 7.05 and label in (SKIN, NECK):
        cheek = step(0.10, -0.14, y - (6.66 + 0.42 * step(0.35, 0.85, ax)))
        under = step(6.02, 6.22, y)
        tash = step(0.085, 0.03, abs(y - (6.745 - 0.5 * max(ax - 0.15, 0.0)))) * step(1.2, 1.35, z)
        tash *= step(0.46, 0.34, ax) * (0.7 + 0.3 * step(0.02, 0.06, ax))
        chin = step(6.60, 6.50, y) * step(0.5, 0.2, ax)
        density = max(max(cheek, chin) * under, tash) * look[BEARD]
        grain = 0.55 + 0.9 * (noise3(ax * 60, y * 26, z * 40) - 0.25)
        cover = min(density * grain, 0.92) * (1 - step(0.05, 0.4, lips))
        r += (look[HAIR_COLOUR] * 0.8 - r) * cover
        g += (look[HAIR_COLOUR + 1] * 0.8 - g) * cover
        b += (look[HAIR_COLOUR + 2] * 0.8 - b) * cover
    if _sample(masks, u, v, 3) > 0.5:
        label = MOUTH
        r, g, b = 0.16, 0.03, 0.03
    out[0], out[1], out[2] = r, g, b
    return label


@njit(cache=True, fastmath=True)
@no_type_check
def _eye(a, look, left, out):
    """attributes: direction from the eye's middle (x to the person's left, y up, z to the front)."""
    size = math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]) + 1e-9
    x, y, z = a[0] / size - look[GAZE_X], a[1] / size - look[GAZE_Y], a[2] / size
    rr = math.sqrt(x * x + y * y)
    r, g, b = 0.60, 0.56, 0.53
    veins = step(0.5, 1.0, rr)
    g *= 1 - 0.15 * veins
    b *= 1 - 0.15 * veins
    if rr < 0.50 and z > 0:
        rays = 0.75 + 0.5 * noise3(math.atan2(y, abs(x)) * 6, rr * 4, 2.5)
        edge = 1 - 0.75 * step(0.38, 0.49, rr)
        shine = (0.75 + 0.9 * rr) * rays * edge
        r, g, b = look[IRIS] * shine, look[IRIS + 1] * shine, look[IRIS + 2] * shine
        if rr < 0.20:
            dark = 0.004
            mix = step(0.20, 0.16, rr)
            r, g, b = r + (dark - r) * mix, g + (dark - g) * mix, b + (dark - b) * mix
    glint = step(0.12, 0.06, math.sqrt((a[0] / size - look[GLINT_X]) ** 2 + (a[1] / size - 0.17) ** 2))
    out[0], out[1], out[2] = r + 0.8 * glint, g + 0.8 * glint, b + 0.8 * glint
    return L_EYE if left else R_EYE


@njit(cache=True, fastmath=True)
@no_type_check
def _hair(a, look, out):
    """attributes: across, along, the strand's own number, layer (0 inside, 1 outside)."""
    across, along, own, layer = a[0], a[1], a[2], a[3]
    fine = noise3(across * 6 + own * 97, along * 2.5, own * 31) - 0.5
    streak = noise3(across * 15 + own * 57, along * 1.5, own * 71) - 0.5
    shade = (0.62 + 0.45 * layer) * (0.80 + 0.40 * own) * (1 + 0.50 * fine + 0.55 * streak)
    tip = 1 + 0.25 * along
    shade = max(shade, 0.1) * tip
    out[0], out[1], out[2] = look[HAIR_COLOUR] * shade, look[HAIR_COLOUR + 1] * shade, look[HAIR_COLOUR + 2] * shade
    return HAIR


@njit(cache=True, fastmath=True)
@no_type_check
def shade_point(material, a, u, v, masks, look, out):
    """Write the linear colour of a point to `out` and return its label.

    Args:
        material: one of labels.M_*.
        a: its eight attributes. u, v: its texture coordinates (skin only). masks: the asset's masks.
    """
    if material == M_SKIN:
        return _skin(a, u, v, masks, look, out)
    if material == M_HAIR:
        return _hair(a, look, out)
    if material in (M_EYE_LEFT, M_EYE_RIGHT):
        return _eye(a, look, material == M_EYE_LEFT, out)
    if material == M_CLOTH:
        ax = abs(a[0])
        weave = 0.84 + 0.16 * (noise3(ax * 60, a[1] * 60, a[2] * 60) + noise3(ax * 5, a[1] * 5, a[2] * 5))
        for k in range(3):
            out[k] = look[CLOTH_COLOUR + k] * weave
        return CLOTH
    if material == M_HAT:
        rib = 1 + a[3] * math.sin(a[0]) + 0.12 * (noise3(a[4] * 40, a[5] * 40, a[6] * 40) - 0.5)
        out[0], out[1], out[2] = look[HAT_COLOUR] * rib, look[HAT_COLOUR + 1] * rib, look[HAT_COLOUR + 2] * rib
        return HAT
    if material == M_TEETH:
        line = 1 - 0.35 * step(0.75, 1.0, abs(2 * ((abs(a[0]) * 9) % 1) - 1))
        out[0], out[1], out[2] = 0.72 * line, 0.69 * line, 0.60 * line
        return MOUTH
    if material == M_TONGUE:
        out[0], out[1], out[2] = 0.30, 0.09, 0.09
        return MOUTH
    if material == M_LASHES:
        out[0], out[1], out[2] = 0.020, 0.014, 0.012
        return L_EYE if a[0] > 0 else R_EYE
    if material in (M_EARRING, M_NECKLACE):
        out[0], out[1], out[2] = look[METAL], look[METAL + 1], look[METAL + 2]
        return EAR_R if material == M_EARRING else NECK_L
    out[0], out[1], out[2] = look[FRAME], look[FRAME + 1], look[FRAME + 2]
    return EYE_G


@njit(cache=True, fastmath={"contract", "arcp", "nsz", "afn", "reassoc"})  # not the flags that forbid infinities
@no_type_check
def resolve(near, face_id, weights, lens, faces, material, attributes, light, uv, masks, look, n, middle, scale, gamma,
            rgb, labels, far):
    """Shade the n x n samples of every pixel and fill rgb, labels and far (the distance along the ray).

    near, face_id, weights: what `raster.rasterise` left; lens: the nearness of lenses. middle, scale: the camera's
    principal point and focal length in samples. gamma: display values of 4096 linear ones. The label is the samples'
    majority (the nearer one of equals), the distance the mean over the samples that carry it.
    """
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
