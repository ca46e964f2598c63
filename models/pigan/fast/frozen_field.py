"""The field in training: gradients of the codes alone, in blocks, with next to nothing kept between the passes.

The decoder is frozen while the encoder learns, so all that the backward pass has to find are the sums over points that
are the gradients of each layer's frequency f and phase p. With z = W x + b, u = f z + p and d = dL/du = cos(u) dL/dx,

    dL/dp = sum d        dL/df = sum d z        dL/dx of the layer below = (f W)^T d

Plain autograd keeps z and u of every layer for all points at once, two gigabytes for a 64 x 64 patch. Here the forward
pass keeps no features, and the backward pass computes those of a block again and reduces them while they are in the
processor's cache. It does so only for points that take part: at a negative density, or behind an opaque surface, a
sample's gradient is zero, which in a trained field is true of nine in ten.

On a GPU, which would be waited for whenever the number of such points must be known, they are found once for all
scenes and both passes: see `known_density`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from models.pigan.codes import Codes
from models.pigan.fast import film
from models.pigan.fast.fold import FieldWeights, Layer, field_weights, fold
from models.pigan.fast.kernels import affine, multiplying_in, sine_, whole_rows
from models.pigan.siren import DENSITY_LAYERS, FILM_LAYERS, FilmSiren
from utils.parallel import thread_map

CPU_BLOCK = 1 << 18  # features per block and layer (points * width): they should fit into the second-level cache
GPU_SHARE = 1 / 256  # of a GPU's memory, for the features of one layer; the backward pass holds a dozen such

Rows = slice | Tensor  # some points of a scene
Result = TypeVar("Result")


def evaluate_field(
    siren: FilmSiren, points: Float[Tensor, "batch points 3"], codes: Codes,
    directions: Float[Tensor, "batch points 3"] | None = None, *, visible: Bool[Tensor, "batch points"] | None = None,
    solid: Bool[Tensor, "batch points"] | None = None, known_density: Float[Tensor, "batch points"] | None = None,
    block: int | None = None, precision: str = "fp32",
) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch points"]]:
    """`siren(points, codes, directions)`, differentiable in whatever requires a gradient, with little kept for that.

    Args:
        visible: where False, the caller does not need the point: colour and density may be given as 0.
        solid: where False, the caller does not need the colour of a point unless its density is positive: it may be
            given as 0.
        known_density: of all points, where only codes learn; then `visible` are those that it is still to be found for
            with its gradient, and with the colour.
        block: upper bound for the points evaluated at a time. The default is a good one where only codes learn. If
            weights of the field (or positions) require a gradient, autograd keeps all features by default; with a
            block it keeps those of one block at a time and computes them again in the backward pass.
        precision: of the products in hidden layers where only codes learn, see `multiplying_in`.
    """
    if is_frozen(siren, points, directions):
        return _evaluate_frozen(siren, points, codes, directions, visible, solid, known_density, block, precision)
    if block is None or block >= points.shape[1]:
        return siren(points, codes, directions)
    starts = range(0, points.shape[1], block)
    parts = [checkpoint(siren, points[:, i : i + block], codes, None if directions is None
                        else directions[:, i : i + block], use_reentrant=False, preserve_rng_state=False)
             for i in starts]
    return torch.cat([rgb for rgb, _ in parts], 1), torch.cat([density for _, density in parts], 1)


def is_frozen(siren: FilmSiren, *inputs: Tensor | None) -> bool:
    """Whether neither the field nor any of the inputs learns."""
    weights = (w for name, w in siren.named_parameters() if not name.startswith("mapping_network"))
    learning = (value for value in (*inputs, *weights) if value is not None and value.requires_grad)
    return not torch.is_grad_enabled() or not any(True for _ in learning)


@torch.compiler.disable()
def _evaluate_frozen(siren: FilmSiren, points: Tensor, codes: Codes, directions: Tensor | None, visible: Tensor | None,
                     solid: Tensor | None, known_density: Tensor | None, block: int | None, precision: str
                    ) -> tuple[Tensor, Tensor]:
    default = max(1, block_features(points.device) // siren.width)
    block = min(default, block) if block else default
    with torch.autocast(points.device.type, enabled=False):  # phases of many turns need all the digits there are
        frequency, phase = siren.modulation(codes)
        weights = field_weights(siren, locked=directions is None).frozen()
        return RecomputedField.apply(frequency, phase, _Points(points, directions), visible, solid, known_density,
                                     weights, block, precision)


@functools.cache
def block_features(device: torch.device) -> int:
    """How many features of a layer (points * width) to compute at a time."""
    if device.type != "cuda":
        return CPU_BLOCK
    return round(torch.cuda.get_device_properties(device).total_memory * GPU_SHARE) // 4


class _Points(NamedTuple):
    """Some points; without directions the view dependence is locked."""

    positions: Float[Tensor, "*points 3"]
    directions: Float[Tensor, "*points 3"] | None

    def take(self, scene: int, rows: Rows) -> _Points:
        return _Points(self.positions[scene, rows], None if self.directions is None else self.directions[scene, rows])


class _SceneField:
    """The field of one scene: frequency and phase have shape (layers, width), `layers` are folded with them and
    `weights` are not; the weights of hidden layers are of type `hidden`."""

    def __init__(self, weights: FieldWeights, layers: list[Layer], frequency: Tensor, phase: Tensor,
                 hidden: torch.dtype) -> None:
        self.weights, self.layers, self.hidden = weights, layers, hidden
        self.frequency, self.phase = frequency, phase
        self.direction = frequency[-1, :, None] * weights.direction

    @cached_property
    def transposed(self) -> list[Tensor]:
        """What a gradient is multiplied with on its way down through layer 1, 2 ..."""
        on_cpu = self.frequency.device.type == "cpu"
        return [weight.t().contiguous() if on_cpu else weight.t() for weight, _ in self.layers[1:]]

    def evaluate(self, points: _Points, solid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Colour and density."""
        x, directions = points
        for weight, bias in self.layers[:DENSITY_LAYERS]:
            x = sine_(affine(x, weight, bias))
        weight, bias = self.weights.density
        density = torch.mv(x, weight[0]).add_(bias)
        # not (density <= 0) rather than density > 0: a NaN is coloured, too, so that it shows in the loss
        rows = None if solid is None else (solid | ~(density <= 0)).nonzero()[:, 0]
        if rows is not None:
            taken = whole_rows(rows)
            x, directions = x[taken], None if directions is None else directions[taken]
        x = affine(x, *self.layers[-1])
        if directions is not None:
            x.addmm_(directions, self.direction.t())
        rgb = affine(sine_(x), *self.weights.colour).sigmoid_()
        return rgb if rows is None else rgb.new_zeros(len(density), 3).index_copy_(0, rows, rgb[: len(rows)]), density

    def code_gradients(self, points: _Points, rgb: Tensor, grad_rgb: Tensor, grad_density: Tensor) -> Tensor:
        """Sums over the points of dL/df and dL/dp: (2, layers, width)."""
        x, directions = points
        z = []
        for i in range(FILM_LAYERS):
            z.append(affine(x, *self.weights.layers[i]))
            if i < DENSITY_LAYERS:
                x = film.sine(z[i], self.frequency[i], self.phase[i], self.hidden)
        if directions is not None:
            z[-1].addmm_(directions, self.weights.direction.t())

        sums = self.frequency.new_empty(FILM_LAYERS, 2, self.frequency.shape[1])
        grad_x = torch.mm(grad_rgb * rgb * (1 - rgb), self.weights.colour[0])
        for i in reversed(range(FILM_LAYERS)):
            grad = film.gradient(z.pop(), grad_x, self.frequency[i], self.phase[i], sums[i], self.hidden)
            if i > 0:
                grad_x = affine(grad, self.transposed[i - 1])
            if i == DENSITY_LAYERS:
                grad_x.addr_(grad_density, self.weights.density[0][0])
        return sums.transpose(0, 1)


