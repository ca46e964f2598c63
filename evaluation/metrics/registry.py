"""All metrics by name. A metric is a file of this folder that ends in a `METRIC`; no other file names it.

    metrics = all_metrics()                # name, as in `--metrics` -> Metric
    metrics["psnr"].scores["psnr"]         # ("PSNR to the true image, dB", "higher")
"""

from __future__ import annotations

import contextlib
import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation import metrics as folder
from evaluation.networks import Networks
from evaluation.test_views import TestViews

NEEDS = ("inception", "lpips", "face_segmenter", "photographs")
NOVEL = "novel_"    # begins the names of scores of other views


@dataclass
class Evaluation:
    """What a metric computes its scores from."""

    tests: TestViews
    networks: Networks
    fov_deg: float                                                 # of the model's camera
    style_masks: int                                               # the first masks, which are rendered in styles too
    notes: list[str] = field(default_factory=list)                 # what was left out, for the report
    results: dict[str, float] = field(default_factory=dict)        # scores of the metrics before, by name
    shared: dict[Any, Any] = field(default_factory=dict)           # what several metrics compute from

    def named(self, kind: str, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores of one kind of views, by the names that they have in the report."""
        return {(NOVEL if kind == "novel" else "") + name: value for name, value in scores.items()}


@dataclass(frozen=True)
class Metric:
    """One metric, or several that are computed together."""

    needs: Mapping[str, tuple[str, ...]]        # its name (or names) in `--metrics` -> some of NEEDS
    scores: Mapping[str, tuple[str, str]]       # name of a score -> what it is, and which way is better ("": neither)
    compute: Callable[[Evaluation, Sequence[str]], dict[str, float]]    # scores, from its names that are asked for
    views: tuple[str, ...] = ("own",)           # kinds of `evaluation.rendering`; novel ones where the data has them
    wants: tuple[str, ...] = ()                 # networks that are used where their files are there


@dataclass
class MetricAccumulator:
    """Means of named values."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def result(self) -> dict[str, float]:
        """Without values that are not numbers (a view without any surface, say); nan if none is left."""
        kept = {name: [value for value in values if not math.isnan(value)] for name, values in self.values.items()}
        return {name: math.fsum(values) / len(values) if values else math.nan for name, values in kept.items()}


_ADDED: list[Metric] = []


@contextlib.contextmanager
def added(metrics: Sequence[Metric]) -> Iterator[None]:
    """While inside, metrics that have no file in this folder are known by their names, too."""
    before = list(_ADDED)
    _ADDED.extend(metrics)
    try:
        yield
    finally:
        _ADDED[:] = before


def all_metrics() -> dict[str, Metric]:
    """Name -> metric, in the order of the files' names."""
    modules = [importlib.import_module(f"{folder.__name__}.{module.name}")
               for module in pkgutil.iter_modules(folder.__path__)]
    found = [module.METRIC for module in modules if hasattr(module, "METRIC")]
    return {name: metric for metric in [*found, *_ADDED] for name in metric.needs}


def chosen_metrics(names: Sequence[str]) -> list[tuple[Metric, tuple[str, ...]]]:
    """The metrics that these names ask for, each with its own names among them, in the registry's order."""
    asked: dict[int, tuple[Metric, tuple[str, ...]]] = {}
    for name, metric in all_metrics().items():
        if name in names:
            asked[id(metric)] = (metric, (*asked.get(id(metric), (metric, ()))[1], name))
    return list(asked.values())


def needs_of(names: Sequence[str]) -> set[str]:
    """Everything of NEEDS that metrics of these names need."""
    metrics = all_metrics()
    return {need for name in names for need in metrics[name].needs[name]}


def score_meanings() -> dict[str, tuple[str, str]]:
    """What each score is, and which way is better, by the score's name."""
    return {name: meaning for metric in all_metrics().values() for name, meaning in metric.scores.items()}
