"""The mask encoder: a Swin transformer with a linear head for codes."""

from torch import nn

from models.encoders.swin import SwinSize, SwinTransformer

SWIN_SIZES = {
    "SwinEncoder": SwinSize(4, 96, (2, 2, 6, 2), (3, 6, 12, 24), 0.2),  # Swin-T, the published model
    "SwinEncoderSmall": SwinSize(4, 96, (2, 2, 18, 2), (3, 6, 12, 24), 0.3),
    "SwinEncoderNano": SwinSize(8, 48, (2, 4, 2), (2, 4, 8), 0.05),  # 2 M parameters, for laptops
}


class SwinEncoder(SwinTransformer):
    """(batch, channels, size, size) masks -> (batch, out_dim) raw codes.

    Args:
        encoder_type: a key of SWIN_SIZES.
        input_nc: channels of the network input (labels + contour + distance map).
        input_size: pixels along each side; a multiple of the encoder's total stride.
        out_dim: outputs of the head, which starts at zero so that training starts at the decoder's mean code.
    """

    def __init__(self, encoder_type: str, input_nc: int, input_size: int, out_dim: int) -> None:
        super().__init__(SWIN_SIZES[encoder_type], input_nc, input_size, out_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