class RecomputedField(torch.autograd.Function):
    """(frequency, phase) of shape (batch, layers, width) -> colour, density at points of shape (batch, points, 3)."""

    @staticmethod
    def forward(ctx: Any, frequency: Tensor, phase: Tensor, points: _Points, visible: Tensor | None,
                solid: Tensor | None, known_density: Tensor | None, weights: FieldWeights, block: int, precision: str
               ) -> tuple[Tensor, Tensor]:
        rgb = torch.zeros_like(points.positions)
        density = torch.zeros_like(rgb[..., 0]) if known_density is None else known_density.clone()

        def evaluate(k: int, rows: Rows) -> None:
            rgb[k, rows], density[k, rows] = scenes[k].evaluate(
                points.take(k, rows), None if solid is None else solid[k, rows])

        with multiplying_in(precision) as hidden:
            scenes = _scenes(weights, frequency, phase, hidden or frequency.dtype)
            chosen = [slice(0, density.shape[1])] * len(scenes) if visible is None else chosen_rows(visible)
            _run(evaluate, chosen, block, points.positions.device)
        ctx.save_for_backward(frequency, phase, *points, visible, rgb)
        ctx.weights, ctx.block, ctx.precision = weights, block, precision
        ctx.chosen = None if known_density is None else chosen
        return rgb, density

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]: the decorator hides the name of `ctx`
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        grad_rgb, grad_density = grad_outputs
        frequency, phase, positions, directions, visible, rgb = ctx.saved_tensors
        points = _Points(positions, directions)

        def gradients(k: int, rows: Rows) -> tuple[int, Tensor]:
            return k, scenes[k].code_gradients(points.take(k, rows), rgb[k, rows], grad_rgb[k, rows],
                                               grad_density[k, rows])

        chosen = ctx.chosen
        if chosen is None:
            matters = significant(grad_rgb.abs().sum(-1)) | significant(grad_density.abs())
            chosen = chosen_rows(matters if visible is None else matters & visible)
        total = frequency.new_zeros(len(frequency), 2, *frequency.shape[1:], dtype=torch.float64)
        with multiplying_in(ctx.precision) as hidden:
            scenes = _scenes(ctx.weights, frequency, phase, hidden or frequency.dtype)
            for k, sums in _run(gradients, chosen, ctx.block, positions.device):
                total[k] += sums
        grad_frequency, grad_phase = total.to(frequency.dtype).unbind(1)
        return grad_frequency, grad_phase, *[None] * 7


