"""The field in training: gradients of the codes alone, in blocks, with next to nothing kept between the passes.

The decoder is frozen while the encoder learns, so all that the backward pass has to find are the sums over points that
are the gradients of each layer's frequency f and phase p. With z = W x + b, u = f z + p and d = dL/du = cos(u) dL/dx,

    dL/dp = sum d        dL/df = sum d z        dL/dx of the layer below = (f W)^T d

Plain autograd keeps z and u of every layer for all points at once, two gigabytes for a 64 x 64 patch. Here the forward
pass keeps no features, and the backward pass computes those of a block again and reduces them while they are in the
processor's cache. It does so only for points that take part: at a negative density, or behind an opaque surface, a
sample's gradient is zero, which in a trained field is true of nine in ten.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from models.pigan.codes import Codes
from models.pigan.siren import BOX_SCALE, DENSITY_LAYERS, FILM_LAYERS, LOCKED_DIRECTION, FilmSiren
from utils.blocks import map_blocks

# Features per block and layer (points * width): on a CPU a few layers' worth should fit into the second-level cache.
CPU_BLOCK, GPU_BLOCK = 1 << 17, 1 << 24


def evaluate_field(
    siren: FilmSiren,
    points: Float[Tensor, "batch points 3"],
    codes: Codes,
    directions: Float[Tensor, "batch points 3"] | None = None,
    *,
    block: int | None = None,
) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch points"]]:
    """`siren(points, codes, directions)`, differentiable in whatever requires a gradient, in the leanest way there is.

    Args:
        block: upper bound for the points evaluated at a time. The default is a good one where only codes learn. If
            weights of the field (or positions) require a gradient, autograd keeps all features by default; with a
            block it keeps those of one block at a time and computes them again in the backward pass.
    """
    geometry = [points] if directions is None else [points, directions]
    weights = (w for name, w in siren.named_parameters() if not name.startswith("mapping_network"))
    if not torch.is_grad_enabled() or not any(value.requires_grad for value in (*geometry, *weights)):
        return _evaluate_frozen(siren, points, codes, directions, block)
    if block is None or block >= points.shape[1]:
        return siren(points, codes, directions)
    views = [None] * points.shape[1] if directions is None else directions.split(block, 1)
    parts = [checkpoint(siren, at, codes, view, use_reentrant=False, preserve_rng_state=False)
             for at, view in zip(points.split(block, 1), views)]
    return tuple(torch.cat(values, 1) for values in zip(*parts))


@torch.compiler.disable
def _evaluate_frozen(
    siren: FilmSiren, points: Tensor, codes: Codes, directions: Tensor | None, block: int | None
) -> tuple[Tensor, Tensor]:
    frequency, phase = siren.modulation(codes)
    default = max(1, (CPU_BLOCK if points.device.type == "cpu" else GPU_BLOCK) // siren.width)
    block = min(default, block) if block else default
    return _LeanField.apply(frequency, phase, points, directions, FrozenWeights(siren), block)


class FrozenWeights:
    """A snapshot of the field's weights, as (inputs, width): the layout in which x @ weight needs no transpose.

    The box scale is part of the first layer; the direction's rows of the colour layer are apart.
    """

    @torch.no_grad()
    def __init__(self, siren: FilmSiren) -> None:
        linears = [film.layer for film in siren.network] + [siren.color_layer_sine.layer]
        self.weights = [linear.weight.t().contiguous() for linear in linears]
        self.biases = [linear.bias.detach() for linear in linears]
        self.weights[0] *= BOX_SCALE
        self.direction_weight = self.weights[-1][:3].contiguous()
        self.weights[-1] = self.weights[-1][3:].contiguous()
        self.locked_bias = self.biases[-1] + self.biases[-1].new_tensor(LOCKED_DIRECTION) @ self.direction_weight
        self.density_weight, self.density_bias = siren.final_layer.weight[0].detach(), siren.final_layer.bias.detach()
        output = siren.color_layer_linear[0]
        self.output_weight, self.output_bias = output.weight.detach(), output.bias.detach()

    def all_biases(self, locked: bool) -> list[Float[Tensor, " width"]]:
        """Biases of all layers, with the locked direction's contribution or without one."""
        return [*self.biases[:-1], self.locked_bias] if locked else self.biases


class _Points(NamedTuple):
    """Some points of one scene; without directions the view dependence is locked."""

    positions: Float[Tensor, "points 3"]
    directions: Float[Tensor, "points 3"] | None


