"""Colours and labels of a mesh's vertices: those of the field where cameras see it, elsewhere those of what is seen
nearby, since the field knows nothing there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from models.meshing.field import MeshableField
from models.meshing.surface import Surface, neighbours

BLENDINGS = 60  # of each vertex that is not seen with those around it


class Paint(NamedTuple):
    """Of each vertex."""

    colours: Float[np.ndarray, "vertices 3"]       # in [0, 1], as in rendered views
    labels: UInt8[np.ndarray, " vertices"] | None  # None if the field knows none


def paint(field: MeshableField, surface: Surface, places: Float[Tensor, "vertices 3"],
          seen: Bool[np.ndarray, " vertices"]) -> Paint:
    """
    Args:
        places: of the vertices, world units.
        seen: by a camera; the others take colours and labels from these. If there are none, all count as seen.
    """
    sources = seen.nonzero()[0] if seen.any() else np.arange(len(seen))
    rgb, logits = field.appearance(places[torch.from_numpy(sources)])
    colours, labels = rgb.numpy(), None
    if logits is not None:
        labels = logits.argmax(1).numpy().astype(np.uint8)
        if (labels > 0).any():  # where it shows the background, a vertex is no part of the head
            sources, colours, labels = sources[labels > 0], colours[labels > 0], labels[labels > 0]
    return _spread(surface, places.numpy(), sources, colours, labels)


def _spread(surface: Surface, places: Float[np.ndarray, "vertices 3"], sources: np.ndarray,
            colours: Float[np.ndarray, "sources 3"], labels: UInt8[np.ndarray, " sources"] | None) -> Paint:
    """All other vertices have the label of the nearest of the `sources` and that label's median colour; without labels,
    the nearest one's. (At its rim a head is often darker than anywhere else.) Colours are blended where they meet.
    """
    from scipy.spatial import cKDTree

    count = len(places)
    others = np.setdiff1d(np.arange(count), sources)
    nearest = np.empty(count, np.int64)
    nearest[sources] = np.arange(len(sources))
    nearest[others] = cKDTree(places[sources]).query(places[others])[1]
    out = colours[nearest]
    if labels is not None:
        medians = {label: np.median(colours[labels == label], axis=0) for label in np.unique(labels)}
        out[others] = np.stack([medians[label] for label in labels[nearest[others]]]) if len(others) else out[others]
    links = neighbours(surface.faces, count)[others]
    counts = np.asarray(links.sum(1))
    for _ in range(BLENDINGS):
        out[others] = links @ out / counts
    return Paint(out, None if labels is None else labels[nearest])
