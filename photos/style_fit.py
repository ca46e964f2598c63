"""Colours from a reference: codes of the colour layers, fitted so that each part of a head has the reference's colours.

    fitted = fit_colours(net, codes, camera, labels, reference, parts=("hair", "skin"))
    scene = net.scene_of(fitted.codes)
    fitted.before["hair"], fitted.after["hair"]         # mean absolute difference of the mean colour, of 255

The codes move along the principal directions of the mapping network's codes. Rays of the head are placed once: what
lies in front of the first layer that moves is computed once, too, and a step takes a hundredth of a second. The solver
is L-BFGS, since nothing in the loss is random: with Adam, as edits have it, colours came not half as near.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from configs.label_spaces import LabelSpace
from editing.directions import CodeDirections, code_directions
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.fold import FieldWeights, field_weights
from models.pigan.integration import sample_weights
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths
from models.pigan.siren import DENSITY_LAYERS
from models.sem2nerf import Sem2NeRF
from photos.colours import FEWEST_PIXELS, PartColours, inner
from utils.errors import UserError

COLOUR_LAYERS = (8,)
DIRECTIONS = 256
RAYS = 48               # of each part
SAMPLES = 12            # per ray; as many again are placed where the surface is
UNSURE = 255            # label of pixels that nothing is known of
SEEN = 4                # samples of a ray that are coloured where the surface does not move
STEPS = 150             # of L-BFGS, at most
SMALLEST = 3 / 255      # differences of colour far below this count by their square, those far above by themselves
SPREAD = 0.1            # of the loss: that of the spreads, beside that of the means
PARTS = {"u_lip": 4.0, "l_lip": 4.0}    # of the loss: what a part weighs where it is not 1. Lips are small, differ by
                                        # their shading, and are looked at before all else
KEEP_MISSING = 0.1      # of the loss: colours that stay of parts that the reference lacks, and of parts not named: the
KEEP = (2.0, 4.0, 8.0, 16.0, 32.0)  # first of these with which they change by less than CHANGE on average, and none
CHANGE = 1.7 / 255      # by more than twice that; else the first with which the average is small enough
SURFACE = 1.0           # of the loss: how much of a ray's weight moves
FAR = 1e-4              # of the loss: the mean square of the move, in standard deviations


@dataclass(frozen=True)
class FittedStyle:
    """Codes in the reference's colours, and how near these are, by the names of the parts."""

    codes: Codes
    before: dict[str, float]        # mean absolute difference of each part's mean colour from the reference's, of 255
    after: dict[str, float]


@dataclass(frozen=True)
class _Rays:
    """Some pixels of a head: what is known of their samples before the first layer that moves."""

    part: Int[Tensor, " rays"]
    features: Float[Tensor, "rays samples width"]   # W x + b of that layer
    depths: Float[Tensor, "rays samples"]
    weights: Float[Tensor, "rays samples"]          # of the samples, as long as the codes are the mask's own


def named_parts(names: str, space: LabelSpace) -> tuple[str, ...]:
    """'hair,skin,u_lip' -> ('hair', 'skin', 'u_lip'); an eye, a brow or an ear by its merged name.

    Raises:
        UserError: there is no such part.
    """
    parts = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not parts or (unknown := [name for name in parts if name not in space.labels]):
        raise UserError(f"`style_parts`: {(unknown or [names])[0]!r} is no part of {space.name}; choose some of "
                        f"{', '.join(space.labels)}")
    return parts


