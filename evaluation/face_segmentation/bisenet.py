"""BiSeNet for faces in the layout of its published weights (zllrunning's face-parsing.PyTorch, 79999_iter.pth).

    segmenter = BiSeNet.from_file("pretrained_models/79999_iter.pth")
    labels = segmenter.segment(images)          # (B, 3, H, W) in [-1, 1] -> (B, H, W) merged CelebAMask-HQ labels

Yu et al., ECCV 2018, with a ResNet-18 whose features at 1/8 stand in for the spatial path. Names of modules follow the
published file's keys. It numbers the parts in an order of its own, which `segment` translates.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models import resnet18

from configs.label_spaces import BISENET_ORDER
from configs.paths_config import BISENET_WEIGHTS, BISENET_WEIGHTS_PAGE
from evaluation.face_segmentation.orders import to_merged
from evaluation.face_segmentation.small_network import resample
from models.weight_files import read_file
from utils.errors import UserError

SIZE = 512                                                   # pixels along each side of the images it was trained on
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)     # of the colours in [0, 1], those of ImageNet


class BiSeNet(nn.Module):
    """Logits of 19 parts, at the image's size. The heads at 1/8 and 1/16 served its training only."""

    def __init__(self, classes: int = len(BISENET_ORDER)) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion(256, 256)
        self.conv_out = Output(256, 256, classes)
        self.conv_out16 = Output(128, 64, classes)
        self.conv_out32 = Output(128, 64, classes)

    def forward(self, images: Float[Tensor, "batch 3 height width"],
                ) -> Float[Tensor, "batch classes height width"]:
        """`images` are normalised with MEAN and STD."""
        logits = self.conv_out(self.ffm(*self.cp(images)))
        return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=True)

    @torch.no_grad()
    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch height width"]:
        """Most probable labels (merged CelebAMask-HQ) of RGB images in [-1, 1]; it looks at them at 512 pixels."""
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
        enlarged = resample(images.clamp(-1, 1), SIZE)
        found = resample(self(((enlarged + 1) / 2 - mean) / std), images.shape[-1]).argmax(1)
        return to_merged(found, BISENET_ORDER)

    @classmethod
    def from_file(cls, path: str | Path) -> BiSeNet:
        """Published weights, ready to use.

        Raises:
            UserError: the file is missing or holds something else.
        """
        net = cls()
        state = read_file(path)
        try:
            net.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
        except (AttributeError, RuntimeError) as error:
            raise UserError(f"`segmenter_weights` {path}: these are not the weights of the BiSeNet face segmenter; get "
                            f"{BISENET_WEIGHTS.name} from {BISENET_WEIGHTS_PAGE}") from error
        return net.eval().requires_grad_(False)


class ConvBatchNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Output(nn.Module):
    """Features -> logits of the parts."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvBatchNorm(inputs, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class AttentionRefinement(nn.Module):
    """Channels weighted by what the whole image holds."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBatchNorm(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))))


class Backbone(nn.Module):
    """ResNet-18 without its classifier; features at 1/8, 1/16 and 1/32."""

    def __init__(self) -> None:
        super().__init__()
        source = resnet18(weights=None)
        self.conv1, self.bn1 = source.conv1, source.bn1
        self.layer1, self.layer2, self.layer3, self.layer4 = source.layer1, source.layer2, source.layer3, source.layer4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class ContextPath(nn.Module):
    """Features at 1/8: those of the backbone, and those that know the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = Backbone()
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvBatchNorm(128, 128)
        self.conv_head16 = ConvBatchNorm(128, 128)
        self.conv_avg = ConvBatchNorm(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth, sixteenth, thirty_second = self.resnet(x)
        context = self.arm32(thirty_second) + self.conv_avg(thirty_second.mean((2, 3), keepdim=True))
        context = self.conv_head32(F.interpolate(context, sixteenth.shape[2:], mode="nearest"))
        context = self.arm16(sixteenth) + context
        return eighth, self.conv_head16(F.interpolate(context, eighth.shape[2:], mode="nearest"))


class FeatureFusion(nn.Module):
    """Joins both, and weights the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvBatchNorm(inputs, outputs, 1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([spatial, context], 1))
        weights = torch.sigmoid(self.conv2(F.relu(self.conv1(x.mean((2, 3), keepdim=True)))))
        return x * weights + x
