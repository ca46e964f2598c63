"""`models.pigan.render.render_rays` for training.

The field is evaluated only where its answer can be seen, and a frozen one keeps next to nothing for the backward pass.
A CPU follows rays from front to back. A GPU, which would be waited for at each stop, finds the density of all samples
first, without gradients, and then what can be seen by it.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.fast.frozen_field import block_features, evaluate_field, is_frozen
from models.pigan.fast.fused import inference_fields
from models.pigan.integration import Composite, composite, sample_weights
from models.pigan.render import with_importance_samples
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths
from models.pigan.siren import FilmSiren

FRONT_TO_BACK_CHUNKS = 3  # of a ray's samples; before each, rays whose transmittance is below float precision end


def render_rays(
    siren: FilmSiren, codes: Codes, origins: Float[Tensor, "batch 3"], directions: Float[Tensor, "batch rays 3"], *,
    near: float, far: float, samples: int, hierarchical: bool, lock_view_dependence: bool, last_back: bool,
    white_back: bool = False, clamp: str = "relu", noise: RayNoise | None = None,
    sample_chunk: int | None = None, precision: str = "fp32",
) -> Composite:
    """See `models.pigan.render.render_rays`: the same arguments, and the same pixels and gradients.

    Without `hierarchical` a ray is followed from front to back, and what lies behind opaque surfaces is left out.

    Args:
        sample_chunk, precision: how the field is evaluated, see `evaluate_field`.
    """
    perturbation, u = (noise or RayNoise()).filled((*directions.shape[:2], samples), directions)
    depths = stratified_depths(near, far, samples, perturbation)

    def field(at: Float[Tensor, "batch rays part"], visible: Tensor | None = None, known: Tensor | None = None
              ) -> tuple[Tensor, Tensor]:
        points = origins[:, None, None] + directions[:, :, None] * at[..., None]
        view = None if lock_view_dependence else directions[:, :, None].expand_as(points).flatten(1, 2)
        solid = None  # no density, no weight; but the last sample may have to be the background
        if clamp == "relu" and known is None:
            solid = (at == depths[..., -1:]).flatten(1)
        if visible is not None:
            visible = visible.expand(at.shape).flatten(1)
        rgb, density = evaluate_field(siren, points.flatten(1, 2), codes, view, visible=visible, solid=solid,
                                      known_density=None if known is None else known.flatten(1), block=sample_chunk,
                                      precision=precision)
        return rgb.unflatten(1, at.shape[1:]), density.unflatten(1, at.shape[1:])

    if depths.device.type != "cpu" and is_frozen(siren, origins, directions):
        depths, known = _all_densities(siren, codes, origins, directions, depths, u if hierarchical else None, clamp,
                                       precision)
        rgb, density = field(depths, _needed(depths, known, clamp), known)
    elif hierarchical:
        rgb, density = field(depths)
        depths, rgb, density = with_importance_samples(field, depths, rgb, density, u, clamp)
    else:
        chunks = []
        spacing = depths.diff(dim=-1, append=depths[..., -1:])
        optical_depth = depths.new_zeros(depths.shape[:2])
        for at, step in zip(depths.chunk(FRONT_TO_BACK_CHUNKS, -1), spacing.chunk(FRONT_TO_BACK_CHUNKS, -1)):
            chunks.append(field(at, _light_passes(optical_depth)[..., None]))
            with torch.no_grad():
                optical_depth += (getattr(F, clamp)(chunks[-1][1]) * step).sum(-1)
        rgb, density = torch.cat([rgb for rgb, _ in chunks], -2), torch.cat([value for _, value in chunks], -1)
    return composite(rgb, density, depths, clamp=clamp, last_back=last_back, white_back=white_back)


def _light_passes(optical_depth: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Whether the transmittance is above float precision (or unknown: a NaN has to show)."""
    return ~(optical_depth > -math.log(torch.finfo(optical_depth.dtype).eps))


def _needed(depths: Float[Tensor, "batch rays samples"], density: Float[Tensor, "batch rays samples"], clamp: str
            ) -> Bool[Tensor, "batch rays samples"]:
    """Which samples colour their ray, by the density of all."""
    passed = (getattr(F, clamp)(density[..., :-1]) * depths.diff(dim=-1)).cumsum(-1)
    seen = _light_passes(F.pad(passed, (1, 0)))
    if clamp != "relu":
        return seen
    solid = ~(density <= 0)  # no density, no weight; but the last sample may have to be the background
    solid[..., -1] = True
    return seen & solid


@torch.no_grad()
def _all_densities(siren: FilmSiren, codes: Codes, origins: Tensor, directions: Tensor, depths: Tensor,
                   u: Tensor | None, clamp: str, precision: str
                  ) -> tuple[Float[Tensor, "batch rays all"], Float[Tensor, "batch rays all"]]:
    """Depths of all samples, with `u` also of importance samples, in ascending order, and their density."""
    block = max(1, block_features(depths.device) // siren.width)
    fields = inference_fields(siren, codes, precision)

    def look(at: Float[Tensor, "batch rays part"]) -> Float[Tensor, "batch rays part"]:
        points = (origins[:, None, None] + directions[:, :, None] * at[..., None]).flatten(1, 2)
        densities = [field.density_at(part) for field, scene in zip(fields, points) for part in scene.split(block)]
        return torch.cat(densities).view_as(at)

    density = look(depths)
    if u is None:
        return depths, density
    fine = importance_depths(depths, sample_weights(density, depths, clamp=clamp), u)
    depths, order = torch.cat([depths, fine], -1).sort(-1)
    return depths, torch.cat([density, look(fine)], -1).gather(-1, order)
