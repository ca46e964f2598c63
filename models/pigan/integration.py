"""Volume rendering: densities and colours along rays -> pixels (Mildenhall et al., "NeRF", ECCV 2020, eq. 3)."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LAST_INTERVAL = 1e10  # what is behind the last sample belongs to it


class Composite(NamedTuple):
    """Per ray: colour, expected depth along the ray, and the weight of every sample."""

    rgb: Float[Tensor, "*rays 3"]
    depth: Float[Tensor, "*rays"]
    weights: Float[Tensor, "*rays samples"]


def sample_weights(density: Float[Tensor, "*rays samples"], depths: Float[Tensor, "*rays samples"], *,
                   clamp: str = "relu", last_back: bool = False, noise: Float[Tensor, "*rays samples"] | None = None
                  ) -> Float[Tensor, "*rays samples"]:
    """Weight of each sample: alpha_i * T_i with alpha_i = 1 - exp(-delta_i * clamp(density_i)).

    Args:
        density: before the clamp to positive values.
        depths: ascending.
        clamp: 'relu' or 'softplus'.
        last_back: give the last sample whatever weight is left over, so that each ray is opaque.
        noise: added to the density before the clamp (a training regulariser).
    """
    delta = torch.cat([depths[..., 1:] - depths[..., :-1], torch.full_like(depths[..., :1], LAST_INTERVAL)], -1)
    if noise is not None:
        density = density + noise
    positive = {"relu": F.relu, "softplus": F.softplus}[clamp](density)
    alpha = 1 - torch.exp(-delta * positive)
    passed = torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha + 1e-10], -1)
    weights = alpha * RunningProduct.apply(passed)[..., :-1]
    if last_back:
        left_over = 1 - weights.sum(-1, keepdim=True)
        weights = torch.cat([weights[..., :-1], weights[..., -1:] + left_over], -1)
    return weights


class RunningProduct(torch.autograd.Function):
    """`factors.cumprod(-1)` of factors none of which is zero. The gradient is `cumprod`'s own, bit for bit, but for its
    looking for zeros first, for which a GPU would have to be waited for."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor) -> Tensor:
        products = factors.cumprod(-1)
        ctx.save_for_backward(factors, products)
        return products

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        factors, products = ctx.saved_tensors
        return (products * grad_outputs[0]).flip(-1).cumsum(-1).flip(-1) / factors


def composite(rgb: Float[Tensor, "*rays samples 3"], density: Float[Tensor, "*rays samples"],
              depths: Float[Tensor, "*rays samples"], *, clamp: str = "relu", last_back: bool = False,
              white_back: bool = False, noise: Float[Tensor, "*rays samples"] | None = None) -> Composite:
    """Blend samples front to back; `white_back` fills what stays transparent with white. See `sample_weights`."""
    weights = sample_weights(density, depths, clamp=clamp, last_back=last_back, noise=noise)
    colour = (weights[..., None] * rgb).sum(-2)
    if white_back:
        colour = colour + 1 - weights.sum(-1, keepdim=True)
    return Composite(colour, (weights * depths).sum(-1), weights)
