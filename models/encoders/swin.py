"""The Swin transformer (Liu et al., ICCV 2021, https://arxiv.org/abs/2103.14030).

Weights have the names of the authors' code:

    layers[stage].blocks[block]     attention inside square windows, then a perceptron on each position
    layers[stage].downsample        merges 2 x 2 positions at the end of each stage but the last

In every second block the windows are shifted by half their side. A feature map that is no larger than a window is one
window; one that windows do not fit is padded with zeros, which take part in the attention (as in timm).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 7  # positions along each side of a window
MASKED = -100.0  # attention logit between positions that are not neighbours in the image
MLP_RATIO = 4  # hidden units of a block's perceptron per channel


@dataclass(frozen=True)
class SwinSize:
    """Hyper-parameters of one Swin variant."""

    patch_size: int  # pixels
    embed_dim: int  # channels after the patch embedding; doubles at each stage
    depths: tuple[int, ...]  # blocks per stage
    num_heads: tuple[int, ...]  # attention heads per stage
    drop_path_rate: float  # stochastic depth of the last block

    @property
    def total_stride(self) -> int:
        """Input pixels per position of the last stage."""
        return self.patch_size * 2 ** (len(self.depths) - 1)


SWIN_SIZES = {
    "SwinEncoder": SwinSize(4, 96, (2, 2, 6, 2), (3, 6, 12, 24), 0.2),  # Swin-T, the published model
    "SwinEncoderSmall": SwinSize(4, 96, (2, 2, 18, 2), (3, 6, 12, 24), 0.3),
    "SwinEncoderNano": SwinSize(8, 48, (2, 4, 2), (2, 4, 8), 0.05),  # 2 M parameters, for laptops
}


class PatchEmbedding(nn.Module):
    """Image -> one feature vector per patch.

    A convolution whose kernels do not overlap, computed as one matrix product: on a CPU several times as fast.
    """

    def __init__(self, inputs: int, channels: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, channels, patch_size, patch_size)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch rows columns channels"]:
        side = self.proj.kernel_size[0]
        patches = x.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        return self.norm(F.linear(patches.flatten(3), self.proj.weight.flatten(1), self.proj.bias))


class PatchMerging(nn.Module):
    """2 x 2 neighbouring positions -> one, with twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(4 * channels)

    def forward(self, x: Float[Tensor, "batch rows columns channels"]
                ) -> Float[Tensor, "batch rows//2 columns//2 2*channels"]:
        neighbours = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2, 5)  # columns before rows
        return self.reduction(self.norm(neighbours.flatten(3)))


