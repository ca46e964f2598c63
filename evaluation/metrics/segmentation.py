"""How well an image, segmented by a network, agrees with the mask it was made from.

    counts = confusion_matrix(found, mask, classes=16)      # add the matrices of all images
    score = segmentation_score(counts)
    score.miou, score.pixel_accuracy, score.iou             # iou: per class, nan where it is not in the masks
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from configs.label_spaces import LABEL_SPACES
from evaluation.metrics.registry import Evaluation, Metric

LABELS = LABEL_SPACES["CelebAMask_HQ_merged"].labels    # what face segmenters find
BATCH = 16    # images that are segmented at a time


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


@dataclass(frozen=True)
class Segmented:
    """What the face segmenter found in some views, and what is there."""

    found: tuple[UInt8[Tensor, "size size"], ...]
    true: tuple[UInt8[Tensor, "size size"], ...]
    counts: tuple[Int[Tensor, "classes classes"], ...]      # the confusion matrix of each view

    @property
    def score(self) -> SegmentationScore:
        """Over all pixels of the views, which is the field's convention."""
        return segmentation_score(torch.stack(self.counts).sum(0))

    def first(self, count: int) -> Segmented:
        """Of the first views only."""
        return Segmented(self.found[:count], self.true[:count], self.counts[:count])


def segment(evaluation: Evaluation, views: Iterable[tuple[Float[Tensor, "3 size size"], UInt8[Tensor, "size size"]]],
            ) -> Segmented:
    """Segment images (RGB in [-1, 1]), each given with its true labels."""
    segmenter, device = evaluation.networks.face_segmenter, evaluation.networks.device
    assert segmenter is not None, "the metric does not say that it needs the face_segmenter"
    found: list[Tensor] = []
    true: list[Tensor] = []
    waiting: list[Tensor] = []

    def work() -> None:
        if waiting:
            found.extend(segmenter.segment(torch.stack(waiting).to(device)).cpu())
            waiting.clear()

    for image, labels in views:
        waiting.append(image)
        true.append(labels)
        if len(waiting) == BATCH:
            work()
    work()
    counts = tuple(confusion_matrix(labels, target, len(LABELS)) for labels, target in zip(found, true, strict=True))
    return Segmented(tuple(found), tuple(true), counts)


def segmented(evaluation: Evaluation, kind: str) -> Segmented:
    """All views of a kind, segmented once for all metrics."""
    key, tests = ("segmented", kind), evaluation.tests
    if key not in evaluation.shared:
        evaluation.shared[key] = segment(evaluation, (
            pair for index in tests.numbers(f"segmenting, {kind} poses")
            for pair in zip(tests.views(kind, index).rgb, tests.labels(kind, index), strict=True)))
    return evaluation.shared[key]


def alignment(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """mIoU over all pixels and of each image, pixel accuracy, IoU of each class; of own and of other views."""
    results: dict[str, float] = {}
    for kind in evaluation.tests.sides:
        views = segmented(evaluation, kind)
        score = views.score
        each = {f"iou_{name}": value for name, value in zip(LABELS, score.iou, strict=True) if not math.isnan(value)}
        mean = float(np.mean([segmentation_score(counts).miou for counts in views.counts]))
        scores = {"miou": score.miou, "pixel_accuracy": score.pixel_accuracy, "miou_per_image": mean, **each}
        results |= evaluation.named(kind, scores)
    return results


METRIC = Metric(
    needs={"miou": ("face_segmenter",)}, views=("own", "novel"), compute=alignment,
    scores={
        "miou": ("mIoU of the segmented image and the mask, classes present, all pixels of the set", "higher"),
        "miou_per_image": ("mIoU of each image, mean", "higher"),
        "pixel_accuracy": ("pixel accuracy of the segmented image", "higher"),
    })
