"""The patch discriminator of GRAF (Schwarz et al., NeurIPS 2020): is this patch from a photograph?"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

from utils.errors import UserError

# patch side in pixels -> channels after each halving; the last map is always 4 x 4 with 512 channels
CHANNELS = {32: (128, 256, 512), 64: (64, 128, 256, 512), 128: (32, 64, 128, 256, 512)}


class PatchDiscriminator(nn.Module):
    """A stack of spectrally normalised 4x4 convolutions that halve the patch down to 4x4, then to one logit.

    Instance norm (without gains) and LeakyReLU(.2) follow every convolution, except that the first one of the 64 and
    128 pixel stacks has no instance norm. State-dict keys are those of the official checkpoints
    (`model.main.N.weight_orig`, `weight_u`, `weight_v`): that is why the older form of PyTorch's spectral norm is used.
    In training mode every forward pass refines the power iteration, in evaluation mode none does.

    Args:
        size: side of the patch, 32, 64 or 128.
        condition_channels: channels of the condition (0: unconditional).
        dtype: what it computes in; weights and their spectral norms are float32 all the same.

    Raises:
        UserError: `size` is none of the three.
    """

    def __init__(self, size: int, condition_channels: int = 0, dtype: torch.dtype = torch.float32):
        super().__init__()
        if size not in CHANNELS:
            raise UserError(f"the patch discriminator judges patches of 32, 64 or 128 rays per side, not {size}: "
                            "change the resolution of the training volume, or train without it (`dis_lambda` 0)")
        self.condition_channels, self.dtype = condition_channels, dtype
        layers: list[nn.Module] = []
        inputs = 3 + condition_channels
        for index, outputs in enumerate(CHANNELS[size]):
            layers.append(_normalised_conv(inputs, outputs, stride=2, padding=1))
            if index > 0 or size == 32:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2))
            inputs = outputs
        layers.append(_normalised_conv(inputs, 1, stride=1, padding=0))
        self.model = nn.ModuleDict({"main": nn.Sequential(*layers)})

    def forward(self, patch: Float[Tensor, "batch 3 size size"],
                condition: Float[Tensor, "batch channels size size"] | None = None) -> Float[Tensor, " batch"]:
        """Logits, above 0 for "real".

        Args:
            patch: RGB in [-1, 1].
            condition: the whole network input (mask channels) at the patch's size; needed exactly if the
                discriminator was made with `condition_channels`.
        """
        given = 0 if condition is None else condition.shape[1]
        if given != self.condition_channels:
            raise ValueError(f"this discriminator takes {self.condition_channels} condition channels, not {given}")
        if condition is not None:
            patch = torch.cat([patch, condition], dim=1)
        if self.dtype != torch.float32:  # tensor cores read the channels of a pixel together
            patch = patch.to(self.dtype, memory_format=torch.channels_last)
        return self.model["main"](patch).flatten().float()


class _Convolution(nn.Conv2d):
    """In the type of its input; the hook of spectral norm, which makes `weight`, computes in float32."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight
        if input.dtype != weight.dtype:
            weight = weight.to(input.dtype, memory_format=torch.channels_last)
        return F.conv2d(input, weight, None, self.stride, self.padding)


def _normalised_conv(inputs: int, outputs: int, stride: int, padding: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older form is chosen on purpose, see PatchDiscriminator
        return spectral_norm(_Convolution(inputs, outputs, 4, stride, padding, bias=False))
