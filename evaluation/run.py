"""An evaluation from its metrics' names: what they need, which views, which numbers, how they were made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from configs.label_spaces import LABEL_SPACES
from criteria.perceptual import Perceptual, find_alexnet
from evaluation import measures
from evaluation.face_segmentation.registry import Parser, find_weights, load_parser
from evaluation.measures import PerceptualDistance, TestSet
from evaluation.metrics.distribution import DISTRIBUTION_METRICS, find_inception
from evaluation.rendering import file_sha256
from evaluation.report import NOVEL
from evaluation.test_set import EvaluationSet
from utils.errors import UserError

PARSED = ("miou", "pose")
STYLED = ("diversity", "lpips_diversity")
WITHOUT_LPIPS = "leave lpips_diversity out of `metrics` to go without"


@dataclass(frozen=True)
class Files:
    """What the user gave for the networks that measure; None: the usual places."""

    inception: str | None = None
    lpips: str | None = None
    parser: str = "synthheads"
    parser_weights: str | None = None

    def finders(self, metrics: Sequence[str]) -> dict[str, Callable[[], Path]]:
        """For each network that the metrics need, the function that finds its file or raises what to get."""
        needs: dict[str, tuple[Sequence[str], Callable[[], Path]]] = {
            "inception": (DISTRIBUTION_METRICS, lambda: find_inception(self.inception)),
            "lpips": (("lpips_diversity",), lambda: find_alexnet(self.lpips, WITHOUT_LPIPS)),
            "parser": (PARSED, lambda: find_weights(self.parser, self.parser_weights)),
        }
        return {name: find for name, (users, find) in needs.items() if set(users) & set(metrics)}


@dataclass
class Networks:
    """The networks that measure, as far as they are needed; `files` are theirs."""

    device: torch.device
    parser: Parser | None = None
    perceptual: PerceptualDistance | None = None
    inception: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)

    @staticmethod
    def load(metrics: Sequence[str], given: Files, device: torch.device) -> Networks:
        """
        Raises:
            UserError: a file that a metric cannot do without is missing or something else.
        """
        files = {name: find() for name, find in given.finders(metrics).items()}
        if "psnr" in metrics and "lpips" not in files:
            try:  # LPIPS comes with psnr where its network is there
                files["lpips"] = find_alexnet(given.lpips)
            except UserError:
                if given.lpips is not None:
                    raise
        out = Networks(device, inception=files.get("inception"), files=files)
        if "parser" in files:
            out.parser = load_parser(given.parser, files["parser"], device)
        if "lpips" in files:
            network = Perceptual(files["lpips"]).to(device)
            out.perceptual = lambda image, target: network(image.to(device), target.to(device))
        return out


def wanted_views(metrics: Sequence[str], data: EvaluationSet, style_masks: int) -> dict[str, int]:
    """Kinds of views that the metrics need, each with for how many masks."""
    count = len(data.masks)
    out = {"own": count}
    if "view_consistency" in metrics:
        out["near"] = count
    if data.has_novel and {"miou", "psnr"} & set(metrics):
        out["novel"] = count
    if set(STYLED) & set(metrics):
        out["styles"] = min(count, style_masks)
    return out


def measure(tests: TestSet, metrics: Sequence[str], networks: Networks, style_masks: int, fov_deg: float,
            ) -> tuple[dict[str, float], list[str]]:
    """Scores by name, and notes on what was left out.

    Raises:
        UserError: a photograph or another file that a metric needs is missing.
    """
    results: dict[str, float] = {}
    notes: list[str] = []
    kinds = ("own", "novel") if tests.data.has_novel else ("own",)
    prefix = {"own": "", "novel": NOVEL}
    if chosen := [name for name in DISTRIBUTION_METRICS if name in metrics]:
        results |= measures.distribution(tests, chosen, str(networks.inception), networks.device.type == "cuda")
    parsed = {kind: measures.parse_views(tests, networks.parser, kind, networks.device)
              for kind in kinds if "miou" in metrics or ("pose" in metrics and kind == "own")}
    if "miou" in metrics:
        for kind in kinds:
            scores = measures.alignment(parsed[kind], tests.data.config.label_space.merged.labels)
            results |= {prefix[kind] + name: value for name, value in scores.items()}
    if "pose" in metrics:
        scores = measures.pose_accuracy(tests, parsed["own"])
        if not scores:
            notes.append("pose: too few masks that show nose, mouth and brows, 60 are needed")
        results |= scores
    if "psnr" in metrics:
        for kind in kinds:
            scores = measures.quality(tests, kind, networks.perceptual)
            results |= {prefix[kind] + name: value for name, value in scores.items()}
        if networks.perceptual is None:
            notes.append("psnr: without LPIPS, since its AlexNet is not there (see pretrained_models/README.md)")
        if not tests.data.has_depth:
            notes.append("psnr: without depth, which this data set does not have")
    if set(STYLED) & set(metrics):
        perceptual = networks.perceptual if "lpips_diversity" in metrics else None
        results |= measures.styles(tests, min(len(tests), style_masks), perceptual)
    if "view_consistency" in metrics:
        results |= measures.consistency(tests, fov_deg)
    if len(kinds) == 1 and {"miou", "psnr"} & set(metrics):
        notes.append("other views: not measured, since this data set does not say which images show one head")
    return results, notes


def protocol(tests: TestSet, metrics: Sequence[str], networks: Networks, given: Files, style_masks: int,
             ) -> dict[str, Any]:
    """How the numbers were made, without times and places: the same evaluation gives the same record."""
    data, names = tests.data, "\n".join(mask.name for mask in tests.data.masks)
    out: dict[str, Any] = {
        "images": len(data.masks), "masks": f"{data.root.name}, {data.source}",
        "masks_sha256": hashlib.sha256(names.encode()).hexdigest(), **tests.renders.settings.facts(),
        "poses": "each mask's own" + ("; other views: the same head's image that differs most in yaw"
                                      if data.has_novel else ""),
        "codes": "the mask's own in all layers, but for the styles",
        "pixels": "8 bits per channel; true images resized and cropped as in training (Pillow, bilinear)",
    }
    if set(STYLED) & set(metrics):
        out["styles_of"] = f"the first {min(len(data.masks), style_masks)} masks"
    if "inception" in networks.files:
        out["inception_resize"] = "299 pixels, bilinear as in TensorFlow 1, by torch-fidelity " + _version()
    if "parser" in networks.files:
        out["parser"] = given.parser
    out |= {f"{name}_sha256": file_sha256(path) for name, path in networks.files.items()}
    return out


def check_data(metrics: Sequence[str], data: EvaluationSet) -> None:
    """
    Raises:
        UserError: a metric cannot be had for this kind of data.
    """
    known = LABEL_SPACES["CelebAMask_HQ"]
    if (parsed := sorted(set(PARSED) & set(metrics))) and data.config.label_space is not known:
        raise UserError(f"`metrics` {','.join(parsed)}: the parsers know faces only, not {data.config.name}; leave "
                        "these out")


def _version() -> str:
    try:
        return version("torch-fidelity")
    except PackageNotFoundError:
        return "(not installed)"
