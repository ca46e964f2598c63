"""LPIPS (Zhang et al., CVPR 2018): the distance of two images in the features of an AlexNet."""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from utils.errors import UserError

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
ALEXNET_URL = f"https://download.pytorch.org/models/{ALEXNET_FILE}"
ALEXNET_CONVOLUTIONS = (0, 3, 6, 8, 10)  # their indices in torchvision's `features`, one in each slice of `lpips`
WITHOUT_TRAINING = "`lpips_lambda` 0 trains without LPIPS"
SMALLEST_SIDE = 31  # of an image that leaves AlexNet's second pooling something to pool
PRETRAINED_MODELS = Path(__file__).resolve().parents[1] / "pretrained_models"


class Perceptual(nn.Module):
    """LPIPS version 0.1 on AlexNet, frozen: no parameter asks for gradients, and it stays in evaluation mode.

    The linear heads come with the package `lpips`; the backbone is read from a file (see `find_alexnet`) and never
    downloaded.

    Args:
        weights: a torchvision AlexNet state dict; None looks in the usual places.
        without: how to go on without LPIPS, for the message.

    Raises:
        UserError: no backbone file was found, or it holds something else.
    """

    def __init__(self, weights: str | Path | None = None, without: str = WITHOUT_TRAINING) -> None:
        super().__init__()
        path = find_alexnet(weights, without)
        # `lpips` fills the layers with random numbers first: the caller's generator must not notice
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # `lpips` calls torchvision with retired arguments
            self.metric = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
        _load_alexnet(self.metric.net, path)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Perceptual:
        """Stays in evaluation mode: the heads' dropout is for fitting them only."""
        return super().train(False)

    def forward(self, image: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
                ) -> Float[Tensor, ""]:
        """Mean distance over the batch. Both are RGB in [-1, 1].

        Sides shorter than 31 pixels, which AlexNet cannot take, are enlarged (bilinear) to 31 first.
        """
        size = [max(side, SMALLEST_SIDE) for side in image.shape[-2:]]
        if size != list(image.shape[-2:]):
            image, target = (F.interpolate(x, size, mode="bilinear", align_corners=False) for x in (image, target))
        return self.metric(image, target).mean()


def find_alexnet(weights: str | Path | None = None, without: str = WITHOUT_TRAINING) -> Path:
    """The backbone's file: `weights` if given, else in torch.hub's folder ($TORCH_HOME), else in pretrained_models/.

    Raises:
        UserError: it is nowhere; the message says what to put where.
    """
    if weights is not None:
        if not Path(weights).is_file():
            raise UserError(f"`lpips_weights`: there is no file {weights} (torchvision's AlexNet, from {ALEXNET_URL})")
        return Path(weights)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    for folder in (hub, PRETRAINED_MODELS):
        if (folder / ALEXNET_FILE).is_file():
            return folder / ALEXNET_FILE
    raise UserError(f"LPIPS needs {ALEXNET_FILE}: download {ALEXNET_URL} into {hub} or {PRETRAINED_MODELS}, or name "
                    f"the file with `lpips_weights`; {without}")


def _load_alexnet(net: nn.Module, path: Path) -> None:
    """Fill the convolutions, which `lpips` keeps as `slice1.0`, `slice2.3`, ..., from torchvision's `features.N`."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for number, index in enumerate(ALEXNET_CONVOLUTIONS, start=1):
            convolution = net.get_submodule(f"slice{number}.{index}")
            convolution.load_state_dict({k: state[f"features.{index}.{k}"] for k in ("weight", "bias")})
    except OSError:
        raise
    except Exception as error:
        raise UserError(f"{path} is not torchvision's AlexNet state dict ({type(error).__name__}): download "
                        f"{ALEXNET_URL} again") from error
