"""The field with its codes folded into the weights: a plain sine network.

FiLM is affine before its sine, so for fixed codes sin(f * (W x + b) + p) = sin((f W) x + (f b + p)); the box scale goes
into the first layer, and with the view direction locked its three columns become part of the colour layer's bias.
Nothing is approximated; only the order of float operations changes.

    weights = field_weights(siren)                              # once for all scenes
    layers = fold(weights, *siren.modulation(codes))            # (f W, f b + p) of each of the nine layers
"""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.pigan.codes import Codes
from models.pigan.fast.kernels import affine, constant, quick_sine_, sine_, whole_rows
from models.pigan.siren import BOX_SCALE, LOCKED_DIRECTION, FilmSiren

Layer = tuple[Tensor, Tensor]  # weight (*scenes, outputs, inputs) and bias (*scenes, outputs)


class FieldWeights(NamedTuple):
    """The field's weights as those of a network of world positions, before any codes.

    The box scale is part of the first layer. The columns of the view direction are not in the colour layer, which is
    the last one, but in `direction`, a constant to autograd.
    """

    layers: list[Layer]  # of the nine sines
    direction: Float[Tensor, "width 3"]
    density: Layer
    colour: Layer

    def frozen(self) -> "FieldWeights":
        """A copy that later changes of the field, and autograd, do not reach."""
        def kept(layer: Layer) -> Layer:
            return layer[0].detach().clone(), layer[1].detach().clone()

        return FieldWeights([kept(layer) for layer in self.layers], self.direction.clone(), kept(self.density),
                            kept(self.colour))


def field_weights(siren: FilmSiren, locked: bool = True) -> FieldWeights:
    """Differentiable in the field's weights, except for the columns of the view direction.

    Args:
        locked: the view direction is LOCKED_DIRECTION; what it adds is then part of the colour layer's bias.
    """
    first, *middle, last = siren.sine_layers
    direction = last.weight[:, :3].detach()
    bias = last.bias
    if locked:
        bias = bias + direction @ constant(LOCKED_DIRECTION, direction.device, direction.dtype)
    output = siren.colour_output
    return FieldWeights(
        [(first.weight * BOX_SCALE, first.bias), *((linear.weight, linear.bias) for linear in middle),
         (last.weight[:, 3:], bias)],
        direction, (siren.final_layer.weight, siren.final_layer.bias), (output.weight, output.bias))


def fold(weights: FieldWeights, frequency: Float[Tensor, "*scenes layers width"],
         phase: Float[Tensor, "*scenes layers width"]) -> list[Layer]:
    """Weight f W and bias f b + p of each sine layer, of one scene or of a batch; differentiable in everything."""
    return [(f[..., None] * weight, torch.addcmul(p, f, bias))
            for (weight, bias), f, p in zip(weights.layers, frequency.unbind(-2), phase.unbind(-2), strict=True)]


class FoldedField:
    """Density and colour of a single scene, for inference (no gradients).

    Args:
        siren: the decoder's field; it is read once and not kept.
        codes: FiLM codes of one scene.
        hidden: type of the hidden layers' weights; None: their own. Half precision and bfloat16 are meant for GPUs. The
            first layer and the outputs are always in float32: positions would lose their digits.

    Call it with blocks of points whose features stay in the processor's cache, see `kernels.block_size`.

    Raises:
        ValueError: codes of more than one scene.
    """

    channels = 3  # of what `colour` gives
    width: int
    layers: list[Layer]  # of the density
    colour_layer: Layer
    density_output: Layer
    colour_output: Layer
    sine_ = staticmethod(sine_)

    def __init__(self, siren: FilmSiren, codes: Codes, hidden: torch.dtype | None = None) -> None:
        if len(codes) != 1:
            raise ValueError(f"a folded field holds one scene, got codes of {len(codes)}")
        vars(self).update(vars(self.of_each(siren, codes, hidden)[0]))

    @classmethod
    @torch.no_grad()
    def of_each(cls, siren: FilmSiren, codes: Codes, hidden: torch.dtype | None = None) -> "list[FoldedField]":
        """The fields of a batch of scenes."""
        weights = field_weights(siren).frozen()
        first, *rest = fold(weights, *siren.modulation(codes))
        layers = [first, *((weight.to(hidden or weight.dtype), bias) for weight, bias in rest)]
        fields = []
        for k in range(len(codes)):
            field = cls.__new__(cls)
            *field.layers, field.colour_layer = [(weight[k], bias[k]) for weight, bias in layers]
            field.width, field.density_output, field.colour_output = siren.width, weights.density, weights.colour
            fields.append(field)
        return fields

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

    def quick(self) -> "FoldedField":
        """The same field on a CPU with the fastest sine there is, for results that are rounded to bytes."""
        other = copy.copy(self)
        vars(other)["sine_"] = quick_sine_()
        return other

    def __call__(self, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "points 3"], Float[Tensor, " points"]]:
        """Colour in (0, 1) for the locked view direction, and density before its clamp to positive values."""
        features = self.features(whole_rows(points))
        return self.colour(features)[: len(points)], self.density(features)[: len(points)]

    def density_at(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        return self.density(self.features(points))

    @torch.no_grad()
    def features(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points width"]:
        """The last density layer's activations; what is made of them records no gradients either."""
        x = whole_rows(points)
        for weight, bias in self.layers:
            x = self.sine_(affine(x, weight, bias))
        return x[: len(points)]

    def density(self, features: Float[Tensor, "points width"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        weight, bias = self.density_output
        return torch.mv(features, weight[0]).add_(bias)

    def colour(self, features: Float[Tensor, "points width"], chosen: Int[Tensor, " chosen"] | None = None
              ) -> Float[Tensor, "chosen 3"]:
        """Colour in (0, 1) for the locked view direction, of all points or of these."""
        x = features if chosen is None else features.index_select(0, whole_rows(chosen))
        x = self.sine_(affine(x, *self.colour_layer))
        rgb = torch.addmm(self.colour_output[1], x, self.colour_output[0].t()).sigmoid_()
        return rgb if chosen is None else rgb[: len(chosen)]
