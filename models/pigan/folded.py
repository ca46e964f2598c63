"""One scene's field with its codes folded into the weights: a plain sine network, evaluated block by block.

FiLM is affine before its sine, so for fixed codes sin(f * (W x + b) + p) = sin((f W) x + (f b + p)); the box scale goes
into the first layer, and with the view direction locked its three columns become part of the colour layer's bias.
Nothing is approximated; only the order of float operations changes.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.codes import Codes
from models.pigan.siren import BOX_SCALE, DENSITY_LAYERS, LOCKED_DIRECTION, FilmSiren


class FoldedField:
    """Density and colour of a single scene, for inference (no gradients).

    Features live in buffers that the caller provides, so that a block of points stays in the processor's cache.
    """

    @torch.no_grad()
    def __init__(self, siren: FilmSiren, codes: Codes) -> None:
        if len(codes) != 1:
            raise ValueError(f"a folded field holds one scene, got codes of {len(codes)}")
        self.width = siren.width
        frequency, phase = (value[0] for value in siren.modulation(codes))
        linears = [film.layer for film in siren.network] + [siren.color_layer_sine.layer]
        # stored as (inputs, width), the layout in which points @ weights needs no transpose
        folded = [((f[:, None] * linear.weight).t().contiguous(), f * linear.bias + p)
                  for linear, f, p in zip(linears, frequency, phase, strict=True)]
        self.layers = folded[:DENSITY_LAYERS]
        self.layers[0] = (self.layers[0][0] * BOX_SCALE, self.layers[0][1])
        weight, bias = folded[-1]
        direction = weight.new_tensor(LOCKED_DIRECTION)
        self.colour_layer = (weight[3:].contiguous(), bias + direction @ weight[:3])
        self.density_weight, self.density_bias = siren.final_layer.weight[0].detach(), siren.final_layer.bias.detach()
        output = siren.color_layer_linear[0]
        self.output_weight, self.output_bias = output.weight.detach().t().contiguous(), output.bias.detach()

    @property
    def device(self) -> torch.device:
        return self.density_weight.device

    @torch.no_grad()
    def features(
        self,
        points: Float[Tensor, "points 3"],
        out: Float[Tensor, "points width"],
        scratch: Float[Tensor, "points width"],
    ) -> Float[Tensor, "points width"]:
        """The last density layer's activations, written to `out`; `scratch` is overwritten."""
        x = points
        for i, (weight, bias) in enumerate(self.layers):
            x = torch.addmm(bias, x, weight, out=out if i % 2 else scratch).sin_()
        return x

    @torch.no_grad()
    def density(self, features: Float[Tensor, "points width"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        return features @ self.density_weight + self.density_bias

    @torch.no_grad()
    def colour(self, features: Float[Tensor, "points width"]) -> Float[Tensor, "points 3"]:
        """Colour in (0, 1) for the locked view direction."""
        weight, bias = self.colour_layer
        hidden = torch.addmm(bias, features, weight).sin_()
        return torch.addmm(self.output_bias, hidden, self.output_weight).sigmoid_()
