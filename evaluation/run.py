"""An evaluation from its metrics' names: what they need, which views, which numbers, how they were made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from configs.label_spaces import LABEL_SPACES
from evaluation.metrics.registry import Evaluation, all_metrics, chosen_metrics, needs_of
from evaluation.networks import NetworkFiles, Networks
from evaluation.rendering import KINDS, file_sha256
from evaluation.test_set import EvaluationSet
from utils.errors import UserError


def load_networks(names: Sequence[str], files: NetworkFiles, device: torch.device) -> Networks:
    """The networks that these metrics need, and those that they use where the files are there.

    Raises:
        UserError: a file that a metric cannot do without is missing, or a file holds something else.
    """
    wants = {network for metric, _ in chosen_metrics(names) for network in metric.wants}
    return Networks.load(needs_of(names), wants, files, device)


def wanted_views(names: Sequence[str], data: EvaluationSet, style_masks: int) -> dict[str, int]:
    """Kinds of views that the metrics need, each with for how many masks (the first ones)."""
    kinds = {"own"}.union(*(metric.views for metric, _ in chosen_metrics(names)))
    count = len(data.masks)
    return {kind: min(count, style_masks) if kind == "styles" else count for kind in KINDS
            if kind in kinds and (kind != "novel" or data.has_novel)}


def measure(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """Scores by name, which are also kept in `evaluation.results`; `evaluation.notes` says what was left out.

    Raises:
        UserError: a photograph or another file that a metric needs is missing.
    """
    for metric, own_names in chosen_metrics(names):
        evaluation.results |= metric.compute(evaluation, own_names)
        if "novel" in metric.views and "novel" not in evaluation.tests.sides:
            note = "other views: not measured, since this data set does not say which images show one head"
            evaluation.notes += [] if note in evaluation.notes else [note]
    return evaluation.results


def protocol(evaluation: Evaluation, names: Sequence[str], files: NetworkFiles) -> dict[str, Any]:
    """How the numbers were made, without times and places: the same evaluation gives the same record."""
    data, networks = evaluation.tests.data, evaluation.networks
    masks = "\n".join(mask.name for mask in data.masks)
    out: dict[str, Any] = {
        "images": len(data.masks), "masks": f"{data.root.name}, {data.source}",
        **({"split_sha256": data.split_sha256} if data.split_sha256 else {}),
        "masks_sha256": hashlib.sha256(masks.encode()).hexdigest(), **evaluation.tests.renders.settings.facts(),
        "poses": "each mask's own" + ("; other views: the same head's image that differs most in yaw"
                                      if data.has_novel else ""),
        "codes": "the mask's own in all layers, but for the styles",
        "pixels": "8 bits per channel; true images resized and cropped as in training (Pillow, bilinear)",
    }
    if any("styles" in metric.views for metric, _ in chosen_metrics(names)):
        out["styles_of"] = f"the first {evaluation.style_masks} masks"
    return out | network_facts(networks, files)


def network_facts(networks: Networks, files: NetworkFiles) -> dict[str, Any]:
    """The networks that measured, for the protocol."""
    out: dict[str, Any] = {}
    if "inception" in networks.files:
        out["inception_resize"] = "299 pixels, bilinear as in TensorFlow 1, by torch-fidelity " + _version()
    if "face_segmenter" in networks.files:
        out["face_segmenter"] = files.face_segmenter
    return out | {f"{name}_sha256": file_sha256(path) for name, path in networks.files.items()}


def check_data(names: Sequence[str], data: EvaluationSet) -> None:
    """
    Raises:
        UserError: a metric cannot be had for this kind of data.
    """
    if data.config.label_space is LABEL_SPACES["CelebAMask_HQ"]:
        return
    metrics = all_metrics()
    if of_faces := [name for name in names if "face_segmenter" in metrics[name].needs[name]]:
        raise UserError(f"`metrics` {','.join(of_faces)}: the face segmenters know faces only, not {data.config.name}; "
                        "leave these out")


def _version() -> str:
    try:
        return version("torch-fidelity")
    except PackageNotFoundError:
        return "(not installed)"