def fit_colours(
    net: Sem2NeRF, codes: Codes, camera: Camera, labels: Integer[np.ndarray, "size size"], reference: PartColours,
    parts: Sequence[str] | None = None, layers: Sequence[int] = COLOUR_LAYERS, steps: int = STEPS,
    on_evaluation: Callable[[], None] = lambda: None,
) -> FittedStyle:
    """Move codes of `layers` until the head's parts have the reference's colours; parts not named keep their own.

    Args:
        codes: of one head.
        camera, labels: a view of the head and what it shows at each pixel, in labels of `net.input.network_space`, or
            UNSURE, where nothing is looked at.
        reference: the colours, of the same labels.
        parts: names of the parts to recolour; None: all that the reference shows.
        on_evaluation: called before each evaluation of the loss; what it raises ends the fit.
        layers: FiLM layers that move. Where the colour layer (8) is the only one, the head's shape cannot change.

    Raises:
        UserError: the head and the reference have none of the parts in common.
    """
    space = net.input.network_space
    rays = _place_rays(net, codes, camera, labels, min(layers))
    there = {space.labels[label]: label for label in rays.part.unique().tolist()}
    wanted = [there[name] for name in parts or there if name in there and reference.shown[there[name]]]
    if not wanted:
        what = ", ".join(parts) if parts else "part"
        raise UserError(f"`style_parts`: there is no {what} that both the mask and the reference show; name others of "
                        f"{', '.join(name for name, label in there.items() if reference.shown[label])}")
    render = _renderer(net, rays, min(layers), codes.frequencies.device)
    directions = code_directions(net.siren, DIRECTIONS, layers)
    weights = [PARTS.get(space.labels[label], 1.0) for label in wanted]
    fitted, shown = _optimise(rays, render, codes, directions, _goals(rays, wanted, weights, reference), steps,
                              (KEEP_MISSING,) if parts is None else KEEP, on_evaluation)
    errors = [{space.labels[label]: _difference(image[rays.part == label].mean(0), reference.mean[label])
               for label in wanted} for image in shown]
    return FittedStyle(fitted, *errors)


Render = Callable[[Codes], tuple[Tensor, Tensor]]       # codes -> colours of rays in [0, 1], weights of their samples


class _Goal(NamedTuple):
    """What a part shall look like."""

    rays: Int[Tensor, " part"]
    mean: Float[Tensor, "3"]
    spread: Float[Tensor, "3"]
    weight: float       # of all goals they sum to 1


def _goals(rays: _Rays, wanted: Sequence[int], weights: Sequence[float], reference: PartColours) -> list[_Goal]:
    def tensor(values: Float[np.ndarray, "3"]) -> Tensor:
        return torch.tensor(values, dtype=rays.depths.dtype, device=rays.part.device)

    return [_Goal((rays.part == label).nonzero()[:, 0], tensor(reference.mean[label]), tensor(reference.spread[label]),
                  weight / sum(weights)) for label, weight in zip(wanted, weights, strict=True)]


