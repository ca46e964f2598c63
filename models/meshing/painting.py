"""Colours and labels of a mesh's vertices: those of the field where cameras see it, elsewhere those of what is seen
nearby, since the field knows nothing there."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from models.meshing.field import MeshableField
from models.meshing.surface import Surface, neighbours

BLENDINGS = 60  # of each vertex that is not seen with those around it
NEAREST = 48  # seen vertices that decide about one that is not


def paint(field: MeshableField, surface: Surface, places: Float[Tensor, "vertices 3"],
          seen: Bool[np.ndarray, " vertices"]
         ) -> tuple[Float[np.ndarray, "vertices 3"], UInt8[np.ndarray, " vertices"] | None]:
    """Colour of each vertex in [0, 1], as in rendered views, and its label; None if the field knows none.

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
            colours: Float[np.ndarray, "sources 3"], labels: UInt8[np.ndarray, " sources"] | None
           ) -> tuple[np.ndarray, np.ndarray | None]:
    """All other vertices have the label of most of the nearest `sources` and that label's median colour; without
    labels, the mean colour of these. (At its rim a head is often darker than anywhere else.) Colours are blended where
    they meet.
    """
    from scipy.spatial import KDTree

    count, known = len(places), len(sources)
    out, others = np.empty((count, 3), np.float32), np.setdiff1d(np.arange(count), sources)
    near = KDTree(places[sources]).query(places[others], k=min(NEAREST, known))[1].reshape(len(others), -1)
    out[sources], found = colours, None
    if labels is None:
        out[others] = colours[near].mean(1)
    else:
        found = np.empty(count, np.uint8)
        names = np.unique(labels)
        votes = np.stack([(labels[near] == name).sum(1) for name in names], 1).argmax(1)
        found[sources], found[others] = labels, names[votes]
        out[others] = np.stack([np.median(colours[labels == name], axis=0) for name in names])[votes]
    links = neighbours(surface.faces, count)[others]
    counts = np.asarray(links.sum(1))
    for _ in range(BLENDINGS):
        out[others] = links @ out / counts
    return out, found
