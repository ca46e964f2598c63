"""The mask encoder: a Swin transformer (Liu et al., ICCV 2021; timm's implementation) with a linear head for codes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoders.timm_swin import load_swin


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


WINDOW = 7
SWIN_SIZES = {
    "SwinEncoder": SwinSize(4, 96, (2, 2, 6, 2), (3, 6, 12, 24), 0.2),  # Swin-T, the published model
    "SwinEncoderSmall": SwinSize(4, 96, (2, 2, 18, 2), (3, 6, 12, 24), 0.3),
    "SwinEncoderNano": SwinSize(8, 48, (2, 4, 2), (2, 4, 8), 0.05),  # 2 M parameters, for laptops
}


class PatchProjection(nn.Conv2d):
    """A convolution whose kernels do not overlap, as one matrix product: on a CPU several times as fast."""

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        side = self.kernel_size[0]
        patches = x.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        return F.linear(patches.flatten(3), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class SwinEncoder(load_swin()):
    """(batch, channels, size, size) masks -> (batch, out_dim) raw codes.

    Args:
        encoder_type: a key of SWIN_SIZES.
        input_nc: channels of the network input (labels + contour + distance map).
        input_size: pixels along each side; a multiple of the encoder's total stride.
        out_dim: outputs of the head, which starts at zero so that training starts at the decoder's mean code.
    """

    def __init__(self, encoder_type: str, input_nc: int, input_size: int, out_dim: int,
                 drop_path_rate: float | None = None) -> None:
        size = SWIN_SIZES[encoder_type]
        super().__init__(
            img_size=input_size, patch_size=size.patch_size, in_chans=input_nc, num_classes=out_dim, window_size=WINDOW,
            embed_dim=size.embed_dim, depths=size.depths, num_heads=size.num_heads,
            drop_path_rate=size.drop_path_rate if drop_path_rate is None else drop_path_rate,
        )
        convolution = self.patch_embed.proj
        self.patch_embed.proj = PatchProjection(input_nc, size.embed_dim, size.patch_size, size.patch_size)
        self.patch_embed.proj.load_state_dict(convolution.state_dict())
        nn.init.zeros_(self.head.fc.weight)
        nn.init.zeros_(self.head.fc.bias)

    def forward(self, masks: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out"]:
        return super().forward(masks)

    def forward_head(self, x: Float[Tensor, "batch rows columns features"], pre_logits: bool = False
                     ) -> Float[Tensor, "batch out"]:
        """In float32 also under autocast: the field needs all digits of its codes."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward_head(x.float(), pre_logits)
