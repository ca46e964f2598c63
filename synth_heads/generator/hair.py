"""Hair: ribbons that grow from roots on the scalp, follow a combing field, fall, and stay outside the head."""

import math
from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from synth_heads.generator.accessories import HAT_SLOPE
from synth_heads.generator.asset import Asset
from synth_heads.generator.guide import Guide, locate, radius_at
from synth_heads.generator.hairline import hairline_polar
from synth_heads.generator.labels import M_HAIR
from synth_heads.generator.latent import Latent
from synth_heads.generator.mesh import Mesh
from synth_heads.generator.morphs import Traits, smoothstep

POINTS = 15  # points along a strand


class HairStyle(NamedTuple):
    """Lengths in MakeHuman units (about 13 cm), the rest without unit."""

    length: float
    volume: float
    fringe: float  # 0..1: how far front strands fall over the forehead
    part: float  # x of the parting
    curl: float  # amplitude of the waves
    turns: float  # waves a unit of length
    recede: float  # 0..1
    back: float  # 0..1: combed back
    taper: float  # 0..1: shorter sides
    lift: float
    lean: float  # more volume on the left (+) or right (-)
    tousle: float
    gravity: float
    brow: float  # y where a fringe ends
    hat: float  # station of the hat's rim, 0 without a hat
    width: float


def hair_style(z: Latent, traits: Traits, hat_rim: float, brow: float) -> HairStyle:
    """The style that a latent code asks for."""
    def h(name: str) -> float:
        return z("hair", name)

    grow = h("length") + 1.0 * (1 - 2 * traits.male) + 0.42
    long = smoothstep(-0.35, 0.55, grow)
    length = 0.16 + 0.42 * smoothstep(-2.4, -0.2, grow) + long * (1.15 + 0.75 * min(max(grow, 0.0), 2.4))
    curly = max(h("curl") + 0.8 * float(traits.ancestry[0]) - 0.1, 0.0)
    afro = smoothstep(0.8, 1.6, curly) * (1 - 0.6 * long)
    fringe = smoothstep(0.3, 1.1, h("fringe")) * smoothstep(0.35, 0.6, length)
    return HairStyle(
        length=length,
        volume=((0.19 + 0.08 * math.tanh(h("volume"))) * (0.45 + 0.55 * smoothstep(0.2, 0.9, length))
                + 0.20 * afro * smoothstep(0.2, 0.6, length)),
        fringe=fringe, part=0.33 * math.tanh(1.2 * h("part")),
        curl=0.012 + 0.042 * min(curly, 2.0) * (0.5 + 0.5 * long),
        turns=min(0.8 + 1.1 * min(curly, 2.5), 3.8 / length),  # more waves than its points can show would alias
        recede=smoothstep(0.2, 2.4, h("recede") + 0.9 * traits.old * traits.male) * (0.35 + 0.65 * traits.male),
        back=smoothstep(0.2, 1.3, h("back")) * (1 - fringe), taper=smoothstep(-0.4, 1.2, h("taper")) * (1 - long),
        lift=max(0.12 + 0.30 * h("lift"), 0.0) * (1 - 0.7 * long) + 0.8 * afro, lean=0.25 * math.tanh(h("asymmetry")),
        tousle=0.10 * math.exp(0.4 * h("tousle")), gravity=1.0 - 0.75 * afro, brow=brow, hat=hat_rim,
        width=0.048 + 0.016 * long + 0.016 * min(curly, 1.5))


@lru_cache(maxsize=1)
def _noise(count: int) -> np.ndarray:
    """(count, 8) fixed numbers in 0..1, the same for a root and its mirror image (roots are stored in two halves)."""
    k = np.arange(1, count // 2 + 1)[:, None]
    steps = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19]))
    half = (k * steps) % 1
    half = (half * 97.0 + 31.7 * np.sin(12.9898 * half * k)) % 1
    return np.concatenate([half, half]).astype(np.float32)


@lru_cache(maxsize=1)
def _ribbon_faces(count: int) -> np.ndarray:
    """Two triangles between each pair of neighbouring points of each ribbon; left edge first, then the right one."""
    first = (np.arange(count)[:, None] * POINTS + np.arange(POINTS - 1)).ravel() * 2
    quads = np.stack([first, first + 1, first + 3, first + 2], 1)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


