"""From rays to pixels: coarse samples, importance samples, compositing. Differentiable, for any batch: the definition.

`models.pigan.fast.exact` computes the same thing for one folded scene without gradients.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.fast.frozen_field import evaluate_field
from models.pigan.integration import Composite, composite, sample_weights
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths
from models.pigan.siren import FilmSiren

# Training goes along its rays in so many stretches, and leaves out rays whose light has sunk below float precision.
STRETCHES = 3


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
        sample_chunk: upper bound for the points evaluated at a time, see `models.pigan.fast.frozen_field.evaluate_field`.
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
