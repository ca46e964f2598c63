"""Where along a ray the field is evaluated: stratified samples, then importance samples where the weights are."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-5


class RayNoise(NamedTuple):
    """Uniform draws in [0, 1] that place the samples of each ray; None stands for the deterministic midpoints."""

    perturbation: Float[Tensor, "*rays samples"] | None = None
    importance: Float[Tensor, "*rays samples"] | None = None

    def to(self, device: torch.device) -> "RayNoise":
        """The same numbers on a device."""
        return RayNoise(*(None if value is None else value.to(device, non_blocking=True) for value in self))

    def filled(self, shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
        """Both draws with `shape` (..., samples), deterministic where they are None."""
        perturbation, importance = self
        if perturbation is None:
            perturbation = like.new_full((), 0.5).expand(shape)
        if importance is None:
            importance = midpoints(shape[-1], like).expand(shape)
        return perturbation, importance


def stratified_depths(near: float, far: float, samples: int, perturbation: Float[Tensor, "*rays samples"]
                     ) -> Float[Tensor, "*rays samples"]:
    """Evenly spaced depths, each moved by (perturbation - 0.5) of the spacing; perturbation in [0, 1], 0.5 for none."""
    depths = torch.linspace(near, far, samples, dtype=perturbation.dtype, device=perturbation.device)
    spacing = (far - near) / max(samples - 1, 1)
    return depths + (perturbation - 0.5) * spacing


def midpoints(samples: int, like: Tensor) -> Float[Tensor, " samples"]:
    """Deterministic stand-in for `samples` sorted uniform draws: the centres of equal strata of [0, 1]."""
    return (torch.arange(samples, dtype=like.dtype, device=like.device) + 0.5) / samples


def inverse_cdf(edges: Float[Tensor, "*rays bins_plus_1"], weights: Float[Tensor, "*rays bins"],
                u: Float[Tensor, "*rays samples"]) -> Float[Tensor, "*rays samples"]:
    """Inverse-transform sampling of the piecewise-constant density `weights` over `edges` (NeRF, ECCV 2020, sec. 5.2).

    Args:
        edges: ascending positions of the bins' borders.
        weights: non-negative, need not sum to one; 1e-5 is added to each so that no ray is without a density.
        u: values in [0, 1], one per wanted sample.
    """
    pdf = weights + EPSILON
    pdf = pdf / pdf.sum(-1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(pdf[..., :1]), pdf.cumsum(-1)], -1)
    index = torch.searchsorted(cdf, u.contiguous())
    below, above = (index - 1).clamp(min=0), index.clamp(max=weights.shape[-1])
    cdf_below, cdf_above = cdf.gather(-1, below), cdf.gather(-1, above)
    edge_below, edge_above = edges.gather(-1, below), edges.gather(-1, above)
    width = cdf_above - cdf_below
    width = torch.where(width < EPSILON, torch.ones_like(width), width)
    return edge_below + (u - cdf_below) / width * (edge_above - edge_below)


def importance_depths(depths: Float[Tensor, "*rays coarse"], weights: Float[Tensor, "*rays coarse"],
                      u: Float[Tensor, "*rays fine"]) -> Float[Tensor, "*rays fine"]:
    """Second-pass depths from the first pass's compositing weights.

    Bins lie between the midpoints of neighbouring coarse samples, so the two outermost weights do not take part.
    """
    edges = 0.5 * (depths[..., 1:] + depths[..., :-1])
    return inverse_cdf(edges, weights[..., 1:-1] + EPSILON, u)
