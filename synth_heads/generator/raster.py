"""A z-buffer on the CPU, and smooth vertex normals.

Compiled functions carry no annotations (numba infers types from the call, docstrings give shapes) and are marked
`no_type_check`, so that a run-time checker of annotations leaves them to numba.
"""
from typing import no_type_check

import numpy as np
from numba import njit

_CRACK = 2e-3  # pixels that triangles reach beyond their edges, so that rounding opens no cracks between neighbours


@njit(cache=True, fastmath=True, inline="always")
@no_type_check
def _edges(ax, ay, bx, by, cx, cy):
    """Barycentric weights of the first two corners as planes over the picture: w = p x + q y + r."""
    inv = 1.0 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    return ((by - cy) * inv, (cx - bx) * inv, (bx * cy - by * cx) * inv,
            (cy - ay) * inv, (ax - cx) * inv, (cx * ay - cy * ax) * inv)


@njit(cache=True, fastmath=True, inline="always")
@no_type_check
def _narrow(slope, value, low, high):
    """Keep the part of the row [low, high] where slope x + value >= 0."""
    if slope > 0:
        low = max(low, -value / slope)
    elif slope < 0:
        high = min(high, -value / slope)
    elif value < 0:
        high = low - 1
    return low, high


@njit(cache=True, fastmath=True)
@no_type_check
def rasterise(points, faces, cut, nearness, face_id, weights):
    """Draw triangles in perspective, nearest one first; the last three arrays are changed in place.

    Args:
        points: (n, 3) float32; x and y in pixels (pixel centres at whole numbers), depth > 0 along the view axis.
        faces: (t, 3) int32.
        cut: (n,) float32; a point of a triangle is drawn where the interpolated value is not negative.
        nearness: (h, w) float32, 1 / depth; starts at 0. face_id: (h, w) int32, starts at -1.
        weights: (h, w, 2) float32: perspective-correct barycentric weights of the first two corners.
    """
    height, width = nearness.shape
    for t in range(faces.shape[0]):
        ia, ib, ic = faces[t, 0], faces[t, 1], faces[t, 2]
        if cut[ia] < 0 and cut[ib] < 0 and cut[ic] < 0:
            continue
        ax, ay = points[ia, 0], points[ia, 1]
        bx, by = points[ib, 0], points[ib, 1]
        cx, cy = points[ic, 0], points[ic, 1]
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
        x0, x1 = max(0.0, min(ax, bx, cx)), min(width - 1.0, max(ax, bx, cx))
        if y0 > y1 or np.ceil(x0) > x1 or abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) < 1e-9:
            continue
        pa, qa, ra, pb, qb, rb = _edges(ax, ay, bx, by, cx, cy)
        na, nb, nc = 1.0 / points[ia, 2], 1.0 / points[ib, 2], 1.0 / points[ic, 2]
        plain = cut[ia] >= 0 and cut[ib] >= 0 and cut[ic] >= 0
        for y in range(y0, y1 + 1):
            a, b = qa * y + ra, qb * y + rb
            low, high = _narrow(pa, a, x0, x1)
            low, high = _narrow(pb, b, low, high)
            low, high = _narrow(-pa - pb, 1 - a - b, low, high)
            for x in range(int(np.ceil(low - _CRACK)), int(np.floor(high + _CRACK)) + 1):
                wa = min(max(pa * x + a, 0.0), 1.0)  # rounding and slivers must not reach outside the triangle
                wb = min(max(pb * x + b, 0.0), 1.0 - wa)
                near = wa * na + wb * nb + (1 - wa - wb) * nc
                if near <= nearness[y, x]:
                    continue
                wa *= na / near
                wb *= nb / near
                if not plain and wa * cut[ia] + wb * cut[ib] + (1 - wa - wb) * cut[ic] < 0:
                    continue
                nearness[y, x] = near
                face_id[y, x] = t
                weights[y, x, 0] = wa
                weights[y, x, 1] = wb


@njit(cache=True, fastmath=True)
@no_type_check
def transform(points, rows, shift):
    """points (n, 3) float32 times the transpose of `rows` (3, 3), plus `shift` (3,); without a thread pool's cost."""
    out = np.empty_like(points)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for k in range(3):
            out[i, k] = rows[k, 0] * x + rows[k, 1] * y + rows[k, 2] * z + shift[k]
    return out


@njit(cache=True, fastmath=True)
@no_type_check
def rasterise_depth(points, faces, cut, depth):
    """Draw only depths, orthographic: for shadow maps. `depth` starts at a far value; other arguments as `rasterise`.

    Triangles whose corners are all cut away are left out; the others are drawn whole.
    """
    height, width = depth.shape
    for t in range(faces.shape[0]):
        ia, ib, ic = faces[t, 0], faces[t, 1], faces[t, 2]
        if cut[ia] < 0 and cut[ib] < 0 and cut[ic] < 0:
            continue
        ax, ay = points[ia, 0], points[ia, 1]
        bx, by = points[ib, 0], points[ib, 1]
        cx, cy = points[ic, 0], points[ic, 1]
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
        x0, x1 = max(0.0, min(ax, bx, cx)), min(width - 1.0, max(ax, bx, cx))
        if y0 > y1 or np.ceil(x0) > x1 or abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) < 1e-9:
            continue
        pa, qa, ra, pb, qb, rb = _edges(ax, ay, bx, by, cx, cy)
        za, zb, zc = points[ia, 2], points[ib, 2], points[ic, 2]
        for y in range(y0, y1 + 1):
            a, b = qa * y + ra, qb * y + rb
            low, high = _narrow(pa, a, x0, x1)
            low, high = _narrow(pb, b, low, high)
            low, high = _narrow(-pa - pb, 1 - a - b, low, high)
            for x in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                wa = min(max(pa * x + a, 0.0), 1.0)  # rounding and slivers must not reach outside the triangle
                wb = min(max(pb * x + b, 0.0), 1.0 - wa)
                z = wa * za + wb * zb + (1 - wa - wb) * zc
                if z < depth[y, x]:
                    depth[y, x] = z


@njit(cache=True, fastmath=True)
@no_type_check
def vertex_normals(points, faces):
    """Unit normals (n, 3) float32: the area-weighted mean of the normals of the faces around each vertex."""
    normals = np.zeros((points.shape[0], 3), np.float32)
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for k in range(points.shape[0]):
        length = np.sqrt(normals[k, 0] ** 2 + normals[k, 1] ** 2 + normals[k, 2] ** 2)
        if length > 1e-12:
            normals[k] /= length
    return normals
