"""Takes what the field calls background out of a grid of densities: the wall that some decoders learn behind a head.

Only the labels tell it from the head, which may touch it. Fields without labels keep such a wall, as far as it lies
inside of the volume's cut.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.meshing.field import MeshableField
from models.meshing.volume import Volume

SURE = 2.0  # by how much a label's logit exceeds that of the background where a point is as solid as any


def without_background(field: MeshableField, volume: Volume, grid: Float[Tensor, "x y z"]) -> Float[Tensor, "x y z"]:
    """The grid, not positive any more where the background is the most likely label.

    Args:
        grid: positive inside. Labels are asked for at every second of its points and interpolated between.
    """
    stride = min(volume.stride, 2)
    filled = F.max_pool3d((grid > 0).float()[None], 2 * stride - 1, stride, stride - 1)[0] > 0  # or a neighbour is
    index = filled.nonzero()
    _, logits = field.appearance(volume.places(index * stride))
    if logits is None:
        return grid
    margin = logits[:, 1:].amax(1) - logits[:, 0]
    if bool((margin > 0).all()):
        return grid
    full = float(grid.abs().max())
    margins = torch.full(filled.shape, full)
    margins[filled] = margin * (full / SURE)
    if stride > 1:
        margins = F.interpolate(margins[None, None], size=grid.shape, mode="trilinear", align_corners=True)[0, 0]
    return torch.minimum(grid, margins)
