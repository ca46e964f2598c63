"""The field of a batch of scenes with their codes folded into the weights, differentiable in codes and weights.

For training the decoder itself: one batched matrix product and one sine per layer, whatever the number of scenes. The
view direction is locked and its three columns of weights do not train, so the field learns surfaces whose colour does
not depend on where they are seen from.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.fast.fold import field_weights, fold
from models.pigan.siren import FilmSiren


class BatchField:
    """Density and colour of as many scenes as there are codes."""

    def __init__(self, siren: FilmSiren, codes: Codes) -> None:
        self.weights = field_weights(siren)
        self.layers = fold(self.weights, *siren.modulation(codes))

    def __call__(
        self, points: Float[Tensor, "batch points 3"]
    ) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch points"]]:
        """Colour in (0, 1) and density before its clamp, at the same number of world points in every scene."""
        x = points
        for weight, bias in self.layers[:-1]:
            x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2)).sin()
        density = F.linear(x, *self.weights.density)[..., 0]
        weight, bias = self.layers[-1]
        x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2)).sin()
        return F.linear(x, *self.weights.colour).sigmoid(), density
