"""Random changes to images and their labels, so that a segmenter trained on sharp renderings also reads soft ones.

Images are RGB in [-1, 1]; every random number comes from the generator that is passed in (a CPU generator).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
BLUR_TAPS = 13


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 switches one off. Each is drawn anew for every image, uniformly up to the strength."""

    shift: float = 0.08        # of the image's side
    scale: float = 0.15        # relative
    rotation_deg: float = 12.0
    colour: float = 0.3       # brightness, contrast, saturation and the balance of the channels (half of it), relative
    blur: float = 2.2          # standard deviation in pixels, for two of three images
    noise: float = 0.06        # standard deviation
    flip: bool = True          # left and right parts must share a label


def augment(images: Float[Tensor, "batch 3 size size"], labels: UInt8[Tensor, "batch size size"],
            settings: Augmentation, generator: torch.Generator,
            ) -> tuple[Float[Tensor, "batch 3 size size"], UInt8[Tensor, "batch size size"]]:
    """Move images and labels alike, then change the images' colours, sharpness and noise."""
    images, labels = _move(images, labels, settings, generator)
    images = _colour(images, settings.colour, generator)
    if settings.blur:
        drawn = torch.rand(2, len(images), generator=generator)
        images = blur(images, settings.blur * drawn[0] * (drawn[1] < 2 / 3))
    noise = settings.noise * torch.rand(len(images), 1, 1, 1, generator=generator)
    return (images + noise * torch.randn(images.shape, generator=generator)).clamp(-1, 1), labels


def blur(images: Float[Tensor, "batch channels height width"], sigma: Float[Tensor, " batch"],
         ) -> Float[Tensor, "batch channels height width"]:
    """Gaussian blur, a standard deviation (pixels, up to about 3) for each image; 0 leaves it as it is."""
    taps = torch.arange(BLUR_TAPS) - BLUR_TAPS // 2
    kernel = torch.exp(-taps.square() / (2 * sigma.clamp(min=1e-3)[:, None].square()))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)[:, None]
    flat = images.reshape(1, -1, *images.shape[2:])
    for shape, pad in ((kernel[:, :, None, :], (BLUR_TAPS // 2,) * 2 + (0, 0)),
                       (kernel[:, :, :, None], (0, 0) + (BLUR_TAPS // 2,) * 2)):
        flat = F.conv2d(F.pad(flat, pad, mode="replicate"), shape, groups=flat.shape[1])
    return flat.reshape(images.shape)


def _move(images: Tensor, labels: Tensor, settings: Augmentation, generator: torch.Generator
          ) -> tuple[Tensor, Tensor]:
    batch, size = len(images), images.shape[-1]
    draw = torch.rand(5, batch, generator=generator) * 2 - 1
    angle = math.radians(settings.rotation_deg) * draw[0]
    scale = torch.exp(settings.scale * draw[1])
    mirror = torch.where(draw[2] > 0, -1.0, 1.0) if settings.flip else torch.ones(batch)
    move = 2 * settings.shift * draw[3:]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [cos * mirror, -sin, move[0]], [sin * mirror, cos, move[1]]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, [batch, 1, size, size], align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    moved = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return images, moved[:, 0].to(torch.uint8)


def _colour(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    brightness, contrast, saturation, *balance = strength * (
        torch.rand(6, len(images), 1, 1, 1, generator=generator) * 2 - 1)
    grey = (images * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    images = grey + (images - grey) * torch.exp(2 * saturation)
    mean = grey.mean((2, 3), keepdim=True)
    images = mean + (images - mean) * torch.exp(contrast) + brightness
    return (images + 1) * torch.exp(torch.cat(balance, 1) / 2) - 1
