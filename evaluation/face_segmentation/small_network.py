"""A small face segmenter: an RGB image -> labels. It is trained on computer-made heads alone.

    segmenter = SmallFaceSegmenter.from_file("pretrained_models/synthheads_parser.pt")
    labels = segmenter.segment(images)          # (B, 3, H, W) in [-1, 1] -> (B, H, W) merged CelebAMask-HQ labels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops.misc import Conv2dNormActivation

from models.checkpoints import save_checkpoint
from models.weight_files import read_file
from utils.errors import UserError

FORMAT = "sem2nerf_parser"  # the file's mark, as the bundled weights have it
HALVINGS = 4          # the coarsest features are 2^HALVINGS times smaller than the image


@dataclass(frozen=True)
class SegmenterConfig:
    """What a segmenter is built from; the file keeps it."""

    classes: int = 16
    size: int = 128                                          # side of the images it is trained on, pixels
    widths: tuple[int, ...] = (16, 48, 96, 160)              # channels at 1/2, 1/4, 1/8 and 1/16 of that side

    def __post_init__(self) -> None:
        if len(self.widths) != HALVINGS or self.size % 2**HALVINGS or self.classes < 2 or min(self.widths) < 1:
            raise ValueError(f"a segmenter needs {HALVINGS} widths, a size that {2**HALVINGS} divides and two classes "
                             f"or more, got {self}")


class SmallFaceSegmenter(nn.Module):
    """Residual blocks on the way down, a sum of features on the way up, four labels for each place at half size."""

    def __init__(self, config: SegmenterConfig = SegmenterConfig()) -> None:
        super().__init__()
        self.config = config
        first, *deeper = widths = config.widths
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, first), BasicBlock(first, first))
        self.down = nn.ModuleList(_halve(narrow, wide) for narrow, wide in zip(widths, deeper, strict=False))
        self.across = nn.ModuleList(_conv(wide, narrow, 1) for narrow, wide in zip(widths, deeper, strict=False))
        self.up = nn.ModuleList(_conv(width, width) for width in widths[:-1])
        self.head = nn.Sequential(_conv(first, 2 * first), nn.Conv2d(2 * first, 4 * config.classes, 1),
                                  nn.PixelShuffle(2))

    def forward(self, images: Float[Tensor, "batch 3 height width"],
                ) -> Float[Tensor, "batch classes height width"]:
        """Logits; both sides must be divisible by 16."""
        features = [self.stem(images)]
        for down in self.down:
            features.append(down(features[-1]))
        out = features.pop()
        for across, up, skip in zip(reversed(self.across), reversed(self.up), reversed(features), strict=True):
            out = up(F.interpolate(across(out), scale_factor=2.0, mode="nearest") + skip)
        return self.head(out)

    @torch.no_grad()
    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch height width"]:
        """Most probable labels of RGB images in [-1, 1]; other sizes than the trained one are resampled to it."""
        size = self.config.size
        logits = self(resample(images.clamp(-1, 1), size))
        return resample(logits, images.shape[-1]).argmax(1).to(torch.uint8)

    @classmethod
    def from_file(cls, path: str | Path) -> SmallFaceSegmenter:
        """A trained segmenter, ready to use.

        Raises:
            UserError: the file is missing or holds something else.
        """
        contents = read_file(path)
        if not isinstance(contents, Mapping) or contents.get("format") != FORMAT:
            raise UserError(f"`segmenter_weights` {path}: this is no file of synth_heads/scripts/train_segmenter.py; "
                            "give one, or name the kind of network with `face_segmenter`")
        return cls.from_contents(contents, path)

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any], source: str | Path) -> SmallFaceSegmenter:
        """The same from a file already read; `source` is named in errors."""
        try:
            config = contents["config"]
            segmenter = cls(SegmenterConfig(**{**config, "widths": tuple(config["widths"])}))
            segmenter.load_state_dict(contents["state_dict"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{source}: its weights do not fit the segmenter that it describes "
                            f"({str(error).splitlines()[0]}); get the file again") from error
        return segmenter.eval().requires_grad_(False)

    def save(self, path: str | Path, **facts: Any) -> None:
        """Write the segmenter in half precision, with plain `facts` about it.

        Raises:
            UserError: the file cannot be written.
        """
        state = {name: value.half() if value.is_floating_point() else value
                 for name, value in self.state_dict().items()}
        config = {**asdict(self.config), "widths": list(self.config.widths)}
        save_checkpoint(path, {"format": FORMAT, "config": config, "state_dict": state, **facts})


def resample(images: Float[Tensor, "batch channels height width"], size: int,
             ) -> Float[Tensor, "batch channels size size"]:
    """Bilinear, with anti-aliasing where it shrinks."""
    if images.shape[2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Module:
    return Conv2dNormActivation(inputs, outputs, kernel)


def _halve(inputs: int, outputs: int) -> nn.Module:
    shortcut = Conv2dNormActivation(inputs, outputs, 1, stride=2, activation_layer=None)
    return nn.Sequential(BasicBlock(inputs, outputs, stride=2, downsample=shortcut), BasicBlock(outputs, outputs))
