"""Whether two images show the same person, by the network that pixel2style2pixel uses (model_ir_se50.pth).

    identity = Identity.from_file("pretrained_models/model_ir_se50.pth")
    likeness = identity.likeness(images, targets)        # (B, 3, 256, 256) in [-1, 1] -> (B,) cosines, 1 for equal ones

ArcFace (Deng et al., CVPR 2019) with the backbone IR-SE50 of TreB1eN's InsightFace_Pytorch. Names of modules follow
the published file's keys.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from configs.paths_config import IDENTITY_WEIGHTS, IDENTITY_WEIGHTS_PAGE
from evaluation.face_segmentation.small_network import resample
from models.weight_files import read_file
from utils.errors import UserError

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))     # width and blocks; the first block of each halves the image
SQUEEZE = 16                                          # how many times narrower the middle of a gate is
FEATURES, SIDE = 512, 112
LOOKED_AT = 256                                       # pixels of an aligned image, of which it sees ...
ROWS, COLUMNS = slice(35, 223), slice(32, 220)        # ... these, as in pixel2style2pixel


class Gate(nn.Module):
    """Weights channels by what the whole image holds (squeeze and excitation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(width // SQUEEZE, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    """A residual block."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride) if inputs == width else nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.Conv2d(inputs, width, 3, 1, 1, bias=False), nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), Gate(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class Identity(nn.Module):
    """Image of a face -> 512 features of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        inputs, blocks = 64, []
        for width, count in STAGES:
            for number in range(count):
                blocks.append(Block(inputs, width, 2 if number == 0 else 1))
                inputs = width
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.Dropout(), nn.Flatten(), nn.Linear(inputs * (SIDE // 16) ** 2, FEATURES),
            nn.BatchNorm1d(FEATURES))

    def forward(self, faces: Float[Tensor, "batch 3 112 112"]) -> Float[Tensor, "batch 512"]:
        return F.normalize(self.output_layer(self.body(self.input_layer(faces))), dim=1)

    @torch.no_grad()
    def likeness(self, images: Float[Tensor, "batch 3 height width"], targets: Float[Tensor, "batch 3 height width"],
                 ) -> Float[Tensor, " batch"]:
        """Cosine of the features of each pair of aligned RGB images in [-1, 1]: 1 is the same image."""
        first, second = (self(F.adaptive_avg_pool2d(resample(x, LOOKED_AT)[:, :, ROWS, COLUMNS], SIDE))
                         for x in (images, targets))
        return (first * second).sum(1)

    @classmethod
    def from_file(cls, path: str | Path) -> Identity:
        """Published weights, ready to use.

        Raises:
            UserError: the file is missing or holds something else.
        """
        if not Path(path).is_file():
            raise UserError(f"`identity_weights` {path}: there is no such file; get {IDENTITY_WEIGHTS.name} from "
                            f"{IDENTITY_WEIGHTS_PAGE} (IR-SE50), or leave id out of `mode`")
        net, state = cls(), read_file(path)
        try:
            net.load_state_dict(state)
        except (AttributeError, RuntimeError, TypeError) as error:
            raise UserError(f"`identity_weights` {path}: these are not the weights of ArcFace's IR-SE50; get "
                            f"{IDENTITY_WEIGHTS.name} from {IDENTITY_WEIGHTS_PAGE}") from error
        return net.eval().requires_grad_(False)
