"""The networks that segment faces for evaluation.

    segmenter = load_segmenter("synthheads")                                      # the bundled one
    segmenter = load_segmenter("bisenet", "pretrained_models/79999_iter.pth")
    labels = segmenter.segment(images)     # (B, 3, H, W) in [-1, 1] -> (B, H, W) merged CelebAMask-HQ labels, uint8
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from configs.paths_config import BISENET_WEIGHTS, BISENET_WEIGHTS_PAGE, SEGMENTER_WEIGHTS
from evaluation.face_segmentation.bisenet import BiSeNet
from evaluation.face_segmentation.small_network import SmallFaceSegmenter
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SEGMENTERS = {"synthheads": (SmallFaceSegmenter, SEGMENTER_WEIGHTS), "bisenet": (BiSeNet, BISENET_WEIGHTS)}
_WHERE = {"synthheads": "check out the repository again, or train one with synth_heads/scripts/train_segmenter.py",
          "bisenet": f"get {BISENET_WEIGHTS.name} from {BISENET_WEIGHTS_PAGE}"}


@runtime_checkable
class FaceSegmenter(Protocol):
    """What evaluation asks of such a network."""

    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch height width"]:
        """Labels of CelebAMask_HQ_merged for RGB images in [-1, 1]."""
        ...


def find_segmenter(kind: str, weights: str | Path | None = None) -> Path:
    """The file of a face segmenter: `weights`, or the usual place of its kind.

    Raises:
        UserError: it is not there; the message says where to get it.
    """
    path = ROOT / SEGMENTERS[kind][1] if weights is None else Path(weights)
    if not path.is_file():
        raise UserError(f"`segmenter_weights` {path}: there is no such file; {_WHERE[kind]}, or leave out the metrics "
                        "that need a face segmenter (miou, pose)")
    return path


def load_segmenter(kind: str, weights: str | Path | None = None, device: torch.device | str = "cpu") -> FaceSegmenter:
    """A face segmenter, ready to use.

    Raises:
        UserError: its file is missing or holds something else.
    """
    return SEGMENTERS[kind][0].from_file(find_segmenter(kind, weights)).to(device)