def _optimise(rays: _Rays, render: Render, codes: Codes, directions: CodeDirections, goals: Sequence[_Goal], steps: int,
              keeps: Sequence[float], on_evaluation: Callable[[], None]) -> tuple[Codes, tuple[Tensor, Tensor]]:
    """Moved codes, and the colours of the rays before and after."""
    device = rays.part.device
    with torch.no_grad():
        own, _ = render(codes)
    others = torch.ones_like(rays.part, dtype=torch.bool)
    others[torch.cat([goal.rays for goal in goals])] = False
    amounts = torch.zeros(1, len(directions.frequencies), device=device, requires_grad=True)

    def loss(keep: float) -> Tensor:
        rgb, weights = render(codes + directions.step(amounts))
        total = FAR * amounts.square().mean()
        if weights is not rays.weights:
            total = total + SURFACE * (weights - rays.weights).abs().sum(1).mean()
        for part, mean, spread, weight in goals:
            total = total + weight * (_soft(rgb[part].mean(0) - mean) + SPREAD * _soft(rgb[part].std(0) - spread))
        if others.any():
            total = total + keep * _soft(rgb[others] - own[others]) / others.sum()
        return total

    found: tuple[Codes, Tensor] | None = None
    for keep in keeps:
        solver = torch.optim.LBFGS([amounts], max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

        def closure(keep: float = keep, solver: torch.optim.LBFGS = solver) -> Tensor:
            on_evaluation()
            solver.zero_grad()
            value = loss(keep)
            value.backward()
            return value

        solver.step(closure)  # type: ignore[arg-type]: it returns the loss as a tensor
        with torch.no_grad():
            fitted = codes + directions.step(amounts)
            shown, _ = render(fitted)
            mean, most = _changes(shown - own, rays.part, others)
        if mean < CHANGE and (found is None or most < 2 * CHANGE):
            found = fitted, shown
        if mean < CHANGE and most < 2 * CHANGE:
            break
    fitted, shown = found or (fitted, shown)  # pyright: ignore[reportPossiblyUnboundVariable]: `keeps` are some
    return fitted, (own, shown)


def _changes(change: Float[Tensor, "rays 3"], part: Int[Tensor, " rays"], others: Bool[Tensor, " rays"]
             ) -> tuple[float, float]:
    """By how much other parts change: on average over parts, and the one that does most."""
    each = [change[part == label].abs().mean().item() for label in part[others].unique().tolist()]
    return float(np.mean(each or [0])), max(each or [0.0])


def _soft(difference: Tensor) -> Tensor:
    """Sum of absolute values, rounded at 0."""
    return ((difference.square() + SMALLEST**2).sqrt() - SMALLEST).sum()


def _difference(colour: Tensor, goal: Float[np.ndarray, "3"]) -> float:
    return float(np.abs(colour.cpu().numpy() - goal).mean() * 255)


@torch.no_grad()
def _place_rays(net: Sem2NeRF, codes: Codes, camera: Camera, labels: Integer[np.ndarray, "size size"], first: int
                ) -> _Rays:
    """Pixels of every part, evenly over it, and their samples; `first` is the first layer that moves."""
    preset, device = net.config.camera, codes.frequencies.device
    pixels, part = [], []
    for label in np.setdiff1d(labels, UNSURE):
        inside = np.flatnonzero(inner(labels == label))
        if len(inside) >= FEWEST_PIXELS:
            picked = inside[np.linspace(0, len(inside) - 1, min(RAYS, len(inside))).round().astype(int)]
            pixels.append(picked)
            part += [int(label)] * len(picked)
    origin, directions = camera_rays(camera, len(labels), preset.fov_deg, device)
    directions = directions[torch.from_numpy(np.concatenate(pixels)).to(device)]
    weights = field_weights(net.siren).frozen()
    layers = list(zip(weights.layers, *(value[0] for value in net.siren.modulation(codes)), strict=True))

    def features(depths: Tensor, count: int) -> Tensor:
        x = origin + directions[:, None] * depths[..., None]
        for (weight, bias), frequency, phase in layers[:count]:
            x = torch.sin(frequency * (x @ weight.t() + bias) + phase)
        return x

    def density(depths: Tensor) -> Tensor:
        return (features(depths, DENSITY_LAYERS) @ weights.density[0].t() + weights.density[1])[..., 0]

    perturbation, u = RayNoise().filled((len(directions), SAMPLES), directions)
    depths = stratified_depths(preset.ray_start, preset.ray_end, SAMPLES, perturbation)
    coarse = sample_weights(density(depths), depths, clamp=preset.clamp_mode)
    depths = torch.cat([depths, importance_depths(depths, coarse, u)], 1).sort(1).values
    shares = sample_weights(density(depths), depths, clamp=preset.clamp_mode, last_back=preset.eval_last_back)
    if first == DENSITY_LAYERS:  # nothing but colours can change: the few samples that are seen will do
        shares, kept = shares.topk(SEEN, dim=1)
        depths, shares = depths.gather(1, kept), shares / shares.sum(1, keepdim=True).clamp_min(1e-6)
    (weight, bias), *_ = weights.layers[first:]
    return _Rays(torch.tensor(part, device=device), features(depths, first) @ weight.t() + bias, depths, shares)


def _renderer(net: Sem2NeRF, rays: _Rays, first: int, device: torch.device) -> Render:
    """Colours of the rays as a function of the codes of the layers from `first` on; differentiable."""
    weights, preset = field_weights(net.siren).frozen(), net.config.camera

    def render(codes: Codes) -> tuple[Tensor, Tensor]:
        frequencies, phases = (value[0] for value in net.siren.modulation(codes))
        x, shares = torch.sin(frequencies[first] * rays.features + phases[first]), rays.weights
        for layer in range(first + 1, DENSITY_LAYERS + 1):
            if layer == DENSITY_LAYERS:
                shares = _shares(weights, x, rays.depths, preset.clamp_mode, preset.eval_last_back)
            weight, bias = weights.layers[layer]
            x = torch.sin(x @ (frequencies[layer][:, None] * weight).t() + frequencies[layer] * bias + phases[layer])
        rgb = (x @ weights.colour[0].t() + weights.colour[1]).sigmoid()
        return (shares[..., None] * rgb).sum(1), shares

    return render


def _shares(weights: FieldWeights, x: Tensor, depths: Tensor, clamp: str, last_back: bool) -> Tensor:
    density = (x @ weights.density[0].t() + weights.density[1])[..., 0]
    return sample_weights(density, depths, clamp=clamp, last_back=last_back)
