"""The losses of the last steps, kept on the device until somebody wants to know: no step waits for its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from training.runtime.processes import World
from utils.errors import UserError


@dataclass(frozen=True)
class _Entry:
    step: int
    names: tuple[str, ...]  # of the losses
    samples: tuple[str, ...]
    values: Float[Tensor, " losses"]

    def problem(self, values: Sequence[float]) -> str | None:
        """What is wrong with the first loss that is no finite number."""
        for name, value in zip(self.names, values, strict=True):
            if not math.isfinite(value):
                return f"step {self.step}: {name} is {value} (batch: {', '.join(self.samples)})"
        return None


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
        problem = self._entries[-1].problem(self._entries[-1].values.tolist())
        if problem is not None:
            raise _not_finite(problem)

    def means(self, world: World) -> dict[str, float]:
        """Mean of each loss over the steps and processes since the last call.

        Raises:
            UserError: a loss was NaN or infinite, with its step, its name and its samples.
        """
        values = torch.cat([entry.values for entry in self._entries]).cpu().tolist() if self._entries else []
        sums: dict[str, tuple[float, int]] = {}
        problems: list[tuple[int, str]] = []
        start = 0
        for entry in self._entries:
            own = values[start:start + len(entry.names)]
            start += len(own)
            for name, value in zip(entry.names, own, strict=True):
                total, count = sums.get(name, (0.0, 0))
                sums[name] = total + value, count + 1
            problem = entry.problem(own)
            if problem is not None:
                problems.append((entry.step, problem))
        self._entries.clear()
        everyone = world.gather((sums, problems[:1]))
        problems = sorted(problem for _, found in everyone for problem in found)
        if problems:
            raise _not_finite(problems[0][1])
        names = {name: None for sums, _ in everyone for name in sums}
        parts = {name: [sums[name] for sums, _ in everyone if name in sums] for name in names}
        return {name: sum(t for t, _ in part) / sum(n for _, n in part) for name, part in parts.items()}


def _not_finite(problem: str) -> UserError:
    return UserError(f"{problem}; the last checkpoint is from before. Look at these samples, or continue with a "
                     "smaller `learning_rate` or with `grad_clip` 1")
