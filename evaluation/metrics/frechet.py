"""How far apart two sets of images are, with nothing to download: the Fréchet distance of simple fixed features.

FID (Heusel et al., NeurIPS 2017) with a small random convolutional network and the downsampled image in place of
Inception. Its numbers compare with each other, at one size of images; not with published ones.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

COARSE = 4  # pixels along each side of the downsampled image
CHANNELS = (3, 16, 32)
FEATURES = 3 * COARSE**2 + 2 * CHANNELS[-1]
GAIN = 3.0  # of the random layers, so that their features weigh as much as pixels


class Gaussian(NamedTuple):
    """Mean and covariance of features."""

    mean: Float[Tensor, " features"]
    covariance: Float[Tensor, "features features"]


def simple_features(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
    """Colours of a 4 x 4 image, then mean and spread of 32 random local features: 112 numbers per image.

    Args:
        images: RGB in [-1, 1], at least 8 pixels along each side.
    """
    generator = torch.Generator().manual_seed(0)  # the same network always
    x = images
    for inputs, outputs in pairwise(CHANNELS):
        kernel = torch.randn(outputs, inputs, 3, 3, generator=generator) * GAIN / (9 * inputs) ** 0.5
        x = F.leaky_relu(F.conv2d(x, kernel.to(x), stride=2, padding=1), 0.2)
    coarse = F.adaptive_avg_pool2d(images, COARSE).flatten(1)
    return torch.cat([coarse, x.mean((2, 3)), x.std((2, 3))], 1)


def gaussian_of(features: Float[Tensor, "batch features"]) -> Gaussian:
    """Of at least two images, in double precision."""
    features = features.double()
    return Gaussian(features.mean(0), torch.cov(features.T))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric.
    """
    values, vectors = torch.linalg.eigh(one.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (one.mean - other.mean).square().sum()
    return float(apart + one.covariance.trace() + other.covariance.trace() - 2 * shared)
