"""What variants of a training reach: each model's scores, then means, spreads and differences over seeds.

    figures = examine(model, Examination(heads=16, seed=1001, size=64, segmenter=path), Path("out/heads"))
    rows = {"full": [figures of seed 0, of seed 1, ...], "without_patches": [...]}
    print(table(rows))                              # mean ± standard deviation over the seeds
    print(table(differences(rows, "full")))         # the same of (variant - full), seed by seed
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evaluation.metrics.registry import Evaluation, added
from evaluation.networks import NetworkFiles
from evaluation.run import load_networks, measure
from synth_heads.evaluation import metrics as held_out_metrics
from synth_heads.evaluation.heads import HeldOutHeads
from synth_heads.evaluation.views import HeldOutViews, render_settings

START = "warm_start_alone"  # row of the models that no image has trained yet

METRICS = ("code_spread", "psnr", "miou")

Figures = Mapping[str, float]  # of one training, by score
Rows = Mapping[str, Sequence[Figures]]

# score of `evaluation.metrics` or `synth_heads.evaluation.metrics` -> heading
HEADINGS = {
    "miou": "mIoU, own pose", "pixel_accuracy": "pixel accuracy", "novel_miou": "mIoU, novel view",
    "novel_pixel_accuracy": "pixel accuracy", "psnr": "PSNR, own, dB", "novel_psnr": "PSNR, novel, dB",
    "depth_error": "depth error, own", "novel_depth_error": "depth error, novel", "code_spread": "code spread",
}


@dataclass(frozen=True)
class Examination:
    """On what models are examined: the first SynthHeads of a seed, views of `size` pixels, a face segmenter's file."""

    heads: int
    seed: int
    size: int
    segmenter: Path


def examine(model: Path, examination: Examination, folder: Path) -> dict[str, float]:
    """Scores of a checkpoint on heads that no training saw, by name.

    Args:
        folder: keeps the heads, which all models are examined on.

    Raises:
        UserError: a file cannot be used.
    """
    settings = render_settings(model, examination.size, sampler="auto")
    heads = HeldOutHeads.make(folder, examination.heads, examination.seed, examination.size)
    fov_deg = settings.model.camera.fov_deg
    with tempfile.TemporaryDirectory() as renders, added(held_out_metrics.METRICS):
        networks = load_networks(METRICS, NetworkFiles(segmenter_weights=examination.segmenter), torch.device("cpu"))
        tests = HeldOutViews.render(heads, settings, Path(renders), comparisons=False)
        return measure(Evaluation(tests, networks, fov_deg, style_masks=0), METRICS)


@dataclass(frozen=True)
class Spread:
    """Of one score over seeds."""

    mean: float
    std: float  # sample standard deviation (n - 1); nan for a single value

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan)


def spreads(rows: Rows) -> dict[str, dict[str, Spread]]:
    """By row and score."""
    return {name: {score: Spread.of([figures[score] for figures in seeds]) for score in HEADINGS}
            for name, seeds in rows.items()}


def differences(rows: Rows, baseline: str) -> dict[str, list[dict[str, float]]]:
    """Figures of every other row minus those of `baseline` with the same seed.

    Seeds have start weights, order of the data and patches in common, so that this spread is smaller than that of two
    independent rows.
    """
    return {name: [{score: mine[score] - theirs[score] for score in HEADINGS}
                   for mine, theirs in zip(seeds, rows[baseline], strict=True)]
            for name, seeds in rows.items() if name != baseline}


def table(rows: Rows, signed: bool = False) -> str:
    """Markdown: one row each, mean ± standard deviation of every score."""
    lines = [f"| | {' | '.join(HEADINGS.values())} |", "|---" * (len(HEADINGS) + 1) + "|"]
    for name, row in spreads(rows).items():
        cells = [_number(spread, decimals=2 if score.endswith("psnr") else 3, signed=signed)
                 for score, spread in row.items()]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def report(rows: Rows, baseline: str) -> str:
    """Both tables: the rows as they are, and the trained ones as differences from `baseline`."""
    compared = differences({name: row for name, row in rows.items() if name != START}, baseline)
    parts = [table(rows)]
    if compared:
        parts.append(f"Difference from \"{baseline.replace('_', ' ')}\", seed by seed:\n\n{table(compared, True)}")
    return "\n".join(parts)


def _number(spread: Spread, decimals: int, signed: bool) -> str:
    if not math.isfinite(spread.mean):  # the code spread of a single head, say
        return "-"
    mean = f"{spread.mean:{'+' if signed else ''}.{decimals}f}"
    return mean if math.isnan(spread.std) else f"{mean} ± {spread.std:.{decimals}f}"
