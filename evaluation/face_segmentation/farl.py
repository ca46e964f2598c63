"""FaRL for faces: the TorchScript file that facer publishes, trained on CelebAMask-HQ ("celebm").

    segmenter = FaRL.from_file("pretrained_models/face_parsing.farl.celebm.main_ema_181500_jit.pt")
    labels = segmenter.segment(images)          # (B, 3, H, W) in [-1, 1] -> (B, H, W) merged CelebAMask-HQ labels

Zheng et al., "General Facial Representation Learning in a Visual-Linguistic Manner", CVPR 2022. It looks at a face that
is cut out as CelebA-HQ's are, at 448 pixels, with colours in [0, 1], and gives logits of 19 parts in facer's order.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from configs.label_spaces import LABEL_ORDERS
from configs.paths_config import FARL_PAGE, FARL_WEIGHTS
from evaluation.face_segmentation.orders import to_merged
from evaluation.face_segmentation.small_network import resample
from utils.errors import UserError

SIZE = 448
ORDER = LABEL_ORDERS["facer"]
OF_LAPA = 11    # labels of the file trained on LaPa, which knows neither neck, cloth, ears, hats nor glasses


class FaRL(nn.Module):
    """A TorchScript network of (batch, 3, 448, 448) -> logits (batch, 19, 448, 448) and something more."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def logits(self, images: Float[Tensor, "batch 3 448 448"]) -> Float[Tensor, "batch labels 448 448"]:
        """Of RGB images in [0, 1], in facer's order."""
        return self.network(images)[0]

    @torch.no_grad()
    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch height width"]:
        """Most probable labels (merged CelebAMask-HQ) of RGB images in [-1, 1]."""
        found = self.logits((resample(images.clamp(-1, 1), SIZE) + 1) / 2)
        return to_merged(resample(found, images.shape[-1]).argmax(1), ORDER)

    @classmethod
    def from_file(cls, path: str | Path) -> FaRL:
        """The published file, ready to use. TorchScript holds operations on tensors, and no Python code.

        Raises:
            UserError: the file is missing or holds something else.
        """
        refusal = f"`segmenter_weights` {path}: this is not FaRL's face segmenter"
        where = f"; get {FARL_WEIGHTS.name} from {FARL_PAGE}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)      # that TorchScript is on its way out
                segmenter = cls(torch.jit.load(str(path), map_location="cpu")).eval()
            shape = tuple(segmenter.logits(torch.zeros(1, 3, SIZE, SIZE)).shape)
        except Exception as error:  # whatever TorchScript raises on a foreign file or in a foreign network
            raise UserError(f"{refusal} ({type(error).__name__}){where}") from error
        if shape[1:2] == (OF_LAPA,):
            raise UserError(f"{refusal} of CelebAMask-HQ but that of LaPa, which knows neither neck, clothes, ears, "
                            f"hats nor glasses{where}")
        if shape != (1, len(ORDER), SIZE, SIZE):
            raise UserError(f"{refusal}: it gives {shape}, not logits of {len(ORDER)} parts at {SIZE} pixels{where}")
        return segmenter.requires_grad_(False)
