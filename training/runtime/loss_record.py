"""The losses of the last steps, kept on the device until somebody wants to know: no step waits for its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from training.runtime.processes import World
from utils.errors import UserError


class _Entry(NamedTuple):
    step: int
    names: tuple[str, ...]  # of the losses
    samples: tuple[str, ...]
    values: Float[Tensor, " losses"]


class LossRecord:
    """Collects losses; `means` reads them (on every process at the same step) and starts anew."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, step: int, terms: Mapping[str, Float[Tensor, ""]], samples: Sequence[str]) -> None:
        """Losses of one step (or micro-batch), by name, and the names of its samples."""
        values = torch.stack([term.float() for term in terms.values()])
        self._entries.append(_Entry(step, tuple(terms), tuple(samples), values))

    def check_last(self) -> None:
        """Look at the newest entry at once (for a single process on a CPU, where that costs nothing).

        Raises:
            UserError: as `means`.
        """
        _refuse(_read(self._entries[-1:])[1])

    def means(self, world: World) -> dict[str, float]:
        """Mean of each loss over the steps and processes since the last call.

        Raises:
            UserError: a loss was NaN or infinite, with its step, its name and its samples.
        """
        everyone = world.gather(_read(self._entries))
        self._entries.clear()
        _refuse([problem for _, found in everyone for problem in found])
        names = {name: None for sums, _ in everyone for name in sums}
        parts = {name: [sums[name] for sums, _ in everyone if name in sums] for name in names}
        return {name: sum(t for t, _ in part) / sum(n for _, n in part) for name, part in parts.items()}


def _read(entries: Sequence[_Entry]) -> tuple[dict[str, tuple[float, int]], list[tuple[int, str]]]:
    """Sum and number of each loss; step and description of the first one that is no finite number."""
    values = iter(torch.cat([entry.values for entry in entries]).cpu().tolist() if entries else ())
    sums: dict[str, tuple[float, int]] = {}
    problems: list[tuple[int, str]] = []
    for entry in entries:
        for name, value in zip(entry.names, values):
            total, count = sums.get(name, (0.0, 0))
            sums[name] = total + value, count + 1
            if not math.isfinite(value):
                problems.append((entry.step, f"{name} is {value} (batch: {', '.join(entry.samples)})"))
    return sums, problems[:1]


def _refuse(problems: Sequence[tuple[int, str]]) -> None:
    if problems:
        step, what = min(problems)
        raise UserError(f"step {step}: {what}; the last checkpoint is from before. Look at these samples, or continue "
                        "with a smaller `learning_rate` or with `grad_clip` 1")
