"""How much the styles of one mask differ.

    diversity(images, distance=l2)                       # images: 6 styles of one mask, in [-1, 1]
    diversity(images, distance=Perceptual())             # LPIPS, where its backbone is there
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from evaluation.metrics.registry import Evaluation, Metric, MetricAccumulator

STYLES, PAIRS = 6, 10

Distance = Callable[[Tensor, Tensor], Tensor]


def style_pairs(styles: int = STYLES, count: int = PAIRS, seed: int = 0) -> tuple[tuple[int, int], ...]:
    """`count` different pairs among `styles` images, the same each time; all of them if there are no more.

    Raises:
        ValueError: fewer than two images.
    """
    if styles < 2:
        raise ValueError(f"a pair needs two images, got {styles}")
    pairs = list(combinations(range(styles), 2))
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return tuple(pairs[index] for index in sorted(chosen.tolist()))


def diversity(images: Float[Tensor, "styles 3 height width"], distance: Distance,
              pairs: tuple[tuple[int, int], ...] | None = None) -> float:
    """Mean distance of the pairs (by default those of `style_pairs`).

    Args:
        distance: takes two batches (pairs, 3, height, width), returns the mean distance of their pairs.
    """
    first, second = zip(*(pairs or style_pairs(len(images))), strict=True)
    return float(distance(images[list(first)], images[list(second)]))


def l2(image: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"],
       ) -> Float[Tensor, ""]:
    """Root mean square difference of the colours of each pair, mean over the batch."""
    return (image - target).square().flatten(1).mean(1).sqrt().mean()


def style_diversity(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """Mean distance of 10 pairs among the styles of a mask, over the masks that were rendered in styles."""
    means, tests, perceptual = MetricAccumulator(), evaluation.tests, evaluation.networks.perceptual
    for index in tests.numbers("comparing styles", evaluation.style_masks):
        images = tests.views("styles", index).rgb
        means.add(diversity_l2=diversity(images, l2))
        if "lpips_diversity" in names and perceptual is not None:
            means.add(diversity_lpips=diversity(images, perceptual))
    return means.result()


METRIC = Metric(
    needs={"diversity": (), "lpips_diversity": ("lpips",)}, views=("styles",), compute=style_diversity,
    scores={
        "diversity_lpips": ("diversity: LPIPS of 10 pairs among 6 styles", "higher"),
        "diversity_l2": ("diversity: root mean square difference of the same pairs", "higher"),
    })