@njit(cache=True, fastmath=True)
@no_type_check
def _grow(roots, azimuth, margin, noise, centre, radius, s):
    """Ribbon vertices (n, POINTS, 2, 3) and outward normals of the same shape."""
    count = len(roots)
    points = np.zeros((count, POINTS, 2, 3), np.float32)
    normals = np.zeros((count, POINTS, 2, 3), np.float32)
    path = np.zeros((POINTS, 3))
    for i in range(count):
        az0, m = azimuth[i], margin[i]
        layer = noise[i, 0]
        front = math.exp(-((az0 / 0.75) ** 2))
        edge = min(max(m / 0.30, 0.0), 1.0)
        side = 1.0 if roots[i, 0] >= 0 else -1.0
        sides = 1.0 - math.exp(-((az0 / 1.0) ** 2))
        low = min(max((0.75 - m) / 0.5, 0.0), 1.0) * sides  # the lower part of the sides and of the neck
        length = s.length * (0.78 + 0.32 * noise[i, 1]) * (1 - 0.72 * s.taper * low)
        side_burn = math.exp(-(((abs(az0) - 1.30) / 0.16) ** 2)) * min(max((0.22 - m) / 0.1, 0.0), 1.0)
        length = length * (1 - side_burn) + min(length, 0.16) * side_burn
        lean = 1 + s.lean * math.sin(az0)
        height = 0.012 + s.volume * lean * (0.18 + 0.82 * math.sqrt(layer))
        height *= (0.30 + 0.70 * edge) * (1 - 0.65 * s.taper * low)
        px, py, pz = roots[i, 0], roots[i, 1], roots[i, 2]
        _, _, _, ox, oy, oz = locate(centre, px, py, pz)
        # combing direction at the root, away from the parting; jitter by cluster and by strand
        away = math.tanh((px - s.part) / 0.10)
        ahead = pz - centre[2]
        forward = min(max(ahead / 0.5, 0.0), 1.0)
        cx = away * (0.35 + 0.65 * forward) + 0.55 * (px - s.part) * (1 - forward)
        cz = (ahead + 0.25) * (1 - forward) - 0.35 * forward
        cy = -0.35
        falls = s.fringe * front * min(max((0.75 - m) / 0.25, 0.0), 1.0)
        cx += falls * (0.35 * (px + 0.4 * s.part) - cx)
        cz += falls * (1.0 - cz)
        b = s.back * (0.4 + 0.6 * front)
        cx += b * (0.25 * px - cx)
        cz += b * (-1.0 - cz)
        cy += b * (0.1 - cy) + 0.35 * front * (1 - falls)
        sweep = 1.0 if away >= 0 else -1.0
        jx = (noise[i, 2] - 0.5) * 2 * s.tousle * side
        jz = (noise[i, 3] - 0.5) * 2 * s.tousle
        phase = 6.283 * noise[i, 4] * 0.5 + 3.0 * abs(az0) + 4.0 * m
        dx, dy, dz = ox * (0.5 + s.lift), oy * (0.5 + s.lift), oz * (0.5 + s.lift)
        dx += cx
        dy += cy
        dz += cz
        last = POINTS - 1
        for k in range(POINTS):
            path[k, 0], path[k, 1], path[k, 2] = px, py, pz
            if k >= last:
                continue
            arc = length * ((k + 1) / (POINTS - 1)) ** 1.4  # shorter steps near the root
            step = arc - length * (k / (POINTS - 1)) ** 1.4
            az, station, r, ox, oy, oz = locate(centre, px, py, pz)
            fall = s.gravity * min(arc / 0.9, 1.0) ** 1.2
            keep = math.exp(-arc / 0.8)
            up = s.lift * math.exp(-arc / 0.35) * (0.4 + 0.6 * max(front, 0.3))
            tx = cx * keep + ox * up + jx * 1.6 * keep
            ty = cy * keep + oy * up - (0.25 + 1.6 * fall) * s.gravity
            tz = cz * keep + oz * up + jz * 1.6 * keep
            over = math.exp(-((az / 0.75) ** 2)) * (1 - falls)  # above the face, without a fringe: keeps to its combing
            ty += over * (1.3 * fall * s.gravity + 0.2)
            tx += over * 0.9 * sweep * (1 - b)
            if s.back > 0.3 and station > 0.7:
                tz -= 1.2 * s.back * keep
            dot = tx * ox + ty * oy + tz * oz
            if dot < 0 and station < 1.3:  # along the surface, not into it
                tx -= dot * ox
                ty -= dot * oy
                tz -= dot * oz
            size = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
            turn = min(0.25 + step * 2.5, 0.8)
            size_d = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
            dx = dx / size_d * (1 - turn) + tx / size * turn
            dy = dy / size_d * (1 - turn) + ty / size * turn
            dz = dz / size_d * (1 - turn) + tz / size * turn
            size_d = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
            px += dx / size_d * step
            py += dy / size_d * step
            pz += dz / size_d * step
            az, station, r, ox, oy, oz = locate(centre, px, py, pz)
            rise = min(arc / (0.20 + 0.35 * layer), 1.0)
            inner = radius_at(radius, az, station) + 0.008 + height * rise * (2 - rise)
            hang = min(max((station - 1.05) / 0.5, 0.0), 1.0)
            outer = inner + (0.02 + 0.5 * s.lift * s.volume + 0.5 * s.tousle * s.volume) + 0.35 * hang
            if s.hat > 0:
                tight = radius_at(radius, az, station) + 0.03 + 0.02 * layer
                rim = s.hat + HAT_SLOPE * (0.5 - 0.5 * math.cos(az))
                under = min(max((rim + 0.16 - station) / 0.12, 0.0), 1.0)
                inner += under * (tight - inner)
                outer += under * (tight - outer)
            grown = min(max(r, inner), outer)
            push = grown - r
            px += ox * push
            py += oy * push
            pz += oz * push
            if pz > centre[2] and ((abs(az) < 0.62 and py < s.brow + 0.10 * noise[i, 5])  # never over the eyes
                                   or (falls < 0.4 and abs(az) < 0.6 and station > 0.66 + 0.08 * noise[i, 5])):
                last = max(k, 1)  # ... nor, without a fringe, stray strands over the forehead
                px, py, pz = path[k, 0], path[k, 1], path[k, 2]
        # waves, then the ribbon's two edges
        for k in range(POINTS):
            a, b2 = max(k - 1, 0), min(k + 1, POINTS - 1)
            tx, ty, tz = path[b2, 0] - path[a, 0], path[b2, 1] - path[a, 1], path[b2, 2] - path[a, 2]
            size = math.sqrt(tx * tx + ty * ty + tz * tz)
            if size < 1e-6:
                tx, ty, tz, size = 0.0, -1.0, 0.0, 1.0
            tx, ty, tz = tx / size, ty / size, tz / size
            x, y, z = path[k, 0], path[k, 1], path[k, 2]
            _, _, _, ox, oy, oz = locate(centre, x, y, z)
            bx, by, bz = ty * oz - tz * oy, tz * ox - tx * oz, tx * oy - ty * ox
            size = math.sqrt(bx * bx + by * by + bz * bz)
            if size < 1e-4:
                bx, by, bz, size = 1.0, 0.0, 0.0, 1.0
            bx, by, bz = bx / size, by / size, bz / size
            nx, ny, nz = by * tz - bz * ty, bz * tx - bx * tz, bx * ty - by * tx
            if nx * ox + ny * oy + nz * oz < 0:
                nx, ny, nz = -nx, -ny, -nz
            t = min((k / last) ** 1.4, 1.0)
            wave = s.curl * min(t * s.length / 0.15, 1.0)
            az, station, _, _, _, _ = locate(centre, x, y, z)
            ceiling = 1e9
            if s.hat > 0 and station < s.hat + HAT_SLOPE * (0.5 - 0.5 * math.cos(az)) + 0.05:
                wave = 0.0
                ceiling = radius_at(radius, az, station) + 0.085
            angle = 6.283 * s.turns * length * (k / (POINTS - 1)) ** 1.4 + phase
            sway, swell = wave * math.sin(angle) * side, wave * (0.6 + 0.6 * math.cos(angle))
            x += bx * sway + nx * swell
            y += by * sway + ny * swell
            z += bz * sway + nz * swell
            roll = (noise[i, 6] - 0.5) * 1.1 * side
            cr, sr = math.cos(roll), math.sin(roll)
            ex, ey, ez = bx * cr + nx * sr, by * cr + ny * sr, bz * cr + nz * sr
            half = 0.5 * s.width * (1 - 0.30 * front) * (0.7 + 0.6 * noise[i, 7])
            half *= (0.65 + 0.35 * min(t * 4, 1.0)) * min((1.0 - t) * 2.2 + 0.06, 1.0)
            for e in range(2):
                sign = (2 * e - 1) * side  # mirrored strands are split into mirrored triangles
                points[i, k, e, 0] = x + sign * ex * half
                points[i, k, e, 1] = y + sign * ey * half
                points[i, k, e, 2] = z + sign * ez * half
                if ceiling < 1e8:
                    _, _, r, ux, uy, uz = locate(centre, points[i, k, e, 0], points[i, k, e, 1], points[i, k, e, 2])
                    over = max(r - ceiling, 0.0)
                    points[i, k, e, 0] -= ux * over
                    points[i, k, e, 1] -= uy * over
                    points[i, k, e, 2] -= uz * over
                qx = nx + 0.5 * ox + sign * 0.45 * ex  # between the ribbon's normal and the head's, rounded across
                qy = ny + 0.5 * oy + sign * 0.45 * ey
                qz = nz + 0.5 * oz + sign * 0.45 * ez
                size = math.sqrt(qx * qx + qy * qy + qz * qz) + 1e-6
                normals[i, k, e, 0], normals[i, k, e, 1], normals[i, k, e, 2] = qx / size, qy / size, qz / size
    return points, normals


