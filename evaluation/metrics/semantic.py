"""How well rendered label maps agree with the masks, and with one another: what the weights' semantic head sees.

It is no judge of images: the head is trained on codes that the encoder predicts, so a part of its score is what the
mask said and not what the image shows. Read it beside `miou`, never in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from evaluation.metrics.registry import Evaluation, Metric, MetricAccumulator
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from evaluation.metrics.view_consistency import OPAQUE, TOLERANCE, surface_points
from evaluation.rendering import SavedViews, poses_of
from models.pigan.cameras import Camera, project

NOTE = "label maps: not measured, since these weights have no semantic head (train_semantics.py trains one)"


def semantic(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """mIoU, accuracy and IoU of each label over all pixels, of own and of other views; agreement of neighbouring
    views. Nothing, and a note, where the weights have no semantic head."""
    tests, results = evaluation.tests, {}
    head = tests.renders.settings.semantic_head
    if head is None:
        evaluation.notes.append(NOTE)
        return {}
    merged = head.space is not tests.data.config.label_space
    for kind in tests.sides:
        counts = torch.zeros(len(head.space), len(head.space), dtype=torch.long)
        for index in tests.numbers(f"label maps, {kind} poses"):
            counts += confusion_matrix(labels_of(tests.views(kind, index)), tests.labels(kind, index, merged),
                                       len(head.space))
        score = segmentation_score(counts)
        each = {f"semantic_iou_{name}": value for name, value in zip(head.space.labels, score.iou, strict=True)
                if not math.isnan(value)}
        results |= evaluation.named(kind, {"semantic_miou": score.miou, "semantic_accuracy": score.pixel_accuracy,
                                           **each})
    means = MetricAccumulator()
    for index in tests.numbers("comparing neighbouring label maps"):
        cameras = [Camera(*poses_of(kind, tests.data.masks[index])[0]) for kind in ("own", "near")]
        own, near = (tests.views(kind, index) for kind in ("own", "near"))
        means.add(semantic_consistency=agreement(own, near, cameras[0], cameras[1], evaluation.fov_deg))
    return results | means.result()


def labels_of(views: SavedViews) -> UInt8[Tensor, "views size size"]:
    assert views.labels is not None, "they were rendered with a semantic head"
    return views.labels


def agreement(first: SavedViews, second: SavedViews, camera: Camera, other: Camera, fov_deg: float) -> float:
    """Share of the surface pixels of one view whose label the other view shows at the same place in space; what is
    hidden there is left out. nan if both views show no surface in common."""
    surface = first.opacity[0] >= OPAQUE
    points = surface_points(first.depth[0], surface, camera, fov_deg)
    place, distance = project(points, other, fov_deg)

    def look_up(plane: Float[Tensor, "size size"]) -> Float[Tensor, " points"]:
        """Of the nearest pixel."""
        return F.grid_sample(plane[None, None], place[None, None], mode="nearest", align_corners=True)[0, 0, 0]

    seen = (place.abs() <= 1).all(1) & (look_up(second.opacity[0]) >= OPAQUE)
    seen &= (look_up(second.depth[0]) - distance).abs() <= TOLERANCE
    if not seen.any():
        return math.nan
    same = look_up(labels_of(second)[0].float()) == labels_of(first)[0][surface].float()
    return same[seen].double().mean().item()


METRIC = Metric(
    needs={"semantic": ()}, views=("own", "near", "novel"), compute=semantic,
    scores={
        "semantic_miou": ("mIoU of the rendered label map and the mask, classes present, all pixels of the set",
                          "higher"),
        "semantic_accuracy": ("pixel accuracy of the rendered label map", "higher"),
        "semantic_consistency": ("share of a view's surface whose label its neighbour shows too", "higher"),
    })
