"""How well a parsed image agrees with the mask it was made from.

    counts = confusion_matrix(parsed, mask, classes=16)     # add the matrices of all images
    score = segmentation_score(counts)
    score.miou, score.pixel_accuracy, score.iou             # iou: one a class, nan where the class is not in the masks
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor


@dataclass(frozen=True)
class SegmentationScore:
    """Agreement of predicted with true labels, all in [0, 1]."""

    miou: float                # mean IoU over the classes that occur in the true masks
    pixel_accuracy: float      # share of the pixels whose label is right
    iou: tuple[float, ...]     # intersection over union of each class; nan where it does not occur in the true masks


def confusion_matrix(
    predicted: Int[Tensor, "*shape"] | UInt8[Tensor, "*shape"], target: Int[Tensor, "*shape"] | UInt8[Tensor, "*shape"],
    classes: int, valid: Bool[Tensor, "*shape"] | None = None,
) -> Int[Tensor, "classes classes"]:
    """Pixels by true label (row) and predicted label (column).

    Args:
        predicted, target: labels 0 .. classes - 1.
        valid: count only these pixels.

    Raises:
        ValueError: a label is out of range.
    """
    predicted, target = (labels.flatten().long() for labels in (predicted, target))
    if valid is not None:
        predicted, target = predicted[valid.flatten()], target[valid.flatten()]
    for name, labels in (("predicted", predicted), ("true", target)):
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(f"{name} labels go from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return torch.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)


def segmentation_score(counts: Int[Tensor, "classes classes"]) -> SegmentationScore:
    """IoU of class c = pixels that are c in both / pixels that are c in either (Everingham et al., IJCV 2010).

    A class that occurs in no true mask has no IoU; where it is predicted all the same, it costs the other classes'.

    Raises:
        ValueError: there is no pixel.
    """
    if not counts.sum():
        raise ValueError("no pixel was compared")
    counts = counts.double()
    both, present = counts.diagonal(), counts.sum(1) > 0
    iou = torch.where(present, both / (counts.sum(0) + counts.sum(1) - both), torch.nan)
    return SegmentationScore(iou[present].mean().item(), (both.sum() / counts.sum()).item(), tuple(iou.tolist()))
