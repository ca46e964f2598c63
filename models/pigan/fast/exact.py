"""Rays -> pixels of one folded scene, at the samples that `models.pigan.render.render_rays` uses.

Density first, and colour only where a sample's weight can be seen.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import FusedField
from models.pigan.integration import sample_weights
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths

# A sample of less weight is not coloured. An image changes by less than 2 * samples * this on [-1, 1].
INVISIBLE_WEIGHT = 1e-7


class Pixels(NamedTuple):
    """What a block of rays sees: colour in [0, 1], depth along the ray, opacity before the background is filled."""

    rgb: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    opacity: Float[Tensor, " rays"]


@torch.no_grad()
def render_block(
    field: FoldedField | FusedField,
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

    def evaluate(depths: Float[Tensor, "rays samples"]) -> tuple[Tensor, Shade]:
        density, shade = _evaluate(field, torch.addcmul(origin, directions[:, None], depths[..., None]).reshape(-1, 3))
        return density.reshape(rays, samples), shade

    perturbation, u = (noise or RayNoise()).filled((rays, samples), directions)
    coarse = stratified_depths(near, far, samples, perturbation)
    coarse_density, shade_coarse = evaluate(coarse)
    fine = importance_depths(coarse, sample_weights(coarse_density, coarse, clamp=clamp), u)
    fine_density, shade_fine = evaluate(fine)

    depths, order = torch.cat([coarse, fine], 1).sort(1)
    density = torch.cat([coarse_density, fine_density], 1).gather(1, order)
    weights = sample_weights(density, depths, clamp=clamp)
    opacity = weights.sum(1)
    if last_back:
        weights[:, -1] += 1 - opacity

    by_pass = torch.empty_like(weights).scatter_(1, order, weights).split(samples, 1)
    rgb = torch.zeros_like(directions)
    for shade, weight in zip((shade_coarse, shade_fine), by_pass, strict=True):
        rgb += shade(weight.reshape(-1)).reshape(rays, samples, 3).sum(1)
    return Pixels(rgb, (weights * depths).sum(1), opacity)


Shade = Callable[[Float[Tensor, " points"]], Float[Tensor, "points 3"]]  # weights -> colours times weights


def _evaluate(field: FoldedField | FusedField, points: Float[Tensor, "points 3"]) -> tuple[Tensor, Shade]:
    """Densities, and what gives the colours. A CPU computes only those that can be seen; to find them, a GPU would have
    to wait for their number."""
    if isinstance(field, FusedField):
        rgb, density = field(points)
        return density, lambda weight: rgb * weight[:, None]
    features = field.features(points)

    def seen(weight: Tensor) -> Tensor:
        chosen = (weight.abs() > INVISIBLE_WEIGHT).nonzero()[:, 0]
        # not `index_add_` into the rays: on a GPU its order of addition changes from run to run
        return torch.zeros_like(points).index_copy_(0, chosen, field.colour(features, chosen) * weight[chosen, None])

    if points.device.type == "cpu":
        return field.density(features), seen
    return field.density(features), lambda weight: field.colour(features) * weight[:, None]
