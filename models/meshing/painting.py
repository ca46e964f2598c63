"""Colours and labels of a mesh's vertices: those of the field where cameras see it, elsewhere those of what is seen
nearby, since the field knows nothing there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.meshing.field import MeshableField
from models.meshing.surface import neighbours
from models.pigan.integration import sample_weights

SAMPLES = 4  # below a vertex, along its normal
DEPTH = 0.045  # how far below, in units of `Volume.edge`
BLENDINGS = 60  # of each vertex that is not seen with those around it


class Paint(NamedTuple):
    """Of each vertex."""

    colours: Float[np.ndarray, "vertices 3"]          # in [0, 1], as in rendered views
    labels: Int[np.ndarray, " vertices"] | None       # None if the field knows none


@torch.no_grad()
def paint(
    field: MeshableField,
    vertices: Float[np.ndarray, "vertices 3"],
    normals: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    seen: Bool[np.ndarray, " vertices"],
    depth: float,
) -> Paint:
    """
    Args:
        vertices: world units. normals: outward unit vectors.
        seen: by a camera; the others take colours and labels from these. If there are none, all count as seen.
        depth: the colour is composited over this distance below the surface, world units.
    """
    seen = seen if seen.any() else np.ones_like(seen)
    colours, labels = _looks(field, torch.from_numpy(vertices[seen]), torch.from_numpy(normals[seen]), depth)
    sources = seen.nonzero()[0]
    if labels is not None and (labels > 0).any():  # a vertex that the background was painted on shows no part of a head
        sources, colours, labels = sources[labels > 0], colours[labels > 0], labels[labels > 0]
    return _spread(vertices, faces, sources, colours, labels)