def _scenes(weights: FieldWeights, frequency: Tensor, phase: Tensor, hidden: torch.dtype) -> list[_SceneField]:
    def cast(layers: list[Layer]) -> list[Layer]:
        return [layers[0], *((weight.to(hidden), bias) for weight, bias in layers[1:])]

    folded, weights = cast(fold(weights, frequency, phase)), weights._replace(layers=cast(weights.layers))
    return [_SceneField(weights, [(weight[k], bias[k]) for weight, bias in folded], frequency[k], phase[k], hidden)
            for k in range(len(frequency))]


def _run(function: Callable[[int, Rows], Result], chosen: Sequence[Rows], block: int, device: torch.device
         ) -> list[Result]:
    """`function(scene, rows)` for blocks of the chosen points of every scene."""
    items = [(k, part) for k, rows in enumerate(chosen) for part in _parts(rows, block)]

    @torch.no_grad()  # grad mode is a thread's own
    def work(item: tuple[int, Rows]) -> Result:
        return function(*item)

    workers = torch.get_num_threads() if device.type == "cpu" else 1
    return list(thread_map(work, items, min(workers, max(1, len(items)))))


def _parts(rows: Rows, block: int) -> Iterator[Rows]:
    if isinstance(rows, slice):
        yield from (slice(start, min(start + block, rows.stop)) for start in range(rows.start, rows.stop, block))
    elif len(rows):
        yield from rows.split(block)


def chosen_rows(mask: Bool[Tensor, "batch points"]) -> tuple[Int[Tensor, " chosen"], ...]:
    """Numbers of the points of each scene where the mask is True, in ascending order.

    A GPU is waited for once, for how many there are: `nonzero` would wait once per scene.
    """
    if mask.device.type == "cpu":
        return tuple(scene.nonzero()[:, 0] for scene in mask)
    counts = mask.sum(1).tolist()
    places = torch.where(mask.flatten(), mask.flatten().cumsum(0) - 1, sum(counts))  # the last place takes what is left
    numbers = torch.arange(mask.shape[1], device=mask.device).repeat(len(mask))
    rows = numbers.new_empty(sum(counts) + 1).scatter_(0, places, numbers)
    return rows[:-1].split(counts)


def significant(magnitude: Float[Tensor, "batch points"]) -> Bool[Tensor, "batch points"]:
    """Which points to keep so that what all others of a scene sum up to is below float precision of the whole sum.

    Everything that is not zero is kept if there are infinities, and NaNs always are, so that they show in the gradient.
    """
    threshold = torch.finfo(magnitude.dtype).eps * magnitude.mean(-1, keepdim=True)
    return ~(magnitude <= torch.where(threshold.isfinite(), threshold, 0))
