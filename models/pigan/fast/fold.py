"""One scene's field with its codes folded into the weights: a plain sine network, evaluated block by block.

FiLM is affine before its sine, so for fixed codes sin(f * (W x + b) + p) = sin((f W) x + (f b + p)); the box scale goes
into the first layer, and with the view direction locked its three columns become part of the colour layer's bias.
Nothing is approximated; only the order of float operations changes.
"""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.pigan.codes import Codes
from models.pigan.fast.kernels import affine, sine_, whole_rows
from models.pigan.siren import BOX_SCALE, DENSITY_LAYERS, LOCKED_DIRECTION, FilmSiren


class FoldedField:
    """Density and colour of a single scene, for inference (no gradients).

    Args:
        siren: the decoder's field; it is read once and not kept.
        codes: codes of one scene.
        hidden: type of the hidden layers' weights. bfloat16 is meant for GPUs. The first layer and the outputs are
            always in float32: positions would lose their digits.

    Call it with blocks of points whose features stay in the processor's cache, see `models.pigan.fast.kernels.block_size`.
    """

    @torch.no_grad()
    def __init__(self, siren: FilmSiren, codes: Codes, hidden: torch.dtype = torch.float32) -> None:
        if len(codes) != 1:
            raise ValueError(f"a folded field holds one scene, got codes of {len(codes)}")
        self.width = siren.width
        frequency, phase = (value[0] for value in siren.modulation(codes))
        linears = [film.layer for film in siren.network] + [siren.color_layer_sine.layer]
        folded = [(f[:, None] * linear.weight, f * linear.bias + p)
                  for linear, f, p in zip(linears, frequency, phase, strict=True)]
        first, *rest = folded[:DENSITY_LAYERS]
        self.layers = [(first[0] * BOX_SCALE, first[1]), *((weight.to(hidden), bias) for weight, bias in rest)]
        weight, bias = folded[-1]
        direction = weight.new_tensor(LOCKED_DIRECTION)
        self.colour_layer = (weight[:, 3:].contiguous().to(hidden), bias + weight[:, :3] @ direction)
        output = siren.color_layer_linear[0]
        self.density_output, self.colour_output = (
            (linear.weight.detach(), linear.bias.detach()) for linear in (siren.final_layer, output))

    @property
    def device(self) -> torch.device:
        return self.density_output[0].device

    def to(self, device: torch.device) -> "FoldedField":
        """A copy on another device."""
        other = copy.copy(self)
        other.layers = [(weight.to(device), bias.to(device)) for weight, bias in self.layers]
        for name in ("colour_layer", "density_output", "colour_output"):
            setattr(other, name, tuple(value.to(device) for value in getattr(self, name)))
        return other

    @torch.no_grad()
    def __call__(self, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "points 3"], Float[Tensor, " points"]]:
        """Colour in (0, 1) for the locked view direction, and density before its clamp to positive values."""
        features = self.features(whole_rows(points))
        return self.colour(features)[: len(points)], self.density(features)[: len(points)]

    @torch.no_grad()
    def features(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points width"]:
        """The last density layer's activations."""
        x = whole_rows(points)
        for weight, bias in self.layers:
            x = sine_(affine(x, weight, bias))
        return x[: len(points)]

    @torch.no_grad()
    def density(self, features: Float[Tensor, "points width"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        weight, bias = self.density_output
        return torch.mv(features, weight[0]).add_(bias)

    @torch.no_grad()
    def colour(
        self, features: Float[Tensor, "points width"], chosen: Int[Tensor, " chosen"] | None = None
    ) -> Float[Tensor, "chosen 3"]:
        """Colour in (0, 1) for the locked view direction, of all points or of these."""
        x = features if chosen is None else features.index_select(0, whole_rows(chosen))
        x = sine_(affine(x, *self.colour_layer))
        rgb = torch.addmm(self.colour_output[1], x, self.colour_output[0].t()).sigmoid_()
        return rgb if chosen is None else rgb[: len(chosen)]
