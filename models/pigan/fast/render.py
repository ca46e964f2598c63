"""`models.pigan.render.render_rays` for training.

The field is evaluated only where its answer can be seen, and a frozen one keeps next to nothing for the backward pass.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.fast.frozen_field import evaluate_field
from models.pigan.integration import Composite, composite
from models.pigan.render import with_importance_samples
from models.pigan.sampling import RayNoise, stratified_depths
from models.pigan.siren import FilmSiren

# of a ray's samples; before each, rays whose transmittance is below float precision end. A GPU would be waited for
FRONT_TO_BACK_CHUNKS = {"cpu": 3}


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
    precision: str = "fp32",
) -> Composite:
    """See `models.pigan.render.render_rays`: the same arguments, and the same pixels and gradients.

    Without `hierarchical` a ray is followed from front to back, and what lies behind opaque surfaces is left out.

    Args:
        sample_chunk, precision: how the field is evaluated, see `evaluate_field`.
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
                                      block=sample_chunk, precision=precision)
        return rgb.unflatten(1, at.shape[1:]), density.unflatten(1, at.shape[1:])

    if hierarchical:
        rgb, density = field(depths)
        depths, rgb, density = with_importance_samples(field, depths, rgb, density, u, clamp)
    else:
        chunks, count = [], FRONT_TO_BACK_CHUNKS.get(depths.device.type, 1)
        spacing = depths.diff(dim=-1, append=depths[..., -1:])
        optical_depth = depths.new_zeros(depths.shape[:2])
        for at, step in zip(depths.chunk(count, -1), spacing.chunk(count, -1)):
            visible = ~(optical_depth > -math.log(torch.finfo(depths.dtype).eps))
            chunks.append(field(at, visible if count > 1 else None))
            with torch.no_grad():
                optical_depth += (getattr(F, clamp)(chunks[-1][1]) * step).sum(-1)
        rgb, density = torch.cat([rgb for rgb, _ in chunks], -2), torch.cat([value for _, value in chunks], -1)
    return composite(rgb, density, depths, clamp=clamp, last_back=last_back, white_back=white_back)
