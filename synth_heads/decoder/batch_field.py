"""The field of a batch of scenes with their codes folded into the weights, differentiable in codes and weights.

The same algebra as `models.pigan.fast.fold`, for training the decoder itself: one batched matrix product and one sine a
layer, whatever the number of scenes. The view direction is locked and its three columns of weights do not train, so
the field learns surfaces whose colour does not depend on where they are seen from.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.codes import Codes
from models.pigan.siren import BOX_SCALE, DENSITY_LAYERS, LOCKED_DIRECTION, FilmSiren


class BatchField:
    """Density and colour of as many scenes as there are codes."""

    def __init__(self, siren: FilmSiren, codes: Codes) -> None:
        self.siren = siren
        frequency, phase = siren.modulation(codes)
        linears = [*(film.layer for film in siren.network), siren.color_layer_sine.layer]
        self.layers: list[tuple[Tensor, Tensor]] = []  # (batch, inputs, width) and (batch, 1, width)
        for index, linear in enumerate(linears):
            weight, bias = linear.weight, linear.bias
            if index == 0:
                weight = weight * BOX_SCALE
            elif index == DENSITY_LAYERS:
                bias = bias + weight[:, :3].detach() @ weight.new_tensor(LOCKED_DIRECTION)
                weight = weight[:, 3:]
            f, p = frequency[:, index], phase[:, index]
            self.layers.append((weight.t() * f[:, None], (bias * f + p)[:, None]))

    def __call__(
        self, points: Float[Tensor, "batch points 3"]
    ) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch points"]]:
        """Colour in (0, 1) and density before its clamp, at the same number of world points in every scene."""
        x = points
        for weight, bias in self.layers[:DENSITY_LAYERS]:
            x = torch.baddbmm(bias, x, weight).sin()
        density = self.siren.final_layer(x)[..., 0]
        weight, bias = self.layers[-1]
        return self.siren.color_layer_linear(torch.baddbmm(bias, x, weight).sin()).sigmoid(), density
