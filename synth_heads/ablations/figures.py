"""What variants of a training reach: each model's figures, then means, spreads and differences over seeds.

    figures = examine(model, Examination(heads=16, seed=1001, size=64, parser=path))
    rows = {"full": [figures of seed 0, of seed 1, ...], "without_patches": [...]}
    print(table(rows))                              # mean ± standard deviation over the seeds
    print(table(differences(rows, "full")))         # the same of (variant - full), seed by seed
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.masks.maps import MaskTransform
from evaluation.face_segmentation.registry import load_segmenter
from models.checkpoints import read_checkpoint
from models.sem2nerf import Sem2NeRF
from synth_heads.evaluation.examination import Tally, examine_views, summary
from synth_heads.evaluation.trials import Trial, make_trial

START = "warm_start_alone"  # row of the models that no image has trained yet

Figures = Mapping[str, float]  # of one training, by measure
Rows = Mapping[str, Sequence[Figures]]

# measure of synth_heads.evaluation.examination -> heading
HEADINGS = {
    "own_miou": "mIoU, own pose", "own_accuracy": "pixel accuracy", "novel_miou": "mIoU, novel view",
    "novel_accuracy": "pixel accuracy", "own_psnr": "PSNR, own, dB", "novel_psnr": "PSNR, novel, dB",
    "own_depth_error": "depth error, own", "novel_depth_error": "depth error, novel", "code_spread": "code spread",
}


@dataclass(frozen=True)
class Examination:
    """On what models are examined: so many SynthHeads of a seed, views of `size` pixels, a face parser's file."""

    heads: int
    seed: int
    size: int
    parser: Path


def examine(model: Path, examination: Examination) -> dict[str, float]:
    """Figures of a checkpoint, see `synth_heads.evaluation.examination.summary`.

    Raises:
        UserError: a file cannot be used.
    """
    contents, parser = read_checkpoint(model), load_segmenter("synthheads", examination.parser)
    net, transform, tally = Sem2NeRF.from_contents(contents, model), MaskTransform.from_opts(contents["opts"]), Tally()
    for number in range(examination.heads):
        trial = _trial(number, examination.seed, examination.size)
        tally.merge(examine_views(net, parser, trial, transform, examination.size)[0])
    return summary(tally)


@functools.cache
def _trial(number: int, seed: int, size: int) -> Trial:
    """A process that examines several models draws each head once."""
    return make_trial(number, seed, size)


@dataclass(frozen=True)
class Spread:
    """Of one measure over seeds."""

    mean: float
    std: float  # sample standard deviation (n - 1); nan for a single value

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan)


def spreads(rows: Rows) -> dict[str, dict[str, Spread]]:
    """By row and measure."""
    return {name: {measure: Spread.of([figures[measure] for figures in seeds]) for measure in HEADINGS}
            for name, seeds in rows.items()}


def differences(rows: Rows, baseline: str) -> dict[str, list[dict[str, float]]]:
    """Figures of every other row minus those of `baseline` with the same seed.

    Seeds have start weights, order of the data and patches in common, so that this spread is smaller than that of two
    independent rows.
    """
    return {name: [{measure: mine[measure] - theirs[measure] for measure in HEADINGS}
                   for mine, theirs in zip(seeds, rows[baseline], strict=True)]
            for name, seeds in rows.items() if name != baseline}


def table(rows: Rows, signed: bool = False) -> str:
    """Markdown: a row each, mean ± standard deviation of every measure."""
    lines = [f"| | {' | '.join(HEADINGS.values())} |", "|---" * (len(HEADINGS) + 1) + "|"]
    for name, row in spreads(rows).items():
        cells = [_number(spread, decimals=2 if measure.endswith("psnr") else 3, signed=signed)
                 for measure, spread in row.items()]
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
