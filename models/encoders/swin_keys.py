"""Two spellings of one Swin: timm's, which we use, and Microsoft's, which official checkpoints hold.

They differ in where a stage's down-sampling lives (timm: at the start of the next stage), in the name of the head, and
in two constant buffers per block that Microsoft's code stores and timm recomputes.
"""

import re
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.encoders.swin_encoder import SWIN_SIZES, WINDOW
from utils.errors import UserError

CONSTANT_BUFFERS = ("attn_mask", "relative_position_index")
DOWNSAMPLE_OFFICIAL_ORDER = ("reduction.weight", "norm.weight", "norm.bias")
MASKED = -100.0  # attention logit between positions that are not neighbours in the image


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Whether an encoder's state dict is spelled Microsoft's way."""
    return "head.weight" in state or "layers.0.downsample.norm.weight" in state


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Microsoft's names -> timm's; constant buffers are dropped."""
    return {_rename_from_official(key): value for key, value in state.items()
            if key.rpartition(".")[2] not in CONSTANT_BUFFERS}


def to_official(state: Mapping[str, Tensor], encoder_type: str, input_size: int) -> dict[str, Tensor]:
    """timm's names -> Microsoft's, constant buffers added, in the order of an official file.

    Raises:
        UserError: the windows do not fit the input size, for which Microsoft's code has no layout.
    """
    size = SWIN_SIZES[encoder_type]
    if input_size % (WINDOW * size.total_stride):
        raise UserError(f"`src_input_size` {input_size}: the official layout needs windows that fit, a multiple of "
                        f"{WINDOW * size.total_stride}; keep this model in its own layout")
    out = {key: value for key, value in state.items() if key.startswith("patch_embed.")}
    resolution = input_size // size.patch_size
    for stage, depth in enumerate(size.depths):
        for block in range(depth):
            shifted = block % 2 == 1 and resolution > WINDOW
            prefix = f"layers.{stage}.blocks.{block}."
            if shifted:
                out[prefix + "attn_mask"] = attention_mask(resolution)
            for key, value in state.items():
                if key.startswith(prefix):
                    out[key] = value
                    if key.endswith("relative_position_bias_table"):
                        out[prefix + "attn.relative_position_index"] = relative_position_index()
        if stage + 1 < len(size.depths):
            for name in DOWNSAMPLE_OFFICIAL_ORDER:
                out[f"layers.{stage}.downsample.{name}"] = state[f"layers.{stage + 1}.downsample.{name}"]
        resolution //= 2
    for name in ("norm.weight", "norm.bias"):
        out[name] = state[name]
    for name in ("weight", "bias"):
        if f"head.fc.{name}" in state:
            out[f"head.{name}"] = state[f"head.fc.{name}"]
    return out


def official_parameter_order(names: list[str]) -> list[int]:
    """For each parameter of an official encoder, in order, the index of the same one among timm's `names`.

    Only the three parameters of each down-sampling change places.
    """
    order = list(range(len(names)))
    for start, name in enumerate(names):
        if name.endswith("downsample.norm.weight"):
            prefix = name.removesuffix("norm.weight")
            order[start : start + 3] = [names.index(prefix + other) for other in DOWNSAMPLE_OFFICIAL_ORDER]
    return order


def attention_mask(resolution: int) -> Float[Tensor, "windows positions positions"]:
    """What a shifted window may attend to: 0 within a region that is contiguous in the image, -100 across regions.

    The image is rolled by half a window, so the last windows of each row and column hold pieces that do not touch.
    """
    shift = WINDOW // 2
    line = torch.zeros(resolution)
    line[-WINDOW:] = 1
    line[-shift:] = 2
    region = line[:, None] * 3 + line[None]
    per_side = resolution // WINDOW
    windows = region.reshape(per_side, WINDOW, per_side, WINDOW).transpose(1, 2).reshape(-1, WINDOW * WINDOW)
    different = windows[:, None] != windows[:, :, None]
    return torch.where(different, MASKED, 0.0)


def relative_position_index() -> Int[Tensor, "positions positions"]:
    """Row of the bias table for each pair of positions in a window: (dy + 6) * 13 + (dx + 6)."""
    y, x = (c.flatten() for c in torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij"))
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    return (dy + WINDOW - 1) * (2 * WINDOW - 1) + dx + WINDOW - 1


def _rename_from_official(key: str) -> str:
    key = re.sub(r"^head\.(weight|bias)$", r"head.fc.\1", key)
    return re.sub(r"^layers\.(\d+)\.downsample\.", lambda match: f"layers.{int(match[1]) + 1}.downsample.", key)
