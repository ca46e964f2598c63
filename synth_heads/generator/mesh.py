"""Pieces of a head, before they are joined."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from synth_heads.generator.raster import vertex_normals


@dataclass(frozen=True)
class Mesh:
    """Triangles of one or more materials.

    `attributes` is what the materials read (see materials.py), `cut` the field whose negative side is not drawn.
    """

    points: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "t 3"]
    material: UInt8[np.ndarray, " t"]
    attributes: Float[np.ndarray, "n 8"]
    normals: Float[np.ndarray, "n 3"]
    cut: Float[np.ndarray, " n"]

    @staticmethod
    def empty() -> "Mesh":
        """A mesh of nothing."""
        none = np.zeros((0, 3), np.float32)
        return Mesh(none, none.astype(np.int32), np.zeros(0, np.uint8), np.zeros((0, 8), np.float32), none, none[:, 0])

    @staticmethod
    def plain(points: np.ndarray, faces: np.ndarray, material: int, attributes: np.ndarray | None = None,
              cut: np.ndarray | None = None) -> "Mesh":
        """One material, smooth normals; attributes default to the points themselves in the first three columns."""
        points, faces = np.ascontiguousarray(points, np.float32), np.ascontiguousarray(faces, np.int32)
        if attributes is None:
            attributes = np.concatenate([points, np.zeros((len(points), 5), np.float32)], 1)
        cut = np.ones(len(points)) if cut is None else cut
        return Mesh(points, faces, np.full(len(faces), material, np.uint8), attributes.astype(np.float32),
                    vertex_normals(points, faces), cut.astype(np.float32))

    @staticmethod
    def join(pieces: "list[Mesh]") -> "Mesh":
        """All pieces in one, in order."""
        starts = np.cumsum([0] + [len(piece.points) for piece in pieces[:-1]])
        faces = np.concatenate([p.faces + start for p, start in zip(pieces, starts, strict=True)])
        names = ("material", "attributes", "normals", "cut")
        rest = [np.concatenate([getattr(p, name) for p in pieces]) for name in names]
        return Mesh(np.concatenate([p.points for p in pieces]), faces.astype(np.int32), *rest)


def grid_faces(rows: int, columns: int, wrap: bool = False) -> np.ndarray:
    """Triangles (t, 3) of a grid of vertices numbered row by row; `wrap` joins the last column to the first."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    k = (j + 1) % columns
    a, b, c, d = i * columns + j, i * columns + k, (i + 1) * columns + k, (i + 1) * columns + j
    return np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]).astype(np.int32)
