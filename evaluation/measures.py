"""From renders to numbers. Each function looks at the whole test set and gives its scores by name.

A number is a mean over images unless its name in `evaluation.report` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from datasets.masks.files import read_mask
from datasets.masks.maps import merge_labels
from datasets.training_set import ImagesDataset3D
from evaluation.face_segmentation.registry import Parser
from evaluation.metrics.distribution import Images, distribution_scores
from evaluation.metrics.diversity import diversity, l2
from evaluation.metrics.image_quality import depth_error, match_label_colours, psnr, ssim
from evaluation.metrics.mask_pose import Layout, face_layout, fit_pose
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from evaluation.metrics.view_consistency import OPAQUE, SeenView, reprojection
from evaluation.rendering import Renders, SavedViews, pose_of
from evaluation.test_set import EvaluationSet
from models.pigan.cameras import Camera
from utils.images import from_bytes

Track = Callable[[Iterable[int], str], Iterable[int]]
PerceptualDistance = Callable[[Tensor, Tensor], Tensor]
PARSE_BATCH = 16


@dataclass
class Means:
    """Means of named values."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def result(self) -> dict[str, float]:
        """Without values that are not numbers (a view without any surface, say); nan if none is left."""
        kept = {name: [value for value in values if not math.isnan(value)] for name, values in self.values.items()}
        return {name: math.fsum(values) / len(values) if values else math.nan for name, values in kept.items()}


@dataclass(frozen=True)
class TestSet:
    """What all measures need: the renders, the masks they were made from, and how to show progress."""

    __test__ = False

    data: EvaluationSet
    renders: Renders
    track: Track = lambda numbers, what: numbers

    def __len__(self) -> int:
        return len(self.data.masks)

    def numbers(self, what: str, count: int | None = None) -> Iterable[int]:
        return self.track(range(len(self) if count is None else count), what)

    def views(self, kind: str, index: int) -> SavedViews:
        return self.renders.load(kind, self.data.masks[index].name)

    def labels(self, index: int, kind: str = "own", merged: bool = True) -> UInt8[Tensor, "size size"]:
        """The true labels of a view, as the model's camera sees them."""
        mask, space, settings = self.data.masks[index], self.data.config.label_space, self.renders.settings
        labels = read_mask(mask.novel.path if kind == "novel" else mask.path, space)
        labels = merge_labels(labels, space) if merged else labels
        return torch.from_numpy(settings.transform.at(settings.size).apply(labels))

    def truth(self, kind: str = "own") -> ImagesDataset3D:
        """Labels and true images of a kind of views.

        Raises:
            UserError: a image is missing.
        """
        settings = self.renders.settings
        return self.data.truth(settings.transform, settings.size, settings.merged, novel=kind == "novel")


@dataclass(frozen=True)
class Parsed:
    """What the parser saw in one kind of views."""

    counts: Int[Tensor, "classes classes"]
    each: tuple[float, ...]                   # mIoU of each image
    layouts: tuple[Layout | None, ...]        # of the faces it found
    true_layouts: tuple[Layout | None, ...]   # of the faces in the true masks


def distribution(tests: TestSet, metrics: Sequence[str], inception_weights: str | None, cuda: bool, **network: str,
                 ) -> dict[str, float]:
    """FID, KID, precision and recall of the views at the masks' own poses against the true
    images; Inception score."""
    generated = Images(len(tests), lambda index: tests.views("own", index).pixels[0])
    real = None
    if set(metrics) - {"is"}:
        truth = tests.truth()
        real = Images(len(tests), lambda index: truth[index]["image"])
    return distribution_scores(generated, real, metrics, inception_weights, cuda=cuda, **network)


def parse_views(tests: TestSet, parser: Parser, kind: str, device: torch.device) -> Parsed:
    """Parse all views of a kind and compare them with the true masks."""
    classes = len(tests.data.config.label_space.merged)
    total, each, layouts, true_layouts = torch.zeros(classes, classes, dtype=torch.long), [], [], []
    waiting: list[tuple[Tensor, Tensor]] = []

    def parse() -> None:
        nonlocal total
        found = parser.parse(torch.cat([rgb for rgb, _ in waiting]).to(device)).cpu()
        for labels, (_, target) in zip(found, waiting, strict=True):
            counts = confusion_matrix(labels, target, classes)
            total = total + counts
            each.append(segmentation_score(counts).miou)
            layouts.append(face_layout(labels.numpy()))
            true_layouts.append(face_layout(target.numpy()))
        waiting.clear()

    for index in tests.numbers(f"parsing, {kind} poses"):
        waiting.append((tests.views(kind, index).rgb, tests.labels(index, kind)))
        if len(waiting) == PARSE_BATCH or index == len(tests) - 1:
            parse()
    return Parsed(total, tuple(each), tuple(layouts), tuple(true_layouts))


