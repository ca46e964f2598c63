"""The networks that segment faces for evaluation.

    segmenter = load_segmenter("synthheads")                                      # the bundled one
    segmenter = load_segmenter("bisenet", "pretrained_models/79999_iter.pth")     # or segformer, farl
    labels = segmenter.segment(images)     # (B, 3, H, W) in [-1, 1] -> (B, H, W) merged CelebAMask-HQ labels, uint8
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from configs.paths_config import (
    BISENET_WEIGHTS,
    BISENET_WEIGHTS_PAGE,
    FARL_PAGE,
    FARL_WEIGHTS,
    SEGFORMER_PAGE,
    SEGFORMER_WEIGHTS,
    SEGMENTER_WEIGHTS,
)
from evaluation.face_segmentation.bisenet import BiSeNet
from evaluation.face_segmentation.farl import FaRL
from evaluation.face_segmentation.segformer import SegFormer
from evaluation.face_segmentation.small_network import SmallFaceSegmenter
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SEGMENTERS = {"synthheads": (SmallFaceSegmenter, SEGMENTER_WEIGHTS), "bisenet": (BiSeNet, BISENET_WEIGHTS),
              "segformer": (SegFormer, SEGFORMER_WEIGHTS), "farl": (FaRL, FARL_WEIGHTS)}
_WHERE = {"synthheads": "check out the repository again, or train one with synth_heads/scripts/train_segmenter.py",
          "bisenet": f"get {BISENET_WEIGHTS.name} from {BISENET_WEIGHTS_PAGE}",
          "segformer": f"get config.json and {SEGFORMER_WEIGHTS.name} from {SEGFORMER_PAGE} into one folder",
          "farl": f"get {FARL_WEIGHTS.name} from {FARL_PAGE}"}
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")     # the weights of those that are a folder of files


@runtime_checkable
class FaceSegmenter(Protocol):
    """What evaluation asks of such a network."""

    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch height width"]:
        """Labels of CelebAMask_HQ_merged for RGB images in [-1, 1]."""
        ...


def find_segmenter(kind: str, weights: str | Path | None = None) -> Path:
    """The file of a face segmenter: `weights`, the one inside if that is a folder, or the usual place of its kind.

    Raises:
        UserError: it is not there; the message says where to get it.
    """
    path = ROOT / SEGMENTERS[kind][1] if weights is None else Path(weights)
    if path.is_dir():
        path = next((path / name for name in IN_FOLDERS if (path / name).is_file()), path / IN_FOLDERS[0])
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