class _Scene:
    """The field with one scene's frequency and phase (layers, width)."""

    def __init__(self, weights: FrozenWeights, frequency: Tensor, phase: Tensor, locked: bool) -> None:
        self.weights, self.frequency, self.phase = weights, frequency, phase
        self.biases = weights.all_biases(locked)
        # FiLM is affine before its sine and can be folded into the weights, as in `models.pigan.folded`
        self.folded = [f * weight for f, weight in zip(frequency, weights.weights)]
        self.folded_biases = [torch.addcmul(p, f, bias) for f, p, bias in zip(frequency, phase, self.biases)]
        self.folded_direction_weight = frequency[-1] * weights.direction_weight
        self.transposed = [weight.t().contiguous() for weight in self.folded[1:]]

    def evaluate(self, points: _Points, space: Tensor) -> tuple[Tensor, Tensor]:
        """Colour and density. `space`: (2, points or more, width) to work in."""
        x, count = points.positions, len(points.positions)
        layers = list(zip(self.folded_biases, self.folded))
        for i, (bias, weight) in enumerate(layers[:DENSITY_LAYERS]):
            x = torch.addmm(bias, x, weight, out=space[i % 2, :count]).sin_()
        density = torch.mv(x, self.weights.density_weight).add_(self.weights.density_bias)
        bias, weight = layers[-1]
        x = torch.addmm(bias, x, weight, out=space[DENSITY_LAYERS % 2, :count])
        if points.directions is not None:
            x.addmm_(points.directions, self.folded_direction_weight)
        rgb = torch.addmm(self.weights.output_bias, x.sin_(), self.weights.output_weight.t())
        return rgb.sigmoid_(), density

    def code_gradients(
        self, points: _Points, rgb: Tensor, grad_rgb: Tensor, grad_density: Tensor, space: Tensor
    ) -> Tensor:
        """Sums over the points of dL/df and dL/dp: (2, layers, width). `space`: (layers + 2, points or more, width)."""
        space = space[:, : len(rgb)]
        z, x, spare = space[:FILM_LAYERS], space[FILM_LAYERS], space[FILM_LAYERS + 1]
        below = points.positions
        for i in range(FILM_LAYERS):
            torch.addmm(self.biases[i], below, self.weights.weights[i], out=z[i])
            if i < DENSITY_LAYERS:
                below = torch.addcmul(self.phase[i], self.frequency[i], z[i], out=x).sin_()
        if points.directions is not None:
            z[-1].addmm_(points.directions, self.weights.direction_weight)

        sums = z.new_empty(2, FILM_LAYERS, z.shape[-1])
        grad_x = torch.mm(grad_rgb * rgb * (1 - rgb), self.weights.output_weight, out=x)
        for i in reversed(range(FILM_LAYERS)):
            grad_u = torch.addcmul(self.phase[i], self.frequency[i], z[i], out=spare).cos_().mul_(grad_x)
            torch.sum(grad_u, 0, out=sums[1, i])
            torch.sum(z[i].mul_(grad_u), 0, out=sums[0, i])
            if i > 0:
                torch.mm(grad_u, self.transposed[i - 1], out=grad_x)
            if i == DENSITY_LAYERS:
                grad_x.addr_(grad_density, self.weights.density_weight)
        return sums


class _LeanField(torch.autograd.Function):
    """(frequency, phase) of shape (batch, layers, width), points, directions -> colour, density."""

    @staticmethod
    def forward(
        ctx: Any, frequency: Tensor, phase: Tensor, points: Tensor, directions: Tensor | None, weights: FrozenWeights,
        block: int,
    ) -> tuple[Tensor, Tensor]:
        scenes = [_Scene(weights, *modulation, directions is None) for modulation in zip(frequency, phase)]

        @torch.no_grad()  # grad mode is a thread's own
        def evaluate(item: tuple[int, int], space: Tensor) -> tuple[Tensor, Tensor]:
            k, start = item
            part = slice(start, start + block)
            return scenes[k].evaluate(_Points(points[k, part], None if directions is None else directions[k, part]),
                                      space)

        batch, count = points.shape[:2]
        items = [(k, start) for k in range(batch) for start in range(0, count, block)]
        parts = list(map_blocks(evaluate, items, _workers(points), _space(frequency, 2, min(block, count))))
        rgb = torch.cat([part[0] for part in parts]).unflatten(0, (batch, count))
        density = torch.cat([part[1] for part in parts]).unflatten(0, (batch, count))
        ctx.save_for_backward(frequency, phase, points, directions, rgb)
        ctx.weights, ctx.block = weights, block
        return rgb, density

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rgb: Tensor, grad_density: Tensor) -> tuple[Tensor | None, ...]:
        frequency, phase, points, directions, rgb = ctx.saved_tensors
        scenes = [_Scene(ctx.weights, *modulation, directions is None) for modulation in zip(frequency, phase)]

        @torch.no_grad()
        def gradients(item: tuple[int, Tensor], space: Tensor) -> tuple[int, Tensor]:
            k, rows = item
            at = _Points(points[k, rows], None if directions is None else directions[k, rows])
            return k, scenes[k].code_gradients(at, rgb[k, rows], grad_rgb[k, rows], grad_density[k, rows], space)

        items = [(k, rows) for k in range(len(scenes)) for rows in _rows(grad_rgb[k], grad_density[k], ctx.block)]
        largest = max((len(rows) for _, rows in items), default=0)
        total = frequency.new_zeros(len(scenes), 2, *frequency.shape[1:], dtype=torch.float64)
        for k, sums in map_blocks(gradients, items, _workers(points), _space(frequency, FILM_LAYERS + 2, largest)):
            total[k] += sums
        grad_frequency, grad_phase = total.to(frequency.dtype).unbind(1)
        return grad_frequency, grad_phase, None, None, None, None


def _workers(like: Tensor) -> int:
    return torch.get_num_threads() if like.device.type == "cpu" else 1


def _space(like: Tensor, features: int, points: int) -> Any:
    return lambda: like.new_empty(features, points, like.shape[-1])


def _rows(
    grad_rgb: Float[Tensor, "points 3"], grad_density: Float[Tensor, " points"], block: int
) -> tuple[Int[Tensor, " rows"], ...]:
    """Indices of the points that matter, in blocks."""
    matters = significant(grad_rgb.abs().sum(-1)) | significant(grad_density.abs())
    rows = matters.nonzero()[:, 0]
    return rows.split(block) if len(rows) else ()


def significant(magnitude: Float[Tensor, " points"]) -> Bool[Tensor, " points"]:
    """Which points to keep so that the sum of the magnitudes of all others is below float precision of the whole sum.

    Everything that is not zero is kept if there are infinities, and not-a-numbers always are: they must be seen.
    """
    threshold = torch.finfo(magnitude.dtype).eps * magnitude.mean()
    return ~(magnitude <= torch.where(threshold.isfinite(), threshold, 0))