def alignment(parsed: Parsed, labels: Sequence[str]) -> dict[str, float]:
    """mIoU over all pixels of the set (the field's convention) and of each image, pixel accuracy, IoU by class."""
    score = segmentation_score(parsed.counts)
    each = {f"iou_{name}": value for name, value in zip(labels, score.iou, strict=True) if not math.isnan(value)}
    return {"miou": score.miou, "pixel_accuracy": score.pixel_accuracy, "miou_per_image": float(np.mean(parsed.each)),
            **each}


def pose_accuracy(tests: TestSet, parsed: Parsed) -> dict[str, float]:
    """Median difference between the camera's pose and what the parsed mask says (see `evaluation.metrics.mask_pose`), degrees.

    The reading is calibrated on the true masks of this set; `mask_...` are its own errors on these, each left out of
    the fit. Empty where too few masks show nose, mouth and brows.
    """
    poses = [mask.pose for mask in tests.data.masks]
    model = fit_pose(parsed.true_layouts, poses)
    if model is None:
        return {}
    read = [(model(layout), pose) for layout, pose in zip(parsed.layouts, poses, strict=True) if layout is not None]
    if len(read) < 2:
        return {}
    found, asked = (np.degrees(values) for values in zip(*read, strict=True))
    yaw, pitch = np.median(np.abs(found - asked), axis=0).tolist()
    return {"pose_yaw_deg": yaw, "pose_pitch_deg": pitch, "mask_yaw_deg": model.error_deg[0],
            "mask_pitch_deg": model.error_deg[1], "pose_faces": len(read) / len(tests),
            "pose_yaw_correlation": float(np.corrcoef(found.T[0], asked.T[0])[0, 1])}


def quality(tests: TestSet, kind: str, perceptual: PerceptualDistance | None) -> dict[str, float]:
    """PSNR, SSIM, PSNR after matching each label's mean colour; LPIPS and depth error where these can be had."""
    truth, means, settings = tests.truth(kind), Means(), tests.renders.settings
    for index in tests.numbers(f"comparing with true images, {kind} poses"):
        item, view = truth[index], tests.views(kind, index)
        image, target = view.rgb[0], from_bytes(item["image"])
        matched = match_label_colours(image, target, item["label"])
        means.add(psnr=psnr(image, target), ssim=ssim(image, target), psnr_matched=psnr(matched, target))
        if perceptual is not None:
            means.add(lpips=float(perceptual(image[None], target[None])))
        if tests.data.has_depth:
            distances = tests.data.depth(truth.masks[index], settings.transform, settings.size)
            means.add(depth_error=depth_error(view.depth[0], distances, distances.isfinite()))
    return means.result()


def styles(tests: TestSet, count: int, perceptual: PerceptualDistance | None) -> dict[str, float]:
    """Mean distance of 10 pairs among the styles of a mask, over the first `count` masks."""
    means = Means()
    for index in tests.numbers("comparing styles", count):
        images = tests.views("styles", index).rgb
        means.add(diversity_l2=diversity(images, l2))
        if perceptual is not None:
            means.add(diversity_lpips=diversity(images, perceptual))
    return means.result()


def consistency(tests: TestSet, fov_deg: float) -> dict[str, float]:
    """Reprojection of each mask's own view into its neighbour (see `evaluation.metrics.view_consistency`)."""
    means = Means()
    for index in tests.numbers("comparing neighbouring views"):
        mask, seen = tests.data.masks[index], []
        for kind in ("own", "near"):
            view = tests.views(kind, index)
            seen.append(SeenView(Camera(*pose_of(kind, mask)), view.rgb[0], view.depth[0], view.opacity[0] >= OPAQUE))
        result = reprojection(*seen, fov_deg)
        means.add(view_error=result.error, view_depth_error=result.depth_error, view_share=result.share)
    return means.result()