class WindowAttention(nn.Module):
    """Multi-head self-attention of the positions in a window, with a learned bias per head and relative position."""

    relative_position_index: Tensor

    def __init__(self, channels: int, window: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "windows positions channels"],
                mask: Float[Tensor, "kinds positions positions"] | None) -> Float[Tensor, "windows positions channels"]:
        """`mask` is added to the logits: that of window i is `mask[i % kinds]`."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        logits = q * self.scale @ k.transpose(-2, -1) + bias
        if mask is not None:
            logits = (logits.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return self.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))


class SwinBlock(nn.Module):
    """Attention and perceptron, each on a residual branch that stochastic depth may drop.

    Args:
        resolution: positions along each side of the feature map.
        shifted: whether the windows are shifted by half their side.
        drop_probability: of each branch, in [0, 1).
    """

    attn_mask: Tensor | None

    def __init__(self, channels: int, resolution: int, heads: int, shifted: bool, drop_probability: float) -> None:
        super().__init__()
        self.window, self.drop_probability = min(WINDOW, resolution), drop_probability
        self.shift = self.window // 2 if shifted and resolution > WINDOW else 0
        self.padding = -resolution % self.window
        mask = attention_mask(resolution + self.padding, self.window, self.shift) if self.shift else None
        self.register_buffer("attn_mask", mask, persistent=False)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, self.window, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(OrderedDict(fc1=nn.Linear(channels, MLP_RATIO * channels), act=nn.GELU(),
                                             fc2=nn.Linear(MLP_RATIO * channels, channels)))

    def forward(self, x: Float[Tensor, "batch rows columns channels"], draws: Float[Tensor, "batch 2"] | None = None
                ) -> Float[Tensor, "batch rows columns channels"]:
        x = x + self._dropped(self._attend(self.norm1(x)), draws, 0)
        return x + self._dropped(self.mlp(self.norm2(x)), draws, 1)

    def _attend(self, x: Tensor) -> Tensor:
        side = x.shape[1]
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        if self.padding:
            x = F.pad(x, (0, 0, 0, self.padding, 0, self.padding))
        x = x.unflatten(2, (-1, self.window)).unflatten(1, (-1, self.window)).transpose(2, 3)
        grid = x.shape[:-1]  # batch, rows and columns of windows, rows and columns inside a window
        x = self.attn(x.flatten(3, 4).flatten(0, 2), self.attn_mask)
        x = x.reshape(*grid, -1).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        x = x[:, :side, :side]
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x

    def _dropped(self, x: Tensor, draws: Tensor | None, branch: int) -> Tensor:
        """0 for the samples whose number is below the probability; the others scaled up to the same expectation."""
        if draws is None:
            return x
        kept = (draws[:, branch] >= self.drop_probability).to(x.dtype) / (1 - self.drop_probability)
        return x * kept[:, None, None, None]


class SwinStage(nn.Module):
    """Blocks at one resolution, then the merging of patches."""

    def __init__(self, channels: int, resolution: int, heads: int, drop_probabilities: list[float], last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([SwinBlock(channels, resolution, heads, index % 2 == 1, probability)
                                     for index, probability in enumerate(drop_probabilities)])
        self.downsample = None if last else PatchMerging(channels)

    def forward(self, x: Float[Tensor, "batch rows columns channels"],
                draws: Float[Tensor, "batch blocks 2"] | None = None) -> Float[Tensor, "batch _ _ _"]:
        for index, block in enumerate(self.blocks):
            x = block(x, None if draws is None else draws[:, index])
        return x if self.downsample is None else self.downsample(x)


class SwinEncoder(nn.Module):
    """The mask encoder, a Swin transformer with a linear head: (batch, channels, size, size) masks -> (batch, out_dim)
    raw codes.

    Args:
        encoder_type: a key of SWIN_SIZES.
        input_nc: channels of the network input (labels + contour + distance map).
        input_size: pixels along each side; a multiple of the encoder's total stride.
        out_dim: outputs of the head, which starts at zero so that training starts at the decoder's mean code.
    """

    def __init__(self, encoder_type: str, input_nc: int, input_size: int, out_dim: int) -> None:
        super().__init__()
        self.size = size = SWIN_SIZES[encoder_type]
        self.input_size = input_size
        self.patch_embed = PatchEmbedding(input_nc, size.embed_dim, size.patch_size)
        rates = torch.linspace(0, size.drop_path_rate, sum(size.depths), device="cpu").split(size.depths)
        self.layers = nn.ModuleList([
            SwinStage(size.embed_dim * 2**stage, input_size // size.patch_size // 2**stage, heads,
                      rates[stage].tolist(), last=stage + 1 == len(size.depths))
            for stage, heads in enumerate(size.num_heads)])
        channels = size.embed_dim * 2 ** (len(size.depths) - 1)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, out_dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, WindowAttention):
                nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
        nn.init.zeros_(self.head.weight)

    @property
    def drop_path_layers(self) -> int:
        """How many branches stochastic depth may drop: two in each block but the first, whose probability is 0."""
        return 2 * (sum(self.size.depths) - 1)

    def forward(self, images: Float[Tensor, "batch inputs height width"],
                drop_path_draws: Float[Tensor, "batch layers"] | None = None) -> Float[Tensor, "batch outputs"]:
        """
        Args:
            drop_path_draws: numbers in [0, 1), one per sample and layer of `drop_path_layers`: a branch is dropped for
                a sample whose number is below the branch's probability. None: nothing is dropped.

        Raises:
            ValueError: the images are of another size.
        """
        if images.shape[-2:] != (self.input_size, self.input_size):
            raise ValueError(f"images of {tuple(images.shape[-2:])} pixels, but this model reads {self.input_size}")
        draws: list[Tensor | None] = [None] * len(self.layers)
        if drop_path_draws is not None:
            draws[:] = F.pad(drop_path_draws, (2, 0)).unflatten(1, (-1, 2)).split(self.size.depths, 1)
        x = self.patch_embed(images)
        for stage, numbers in zip(self.layers, draws):
            x = stage(x, numbers)
        x = self.norm(x).mean((1, 2))
        with torch.autocast(x.device.type, enabled=False):  # what is predicted needs all digits
            return self.head(x.to(self.head.weight.dtype))


def attention_mask(resolution: int, window: int, shift: int) -> Float[Tensor, "windows positions positions"]:
    """What a shifted window may attend to: 0 within a region that is contiguous in the image, -100 across regions.

    The feature map is rolled by `shift`, so the last windows of each row and column hold pieces that do not touch.
    """
    line = torch.zeros(resolution)
    line[-window:] = 1
    line[-shift:] = 2
    region = line[:, None] * 3 + line[None]
    windows = region.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2).reshape(-1, window**2)
    return torch.where(windows[:, None] != windows[:, :, None], MASKED, 0.0)


def relative_position_index(window: int) -> Int[Tensor, "positions positions"]:
    """Row of the bias table for each pair of positions in a window: one row per (dy, dx), row by row."""
    y, x = (c.flatten() for c in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    return (dy + window - 1) * (2 * window - 1) + dx + window - 1