def hair_margin(azimuth: Float[np.ndarray, "*any"], polar: Float[np.ndarray, "*any"],
                style: HairStyle) -> Float[np.ndarray, "*any"]:
    """Radians inside the hair line (negative outside)."""
    return hairline_polar(azimuth, style.recede) - polar


def hair_mesh(asset: Asset, points: Float[np.ndarray, "v 3"], guide: Guide, style: HairStyle) -> Mesh:
    """All strands of a head as one mesh; attributes: across, along, the strand's own number, layer."""
    roots = (points[asset.root_vertices] * asset.root_weights[..., None]).sum(1)
    margin = hair_margin(asset.root_azimuth, asset.root_polar, style).astype(np.float32)
    noise = _noise(len(roots))
    grown = margin > -0.03 + 0.09 * noise[:, 3] - 0.05
    if not grown.any():
        return Mesh.empty()
    noise = noise[grown]
    ribbons, normals = _grow(np.ascontiguousarray(roots[grown]), asset.root_azimuth[grown], margin[grown], noise,
                             guide.centre, guide.radius, style)
    count = len(ribbons)
    attributes = np.zeros((count, POINTS, 2, 8), np.float32)
    attributes[..., 1, 0] = 1
    attributes[..., 1] = np.linspace(0, 1, POINTS, dtype=np.float32)[:, None]
    attributes[..., 2] = noise[:, 4, None, None]
    attributes[..., 3] = noise[:, 0, None, None]
    faces = _ribbon_faces(count)
    return Mesh(ribbons.reshape(-1, 3), faces, np.full(len(faces), M_HAIR, np.uint8),
                attributes.reshape(-1, 8), normals.reshape(-1, 3), np.ones(count * POINTS * 2, np.float32))


def every_second_strand(first: int, faces: np.ndarray, material: np.ndarray) -> np.ndarray:
    """(t,) bool: faces of hair that belong to every second strand of each half; vertex `first` begins the hair."""
    strand = (faces[:, 0] - first) // (2 * POINTS)
    half = max(np.count_nonzero(material == M_HAIR) // (4 * (POINTS - 1)), 1)
    return strand % half % 2 == 0
