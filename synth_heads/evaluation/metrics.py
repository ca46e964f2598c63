"""Metrics that need more than a data set holds: heads whose code is known, exchanged masks, styles, edits.

`evaluation.metrics.registry.added(METRICS)` lets them join the others. They are computed from `HeldOutViews`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from evaluation.metrics.image_quality import psnr
from evaluation.metrics.registry import Evaluation, Metric, MetricAccumulator
from evaluation.metrics.segmentation import Segmented, segment, segmented
from synth_heads.evaluation.views import HeldOutViews
from utils.images import from_bytes


def decoder_alone(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """The decoder's view from each head's own z, against the head in its own colours, reduced to 64 pixels."""
    return {"decoder_psnr": float(np.mean([codes.decoder_psnr for codes in _heads(evaluation).codes]))}


def spread(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """See `code_spread`."""
    codes = _heads(evaluation).codes
    return {"code_spread": code_spread([each.predicted for each in codes], [each.true for each in codes])}


def code_spread(predicted: Sequence[Float[np.ndarray, " codes"]], true: Sequence[Float[np.ndarray, " codes"]]) -> float:
    """Spread of the predicted codes over their masks, as a fraction of that of the true codes over the same heads.

    The spread is the standard deviation, averaged over the entries.
    """
    return float(np.stack(predicted).std(0).mean() / np.stack(true).std(0).mean())


def shuffled_masks(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """How much worse the images are when another head's mask is given: nothing, if a model ignores its mask."""
    tests, right, wrong, pairs = _heads(evaluation), MetricAccumulator(), MetricAccumulator(), []
    for index in tests.numbers("exchanging masks"):
        true, other = tests.truth("own", index)[0], tests.shuffled(index)
        target = from_bytes(true.pixels)
        right.add(psnr=psnr(tests.views("own", index).rgb[0], target))
        wrong.add(psnr=psnr(other.rgb[0], target))
        pairs.append((other.rgb[0], true.labels))
    score = wrong.result()["psnr"]
    return {"shuffled_psnr": score, "shuffled_psnr_drop": right.result()["psnr"] - score,
            **_scores("shuffled", segment(evaluation, pairs))}


def novel_views(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """What other views lose against the mask's own: nothing, if the shape is right."""
    drop = evaluation.results["psnr_matched"] - evaluation.results["novel_psnr_matched"]
    return {"novel_psnr_drop": drop}


def true_images(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """What the face segmenter finds in the true images: the bound of what it can find in renders."""
    tests = evaluation.tests
    true = [tests.truth("own", index)[0] for index in range(len(tests))]
    return _scores("truth", segment(evaluation, ((from_bytes(view.pixels), view.labels) for view in true)))


def style_alignment(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """Labels of the same heads in random styles: a style changes colours, no labels."""
    tests, count = evaluation.tests, evaluation.style_masks
    if not count:
        return {}
    own = segmented(evaluation, "own").first(count)
    styled = segment(evaluation, (pair for index in tests.numbers("segmenting styles", count) for pair in zip(
        tests.views("styles", index).rgb, tests.labels("styles", index), strict=True)))
    return {**_scores("unstyled", own), **_scores("styled", styled),
            "style_miou_drop": own.score.miou - styled.score.miou}


def _heads(evaluation: Evaluation) -> HeldOutViews:
    assert isinstance(evaluation.tests, HeldOutViews), "these metrics are of held-out heads"
    return evaluation.tests


def _scores(name: str, views: Segmented) -> dict[str, float]:
    score = views.score
    return {f"{name}_miou": score.miou, f"{name}_pixel_accuracy": score.pixel_accuracy}


def _meanings(name: str, images: str) -> dict[str, tuple[str, str]]:
    return {f"{name}_miou": (f"mIoU of {images}", ""), f"{name}_pixel_accuracy": (f"pixel accuracy of {images}", "")}


METRICS = [
    Metric({"decoder": ()}, {
        "decoder_psnr": ("decoder alone, from the heads' own codes, 64 px: PSNR, dB", "higher")}, decoder_alone),
    Metric({"code_spread": ()}, {
        "code_spread": ("spread of the shape codes over masks / over heads", "higher")}, spread),
    Metric({"shuffled": ("face_segmenter",)}, {
        "shuffled_psnr": ("PSNR with another head's mask, dB", ""),
        "shuffled_psnr_drop": ("loss of PSNR with another head's mask, dB", "higher"),
        **_meanings("shuffled", "images from another head's mask")}, shuffled_masks),
    Metric({"novel_drop": ()}, {
        "novel_psnr_drop": ("loss of the matched PSNR in other views, dB", "lower")}, novel_views, ("own", "novel")),
    Metric({"truth": ("face_segmenter",)}, _meanings("truth", "the true images, segmented"), true_images),
    Metric({"style_alignment": ("face_segmenter",)}, {
        **_meanings("unstyled", "the heads that are also shown in styles"), **_meanings("styled", "random styles"),
        "style_miou_drop": ("loss of mIoU with random styles", "lower")}, style_alignment, ("own", "styles")),
    Metric({"edits": ()}, {
        "edit_fraction_least": ("fraction of the change inside the edited region, least of all edits", "higher"),
        "edit_fraction_mean": ("the same, mean of all edits", "higher")},
        lambda evaluation, names: edit_fractions(evaluation.shared["edits"])),
]


def edit_fractions(edits: dict[str, float]) -> dict[str, float]:
    """Of `synth_heads.evaluation.edits.render_edits`."""
    return {"edit_fraction_least": min(edits.values()), "edit_fraction_mean": float(np.mean(list(edits.values())))}
