"""From rays to pixels: coarse samples, importance samples, compositing.

`render_rays` is the differentiable definition, for any batch, used in training; `render_block` computes the same thing
for one folded scene without gradients: density first, and colour only where a sample's weight can be seen.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.folded import FoldedField
from models.pigan.integration import Composite, composite, sample_weights
from models.pigan.lean_field import evaluate_field
from models.pigan.sampling import importance_depths, midpoints, stratified_depths
from models.pigan.siren import FilmSiren

# A sample of less weight is not coloured. A picture changes by less than 2 * samples * this on [-1, 1].
INVISIBLE_WEIGHT = 1e-7
# Training goes along its rays in so many stretches, and leaves out rays whose light has sunk below float precision.
STRETCHES = 3


class RayNoise(NamedTuple):
    """Uniform draws in [0, 1] that place the samples of each ray; None stands for the deterministic midpoints."""

    perturbation: Float[Tensor, "*rays samples"] | None = None
    importance: Float[Tensor, "*rays samples"] | None = None

    def filled(self, shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
        """Both draws with `shape` (..., samples), deterministic where they are None."""
        perturbation, importance = self
        if perturbation is None:
            perturbation = like.new_full((), 0.5).expand(shape)
        if importance is None:
            importance = midpoints(shape[-1], like).expand(shape)
        return perturbation, importance


def render_rays(
    siren: FilmSiren,
    codes: Codes,
    origins: Float[Tensor, "batch 3"],
    directions: Float[Tensor, "batch rays 3"],
    *,
    near: float,
    far: float,
    samples: int,
    hierarchical: bool,
    lock_view_dependence: bool,
    last_back: bool,
    white_back: bool = False,
    clamp: str = "relu",
    noise: RayNoise | None = None,
    sample_chunk: int | None = None,
) -> Composite:
    """Render rays of a batch of scenes, differentiable with respect to codes and field.

    With `hierarchical`, a first pass places `samples` more and both sets are composited; no gradient flows through
    the placement. Without it and with a frozen field, what lies behind opaque surfaces is left out.

    Args:
        sample_chunk: upper bound for the points evaluated at a time, see `models.pigan.lean_field.evaluate_field`.
    """
    perturbation, u = (noise or RayNoise()).filled((*directions.shape[:2], samples), directions)
    depths = stratified_depths(near, far, samples, perturbation)

    def field(at: Float[Tensor, "batch rays part"], visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
        points = origins[:, None, None] + directions[:, :, None] * at[..., None]
        view = None if lock_view_dependence else directions[:, :, None].expand_as(points).flatten(1, 2)
        solid = None
        if clamp == "relu":  # no density, no weight; but the last sample may have to be the background
            solid = (at == depths[..., -1:]).flatten(1)
        if visible is not None:
            visible = visible[..., None].expand(at.shape).flatten(1)
        rgb, density = evaluate_field(siren, points.flatten(1, 2), codes, view, visible=visible, solid=solid,
                                      block=sample_chunk)
        return rgb.unflatten(1, at.shape[1:]), density.unflatten(1, at.shape[1:])

    if hierarchical:
        rgb, density = field(depths)
        with torch.no_grad():
            weights = sample_weights(density, depths, clamp=clamp)
            fine = importance_depths(depths, weights, u)
        fine_rgb, fine_density = field(fine)
        depths, order = torch.cat([depths, fine], -1).sort(-1)
        density = torch.cat([density, fine_density], -1).gather(-1, order)
        rgb = torch.cat([rgb, fine_rgb], -2).gather(-2, order[..., None].expand(*order.shape, 3))
    else:
        stretches = []
        spacing = depths.diff(dim=-1, append=depths[..., -1:])
        optical_depth = depths.new_zeros(depths.shape[:2])
        for at, step in zip(depths.chunk(STRETCHES, -1), spacing.chunk(STRETCHES, -1)):
            visible = ~(optical_depth > -math.log(torch.finfo(depths.dtype).eps))
            stretches.append(field(at, visible))
            with torch.no_grad():
                optical_depth += (getattr(F, clamp)(stretches[-1][1]) * step).sum(-1)
        rgb, density = torch.cat([rgb for rgb, _ in stretches], -2), torch.cat([value for _, value in stretches], -1)
    return composite(rgb, density, depths, clamp=clamp, last_back=last_back, white_back=white_back)


class Pixels(NamedTuple):
    """What a block of rays sees: colour in [0, 1], depth along the ray, opacity before the background is filled."""

    rgb: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    opacity: Float[Tensor, " rays"]


@torch.no_grad()
def render_block(
    field: FoldedField,
    origin: Float[Tensor, "3"],
    directions: Float[Tensor, "rays 3"],
    *,
    samples: int,
    near: float,
    far: float,
    last_back: bool,
    clamp: str = "relu",
    noise: RayNoise | None = None,
) -> Pixels:
    """Hierarchical rendering of a block of rays of one scene and one camera; same samples as `render_rays`."""
    rays = len(directions)

    def evaluate(depths: Float[Tensor, "rays samples"]) -> tuple[Tensor, Tensor]:
        features = field.features(torch.addcmul(origin, directions[:, None], depths[..., None]).reshape(-1, 3))
        return features, field.density(features).reshape(rays, samples)

    perturbation, u = (noise or RayNoise()).filled((rays, samples), directions)
    coarse = stratified_depths(near, far, samples, perturbation)
    coarse_features, coarse_density = evaluate(coarse)
    fine = importance_depths(coarse, sample_weights(coarse_density, coarse, clamp=clamp), u)
    fine_features, fine_density = evaluate(fine)

    depths, order = torch.cat([coarse, fine], 1).sort(1)
    density = torch.cat([coarse_density, fine_density], 1).gather(1, order)
    weights = sample_weights(density, depths, clamp=clamp)
    opacity = weights.sum(1)
    if last_back:
        weights[:, -1] += 1 - opacity

    rgb = torch.zeros_like(directions)
    by_pass = torch.empty_like(weights).scatter_(1, order, weights).split(samples, 1)
    for features, weight in zip((coarse_features, fine_features), by_pass, strict=True):
        weight = weight.reshape(-1)
        seen = (weight.abs() > INVISIBLE_WEIGHT).nonzero()[:, 0]
        rgb.index_add_(0, seen // samples, field.colour(features.index_select(0, seen)) * weight[seen, None])
    return Pixels(rgb, (weights * depths).sum(1), opacity)
