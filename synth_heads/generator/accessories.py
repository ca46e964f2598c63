"""Glasses, hats, earrings and necklaces: tubes and shells that stand on the guide map or on the ears."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from synth_heads.generator.asset import FIELD_EAR, GUIDE_DROP, Asset
from synth_heads.generator.guide import Guide, guide_points
from synth_heads.generator.labels import M_EARRING, M_FRAME, M_HAT, M_LENS, M_NECKLACE
from synth_heads.generator.latent import Latent
from synth_heads.generator.mesh import Mesh, grid_faces
from synth_heads.generator.morphs import Traits, smoothstep

HAT_SLOPE = 0.42  # the rim's station grows by this from the forehead to the neck


class Extras(NamedTuple):
    """What a head wears: solid pieces, see-through lenses, the guide station of the hat's rim in front (0: no hat)."""

    solid: list[Mesh]
    lenses: list[Mesh]
    hat_rim: float


def accessories(asset: Asset, points: Float[np.ndarray, "v 3"], guide: Guide, z: Latent, traits: Traits,
                eyes: list[np.ndarray]) -> Extras:
    """Everything that the latent code puts on. `eyes`: the middles of the left and the right eye."""
    solid, lenses, rim = [], [], 0.0
    if z("glasses", "worn") > 1.2:
        frame, lenses = _glasses(guide, z, eyes)
        solid.append(frame)
    if z("hat", "worn") > 1.55:
        rim = 0.60 + 0.05 * smoothstep(0.1, -0.3, z("hat", "kind"))  # knitted hats are pulled down
        solid.append(_hat(guide, z("hat", "kind"), rim))
    if z("earrings", "worn") > 0.55 + 1.3 * traits.male:
        solid.append(_earrings(asset, points, z("earrings", "size")))
    if z("necklace", "worn") > 0.75 + 1.2 * traits.male:
        solid.append(_necklace(guide, z("necklace", "drop")))
    return Extras(solid, lenses, rim)


def tube(path: Float[np.ndarray, "k 3"], radius: float | Float[np.ndarray, " k"], closed: bool = False,
         sides: int = 6) -> tuple[Float[np.ndarray, "n 3"], np.ndarray]:
    """Vertices and triangles of a round tube along a path; a closed path joins its last point to its first."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        along[0], along[-1] = path[1] - path[0], path[-1] - path[-2]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # of the world's axes, the one that is farthest from every direction of the path gives a steady frame
    reference = np.eye(3)[np.abs(along).max(0).argmin()]
    u = np.cross(along, reference)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(along, u)
    angle = np.arange(sides) / sides * 2 * np.pi
    ring = u[:, None] * np.cos(angle)[:, None] + v[:, None] * np.sin(angle)[:, None]
    vertices = path[:, None] + np.broadcast_to(radius, len(path))[:, None, None] * ring
    if closed:
        vertices = np.concatenate([vertices, vertices[:1]])
    return vertices.reshape(-1, 3), grid_faces(len(vertices), sides, wrap=True)


def _glasses(guide: Guide, z: Latent, eyes: list[np.ndarray]) -> tuple[Mesh, list[Mesh]]:
    size, square = np.tanh(0.6 * z("glasses", "size")), 1 / (1 + np.exp(-1.5 * z("glasses", "square")))
    half_width, half_height = 0.265 + 0.035 * size, 0.195 + 0.055 * size - 0.03 * square
    power, thick = 2.0 + 2.5 * square, 0.016 + 0.006 * square
    front = float(eyes[0][2]) + 0.265
    middle_y = float(eyes[0][1]) - 0.02
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = np.stack([np.sign(t) * np.abs(t) ** (2 / power) for t in (np.cos(angle), np.sin(angle))], 1)

    def bend(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Onto the frame's curved front."""
        return np.stack([x, y, front - 0.22 * x * x], -1)

    pieces, lenses = [], []
    for eye, sign in zip(eyes, (1, -1), strict=True):
        x = eye[0] + sign * 0.012 + half_width * outline[:, 0] * sign
        y = middle_y + half_height * outline[:, 1] * (1 - 0.10 * outline[:, 0])
        rim = bend(x, y)
        pieces.append(Mesh.plain(*tube(rim, thick, closed=True), M_FRAME))
        disc = np.concatenate([rim.mean(0)[None] * (1 - t) + rim * t for t in (0.0, 0.5, 1.0)])
        lenses.append(Mesh.plain(disc, grid_faces(3, len(rim), wrap=True), M_LENS))
        outer = bend(np.array([eye[0] + sign * (half_width + 0.02)]), np.array([middle_y + 0.3 * half_height]))
        azimuth = sign * np.radians(np.linspace(58, 88, 7))
        station = 1 + (guide.centre[1] - middle_y - 0.3 * half_height - 0.02) / GUIDE_DROP
        temple = guide_points(guide, azimuth, np.full(7, min(station, 1.04)), 0.035)
        temple[:, 1] = np.linspace(outer[0, 1], temple[-1, 1], 7)
        pieces.append(Mesh.plain(*tube(np.concatenate([outer, temple]), thick * 0.9), M_FRAME))
    inner = eyes[0][0] + 0.012 - half_width
    x = np.linspace(-inner, inner, 7)
    bridge = bend(x, middle_y + 0.25 * half_height + 0.05 * (1 - (x / inner) ** 2))
    bridge[:, 2] += 0.05 * (1 - (x / inner) ** 2)
    pieces.append(Mesh.plain(*tube(bridge, thick), M_FRAME))
    return Mesh.join(pieces), lenses


