"""From rays to pixels: coarse samples, importance samples, compositing. Differentiable, for any batch: the definition.

`models.pigan.fast.render` computes the same thing in training, `models.pigan.fast.exact` in inference.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.codes import Codes
from models.pigan.integration import Composite, composite, sample_weights
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths
from models.pigan.siren import FilmSiren


def render_rays(
    siren: FilmSiren, codes: Codes, origins: Float[Tensor, "batch 3"], directions: Float[Tensor, "batch rays 3"], *,
    near: float, far: float, samples: int, hierarchical: bool, lock_view_dependence: bool, last_back: bool,
    white_back: bool = False, clamp: str = "relu", noise: RayNoise | None = None,
) -> Composite:
    """Render rays of a batch of scenes, differentiable with respect to codes and field.

    Args:
        near, far: distances from the camera between which the field is sampled, world units.
        samples: samples per ray of the first pass.
        hierarchical: a second pass places as many more where the first one's weights are, and both are composited; no
            gradient flows through the placement.
        lock_view_dependence: colours are those seen from the front.
        last_back, white_back, clamp: see `models.pigan.integration.composite`.
    """
    def field(depths: Float[Tensor, "batch rays part"]) -> tuple[Tensor, Tensor]:
        points = origins[:, None, None] + directions[:, :, None] * depths[..., None]
        views = None if lock_view_dependence else directions[:, :, None].expand_as(points).flatten(1, 2)
        rgb, density = siren(points.flatten(1, 2), codes, views)
        return rgb.unflatten(1, depths.shape[1:]), density.unflatten(1, depths.shape[1:])

    perturbation, u = (noise or RayNoise()).filled((*directions.shape[:2], samples), directions)
    depths = stratified_depths(near, far, samples, perturbation)
    rgb, density = field(depths)
    if hierarchical:
        depths, rgb, density = with_importance_samples(field, depths, rgb, density, u, clamp)
    return composite(rgb, density, depths, clamp=clamp, last_back=last_back, white_back=white_back)


def with_importance_samples(
    field: Callable[[Tensor], tuple[Tensor, Tensor]], depths: Float[Tensor, "batch rays coarse"],
    rgb: Float[Tensor, "batch rays coarse 3"], density: Float[Tensor, "batch rays coarse"],
    u: Float[Tensor, "batch rays fine"], clamp: str,
) -> tuple[Float[Tensor, "batch rays all"], Float[Tensor, "batch rays all 3"], Float[Tensor, "batch rays all"]]:
    """Samples of a first pass joined by those of a second one, which lie where the first one's weights are.

    Args:
        field: depths -> colour and density there.
        u: uniform draws that place the new samples.

    Returns:
        depths in ascending order, colours, densities.
    """
    with torch.no_grad():
        fine = importance_depths(depths, sample_weights(density, depths, clamp=clamp), u)
    fine_rgb, fine_density = field(fine)
    depths, order = torch.cat([depths, fine], -1).sort(-1)
    rgb = torch.cat([rgb, fine_rgb], -2).gather(-2, order[..., None].expand(*order.shape, 3))
    return depths, rgb, torch.cat([density, fine_density], -1).gather(-1, order)
