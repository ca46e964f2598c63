"""From a grid of values to triangles: marching cubes, the largest part, vertices moved to where they belong."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.errors import UserError

BISECTIONS = 3  # each halves where on its edge a vertex may lie
FROM_CORNER = 0.01  # of an edge: vertices keep this distance from its ends, where others may lie as well
SMOOTHINGS = 20


class Surface(NamedTuple):
    """Triangles whose vertices lie on the edges of a grid."""

    vertices: Float[np.ndarray, "vertices 3"]  # in units of the grid's spacing
    faces: Int[np.ndarray, "faces 3"]          # anticlockwise seen from outside


def import_measure():
    """scikit-image's marching cubes.

    Raises:
        UserError: it is not installed.
    """
    try:
        from skimage import measure
    except ModuleNotFoundError as error:
        raise UserError("a mesh needs scikit-image: pip install scikit-image") from error
    return measure


def zero_surface(values: Float[Tensor, "x y z"]) -> Surface | None:
    """The largest part of the surface on which the values are zero; None if they are positive nowhere.

    Args:
        values: positive inside; negative at the sides of the grid, so that the surface is closed.
    """
    if not bool((values > 0).any()):
        return None
    # a value of exactly zero would put several vertices into one place
    values = torch.where(values == 0, -torch.finfo(torch.float32).eps, values)
    vertices, faces, _, _ = import_measure().marching_cubes(values.numpy(), 0.0, gradient_direction="ascent")
    return largest_part(vertices, faces)


def largest_part(vertices: Float[np.ndarray, "all 3"], faces: Int[np.ndarray, "all_faces 3"]) -> Surface:
    """The connected part with most vertices."""
    from scipy.sparse.csgraph import connected_components

    _, part = connected_components(neighbours(faces, len(vertices)), directed=False)
    keep = part == np.bincount(part).argmax()
    number = np.cumsum(keep, dtype=np.int32) - 1
    return Surface(vertices[keep], number[faces[keep[faces[:, 0]]]])


def neighbours(faces: Int[np.ndarray, "faces 3"], count: int):
    """A sparse matrix that is positive where an edge joins two of `count` vertices."""
    from scipy.sparse import csr_matrix

    ends = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    one_way = csr_matrix((np.ones(faces.size, np.float32), ends), (count, count))
    return one_way + one_way.T


def on_the_field(surface: Surface, value_at: Callable[[Float[Tensor, "points 3"]], Float[Tensor, " points"]],
                 grid: Float[Tensor, "x y z"], values: Float[Tensor, "x y z"]
                ) -> tuple[Surface, Bool[np.ndarray, " vertices"]]:
    """Move vertices along their edges to where the field itself changes its sign, by bisection.

    Args:
        value_at: the field at places in units of the grid's spacing; positive inside.
        grid: its values at the grid's points.
        values: those that the surface was found with. Where their signs are others, vertices stay.

    Returns:
        the surface, and which of its vertices lie on the field's own.
    """
    at = torch.from_numpy(surface.vertices)
    low, high = at.floor(), at.ceil()
    ends = [grid[tuple(end.long().unbind(1))] for end in (low, high)]
    kept = [(values[tuple(end.long().unbind(1))] > 0) == (own > 0) for end, own in zip((low, high), ends, strict=True)]
    own = kept[0] & kept[1] & ((high - low).sum(1) == 1)  # a few vertices lie inside of cells and not on an edge
    low, high, before, after = low[own], high[own], ends[0][own], ends[1][own]
    along = high - low
    first, last = torch.zeros(len(low)), torch.ones(len(low))
    for _ in range(BISECTIONS):
        middle = (first + last) / 2
        value = value_at(low + middle[:, None] * along)
        same = (value > 0) == (before > 0)
        first, before = torch.where(same, middle, first), torch.where(same, value, before)
        last, after = torch.where(same, last, middle), torch.where(same, after, value)
    place = first + (last - first) * before / (before - after)
    moved = at.clone()
    moved[own] = low + place.clamp(FROM_CORNER, 1 - FROM_CORNER)[:, None] * along
    return surface._replace(vertices=moved.numpy()), own.numpy()


def smoothed(surface: Surface, movable: Bool[np.ndarray, " vertices"]) -> Surface:
    """Take the steps of the grid out of a part of the surface; its other vertices stay where they are."""
    links = neighbours(surface.faces, len(surface.vertices))[movable]
    counts = np.asarray(links.sum(1))
    out = surface.vertices.copy()
    for _ in range(SMOOTHINGS):
        out[movable] += 0.5 * (links @ out / counts - out[movable])
    return surface._replace(vertices=out)


def normals_of(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
               ) -> Float[np.ndarray, "vertices 3"]:
    """Outward unit normals: the mean of those of the faces around, weighted by area."""
    corners = vertices[faces]
    of_faces = np.repeat(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), 3, axis=0)
    sums = np.stack([np.bincount(faces.ravel(), of_faces[:, axis], len(vertices)) for axis in range(3)], 1)
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-30)).astype(np.float32)