def hat_rim_station(rim: float, azimuth: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """The station of a hat's lower edge all around: high over the forehead, low at the neck."""
    return rim + HAT_SLOPE * (0.5 - 0.5 * np.cos(azimuth))


def _hat(guide: Guide, kind: float, rim: float) -> Mesh:
    """A knitted hat (kind below 0), a cap with a peak (0 to 1), a hat with a brim all around (above 1)."""
    azimuth, t = np.linspace(-np.pi, np.pi, 73)[:-1][None], np.linspace(0, 1, 22)[:, None]
    edge = hat_rim_station(rim, azimuth)
    station = edge * t
    knitted = smoothstep(0.1, -0.1, kind)
    offset = 0.125 + (0.12 + 0.10 * np.tanh(-kind) * knitted) * np.cos(np.pi / 2 * np.clip(station / 0.9, 0, 1)) ** 2
    offset = offset + 0.06 * knitted * (t > 0.78)  # the turned-up edge
    shell = guide_points(guide, azimuth + 0 * t, station, offset + 0 * azimuth)
    shape = shell.shape[:2]
    ribs = np.broadcast_to(70 * np.abs(azimuth), shape)
    flat = shell.reshape(-1, 3)
    zeros = np.zeros(len(flat))
    attributes = np.stack([ribs.ravel(), zeros, zeros, zeros + 0.16 * knitted,
                           np.abs(flat[:, 0]), flat[:, 1], flat[:, 2], zeros], 1)
    pieces = [Mesh.plain(flat, grid_faces(*shape, wrap=True)[:, ::-1], M_HAT, attributes)]
    reach = _peak(azimuth[0], kind)
    if reach.any():
        w = np.linspace(0, 1, 7)[:, None]
        base = guide_points(guide, azimuth[0], hat_rim_station(rim, azimuth[0]) - 0.03, 0.13)
        out = np.stack([np.sin(azimuth[0]), 0 * azimuth[0], np.cos(azimuth[0])], -1)
        brim = base + (w * reach)[..., None] * out
        brim[..., 1] -= 0.30 * w * reach * (0.6 + 0.8 * w) - 0.05 * w * reach
        pieces.append(Mesh.plain(brim.reshape(-1, 3), grid_faces(7, len(azimuth[0]), wrap=True), M_HAT))
    return Mesh.join(pieces)


def _peak(azimuth: np.ndarray, kind: float) -> np.ndarray:
    """How far the brim reaches at each azimuth."""
    if kind <= 0:
        return np.zeros_like(azimuth)
    if kind <= 1:
        return 0.46 * np.clip(np.cos(azimuth * 1.55), 0, 1) ** 0.6 * (np.abs(azimuth) < np.pi / 3.1)
    return np.full_like(azimuth, 0.34)


def _earrings(asset: Asset, points: np.ndarray, size: float) -> Mesh:
    rest = np.where((asset.fields[:, FIELD_EAR] > 0.5) & (asset.vertices[:, 0] > 0), asset.vertices[:, 1], np.inf)
    lobe = int(rest.argmin())
    pieces = []
    for vertex, sign in ((lobe, 1), (asset.mirror[lobe], -1)):
        hook = points[vertex] + np.array([0.03 * sign, 0.01, 0.02], np.float32)
        if size > 0:  # a hoop that turns a little to the front
            radius = 0.08 + 0.06 * np.tanh(size)
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            flat = np.stack([0.5 * sign * np.sin(angle), np.cos(angle) - 1, 0.85 * np.sin(angle)], 1)
            pieces.append(Mesh.plain(*tube(hook + radius * flat, 0.020, closed=True), M_EARRING))
        else:  # a drop
            length = 0.10 + 0.12 * np.tanh(-size)
            t = np.linspace(0, 1, 12)
            path = hook - np.stack([0 * t, length * t, 0 * t], 1)
            pieces.append(Mesh.plain(*tube(path, 0.008 + 0.042 * np.sin(np.pi * t ** 1.6) ** 0.8, sides=8), M_EARRING))
    return Mesh.join(pieces)


def _necklace(guide: Guide, drop: float) -> Mesh:
    azimuth = np.linspace(-np.pi, np.pi, 161)[:-1]
    front = 0.5 + 0.5 * np.cos(azimuth)
    station = 1.80 + 0.20 * front + (0.10 + 0.07 * np.tanh(drop)) * front ** 6
    beads = 0.018 + 0.014 * np.cos(60 * azimuth)
    path = guide_points(guide, azimuth, station, 0.07)
    return Mesh.plain(*tube(path, beads, closed=True, sides=6), M_NECKLACE)
