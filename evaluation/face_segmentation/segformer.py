"""SegFormer for faces in the layout of its published folder (jonathandinu/face-parsing), by the package transformers.

    segmenter = SegFormer.from_file("pretrained_models/face-parsing/model.safetensors")     # config.json lies beside it
    labels = segmenter.segment(images)          # (B, 3, H, W) in [-1, 1] -> (B, H, W) merged CelebAMask-HQ labels

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", NeurIPS 2021. Nothing
is ever downloaded. Parts are numbered as config.json names them; the first version of that file, whose names end in
".png" and are in a wrong order, is known, and its numbers are read as its authors' corrected file has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from configs.label_spaces import LABEL_SPACES
from configs.paths_config import SEGFORMER_PAGE
from evaluation.face_segmentation.bisenet import MEAN, SIZE, STD
from evaluation.face_segmentation.orders import to_merged
from evaluation.face_segmentation.small_network import resample
from utils.errors import UserError

FACES = LABEL_SPACES["CelebAMask_HQ"]
FIRST_VERSION = ["background", *(f"{part}.png" for part in (
    "skin", "nose", "r_eye", "l_eye", "r_brow", "l_brow", "r_ear", "l_ear", "mouth", "u_lip", "l_lip", "neck", "hair",
    "neck_l", "cloth", "eye_g", "hat", "ear_r"))]
INSTALL = "pip install transformers"


class SegFormer(nn.Module):
    """A network of transformers, and what its numbers mean.

    Args:
        order: label of CelebAMask_HQ for each of its numbers.
    """

    def __init__(self, network: nn.Module, order: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.order = network, order

    @torch.no_grad()
    def segment(self, images: Float[Tensor, "batch 3 height width"]) -> UInt8[Tensor, "batch height width"]:
        """Most probable labels (merged CelebAMask-HQ) of RGB images in [-1, 1]; it looks at them at 512 pixels."""
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
        normalised = ((resample(images.clamp(-1, 1), SIZE) + 1) / 2 - mean) / std
        found = resample(self.network(pixel_values=normalised).logits, images.shape[-1]).argmax(1)
        return to_merged(found, self.order)

    @classmethod
    def from_file(cls, path: str | Path) -> SegFormer:
        """Published weights (model.safetensors or pytorch_model.bin, with config.json beside them), ready to use.

        Raises:
            UserError: they are missing or something else, or transformers is not installed.
        """
        folder = Path(path).parent
        order = label_order(folder / "config.json")
        network_class = import_transformers().SegformerForSemanticSegmentation
        try:
            network, found = network_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=Path(path).suffix == ".safetensors", weights_only=True,
                output_loading_info=True)
        except Exception as error:  # whatever its reading of a broken or foreign file raises
            words = (str(error).splitlines() or [type(error).__name__])[0][:120]
            raise _refused(path, f"transformers cannot read it: {words}") from error
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if found.get(problem):
                raise _refused(path, f"{len(found[problem])} {problem.replace('_', ' ')}")
        return cls(network, order).eval().requires_grad_(False)


def label_order(config: Path) -> tuple[int, ...]:
    """Label of CelebAMask_HQ for each number of the network that a config.json describes.

    Raises:
        UserError: it cannot be read, or describes no SegFormer of these parts.
    """
    try:
        contents = json.loads(config.read_text(encoding="utf-8"))
        names = [contents["id2label"][str(number)] for number in range(len(contents["id2label"]))]
        kind = contents["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refused(config, "this is not its config.json") from error
    if names == FIRST_VERSION:
        return tuple(range(len(FACES)))
    if kind != "segformer" or sorted(names) != sorted(FACES.labels):
        raise _refused(config, f"it describes a {kind} of {len(names)} labels, not a SegFormer of CelebAMask-HQ's "
                               "parts")
    return tuple(FACES.index(name) for name in names)


def import_transformers() -> Any:
    """
    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise UserError(f"`face_segmenter` segformer needs transformers: {INSTALL}") from error
    return transformers


def _refused(path: str | Path, why: str) -> UserError:
    return UserError(f"`segmenter_weights` {path}: these are not the weights of the SegFormer face segmenter ({why}); "
                     f"get config.json and model.safetensors from {SEGFORMER_PAGE} into one folder")
