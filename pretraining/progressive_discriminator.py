"""The discriminator of pi-GAN (Chan et al., CVPR 2021): it grows with the images, and says where the camera stood.

Residual blocks, each of which halves the image, of plain convolutions (the published cats) or of CoordConv layers (the
published faces; Liu et al., "An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution",
NeurIPS 2018); a new resolution is faded in (Karras et al., "Progressive Growing of GANs", ICLR 2018). Strides, initial
weights and resampling are those of the published code.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

SIZES = (8, 16, 32, 64, 128, 256)  # pixels along each side of images that can be judged
LAST = 2  # pixels along each side of the map that the answer is read from
SLOPE = 0.2  # of the leaky ReLUs


class DiscriminatorOutput(NamedTuple):
    """logit: above 0 for "real". pose: yaw and pitch the image seems to be taken from, radians from the front."""

    logit: Float[Tensor, " batch"]
    pose: Float[Tensor, "batch 2"]


class CoordConv(nn.Module):
    """A 3x3 convolution that also sees where it is: x and y of each pixel, -1 to 1."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs + 2, outputs, 3, stride, padding=1)

    def forward(self, x: Float[Tensor, "batch inputs size size"]) -> Float[Tensor, "batch outputs reduced reduced"]:
        line = torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype, device=x.device)
        places = torch.stack(torch.meshgrid(line, line, indexing="xy")).expand(len(x), -1, -1, -1)
        return self.conv(torch.cat([x, places], 1))


class HalvingBlock(nn.Module):
    """Two convolutions and a shortcut around them; the second one and the shortcut take every other pixel."""

    def __init__(self, inputs: int, outputs: int, coordinates: bool) -> None:
        super().__init__()

        def conv(inputs: int, stride: int) -> nn.Module:
            return (CoordConv(inputs, outputs, stride) if coordinates else
                    nn.Conv2d(inputs, outputs, 3, stride, padding=1))

        self.main = nn.Sequential(conv(inputs, 1), nn.LeakyReLU(SLOPE), conv(outputs, 2), nn.LeakyReLU(SLOPE))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2)
        for module in self.main.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)

    def forward(self, x: Float[Tensor, "batch inputs size size"]) -> Float[Tensor, "batch outputs half half"]:
        return (self.main(x) + self.shortcut(x)) / math.sqrt(2)


class ProgressiveDiscriminator(nn.Module):
    """All resolutions up to `size` have their layers from the start; those above the images' wait.

    Args:
        size: pixels along each side of the largest images, one of SIZES.
        max_channels: of the coarse maps; finer ones have 8192 / pixels along a side (400 and 256 px: as published).
        coordinates: whether its convolutions see where they are.
    """

    def __init__(self, size: int, max_channels: int = 400, coordinates: bool = True) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size must be one of {SIZES}, not {size}")

        def channels(pixels: int) -> int:
            return min(max_channels, 8192 // pixels)

        resolutions = [4, *(s for s in SIZES if s <= size)]
        self.from_rgb = nn.ModuleDict({
            str(s): nn.Sequential(nn.Conv2d(3, channels(s), 1), nn.LeakyReLU(SLOPE)) for s in resolutions})
        self.blocks = nn.ModuleDict({str(s): HalvingBlock(channels(s), channels(s // 2), coordinates)
                                     for s in resolutions})
        self.answer = nn.Conv2d(channels(LAST), 3, LAST)

    def forward(self, images: Float[Tensor, "batch 3 size size"], alpha: float = 1.0) -> DiscriminatorOutput:
        """
        Args:
            images: RGB in [-1, 1].
            alpha: how far this resolution is faded in: at 0 the answer is that for the image at half the size.
        """
        size = images.shape[-1]
        x = self.blocks[str(size)](self.from_rgb[str(size)](images))
        if alpha < 1:
            coarse = self.from_rgb[str(size // 2)](images[..., ::2, ::2])
            x = alpha * x + (1 - alpha) * coarse
        while x.shape[-1] > LAST:
            x = self.blocks[str(x.shape[-1])](x)
        answer = self.answer(x).flatten(1)
        return DiscriminatorOutput(answer[:, 0], answer[:, 1:])
