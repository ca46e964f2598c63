"""Rays that teach a semantic head, and the points on them that matter.

    targets = draw_rays(labels, 128, np.random.default_rng(0))
    points = surface_points(field, origin, directions, preset)       # (128, 4, 3)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from configs.data_configs import CameraPreset
from models.pigan.fast.fold import FoldedField
from models.pigan.integration import sample_weights
from models.pigan.sampling import RayNoise, importance_depths, midpoints, stratified_depths

SAMPLES = 24  # along a ray, and as many again where the surface is: what finds the points
POINTS = 4  # of a ray that the head sees
SMALLEST_UNION = 1e-6


@dataclass(frozen=True)
class RayTargets:
    """Rays through pixels of one mask."""

    image_xy: Float[Tensor, "rays 2"]  # x to the right and y up; the outermost pixels lie at -1 and 1
    label: Int[Tensor, " rays"]
    weight: Float[Tensor, " rays"]  # how often a uniform draw takes such a ray, relative to how often this one does


def draw_rays(labels: UInt8[np.ndarray, "size size"], rays: int, rng: np.random.Generator, balanced: bool = True
              ) -> RayTargets:
    """Half of the rays go through pixels of the whole mask, half through those of a label that is drawn first, so that
    small parts are seen; the weights undo it. Without `balanced` all are of the whole mask, and weigh 1.
    """
    flat, size = labels.reshape(-1), labels.shape[0]
    counts = np.bincount(flat)
    present = np.flatnonzero(counts)
    pixels = rng.integers(flat.size, size=rays)
    weight = np.ones(rays)
    if balanced:
        by_label = np.argsort(flat, kind="stable")
        starts = np.concatenate([[0], counts.cumsum()])
        chosen = rng.choice(present, rays // 2)
        pixels[: len(chosen)] = by_label[starts[chosen] + rng.integers(counts[chosen])]
        natural, even = 1 / flat.size, 1 / (len(present) * counts[flat[pixels]])
        share = len(chosen) / rays
        weight = natural / ((1 - share) * natural + share * even)
    row, column = np.divmod(pixels, size)
    step = 2 / max(size - 1, 1)
    places = np.stack([column * step - 1, 1 - row * step], 1)
    return RayTargets(torch.from_numpy(places).float(), torch.from_numpy(flat[pixels].astype(np.int64)),
                      torch.from_numpy(weight).float())


def soft_iou(chances: Float[Tensor, "rays labels"], label: Int[Tensor, " rays"], weight: Float[Tensor, " rays"]
             ) -> Float[Tensor, ""]:
    """IoU with probabilities in the place of labels, the mean over the labels that occur: in [0, 1], differentiable
    (Rahman and Wang, ISVC 2016). Rare labels count as much as others in it, as in mIoU."""
    true = torch.nn.functional.one_hot(label, chances.shape[1]).to(chances)
    both = (chances * true * weight[:, None]).sum(0)
    either = ((chances + true) * weight[:, None]).sum(0) - both
    present = true.sum(0) > 0
    return (both / either.clamp_min(SMALLEST_UNION)).mul(present).sum() / present.sum()


@torch.no_grad()
def surface_points(field: FoldedField, origin: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"],
                   preset: CameraPreset) -> Float[Tensor, "rays points 3"]:
    """Where the accumulated weight of each ray reaches 1/8, 3/8, 5/8 and 7/8: points that stand for equal shares of its
    pixel. The far end takes what is left over, as in rendering."""
    def density(depths: Float[Tensor, "rays samples"]) -> Float[Tensor, "rays samples"]:
        points = torch.addcmul(origin[:, None], directions[:, None], depths[..., None])
        return field.density_at(points.reshape(-1, 3)).reshape(depths.shape)

    perturbation, u = RayNoise().filled((len(directions), SAMPLES), directions)
    coarse = stratified_depths(preset.ray_start, preset.ray_end, SAMPLES, perturbation)
    coarse_density = density(coarse)
    fine = importance_depths(coarse, sample_weights(coarse_density, coarse, clamp=preset.clamp_mode), u)
    depths, order = torch.cat([coarse, fine], 1).sort(1)
    weights = sample_weights(torch.cat([coarse_density, density(fine)], 1).gather(1, order), depths,
                             clamp=preset.clamp_mode, last_back=True)
    reached = weights.cumsum(1)
    shares = midpoints(POINTS, depths).expand(len(depths), -1)
    index = torch.searchsorted(reached / reached[:, -1:], shares.contiguous()).clamp_(max=depths.shape[1] - 1)
    return torch.addcmul(origin[:, None], directions[:, None], depths.gather(1, index)[..., None])
