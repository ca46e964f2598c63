"""The losses of the last steps, kept on the device until somebody wants to know: no step waits for its numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from training.distributed import World
from utils.errors import UserError


class LossRecord:
    """Collects losses; `means` reads them (on every process at the same step) and starts anew."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, tuple[str, ...], list[str], Tensor]] = []

    def add(self, step: int, terms: Mapping[str, Float[Tensor, ""]], samples: Sequence[str]) -> None:
        """Losses of one step (or micro-batch), by name, and the names of its samples."""
        self._entries.append((step, tuple(terms), list(samples), torch.stack([t.float() for t in terms.values()])))

    def check(self, world: World) -> dict[str, float]:
        """Mean of each loss over the steps and processes since the last call.

        Raises:
            UserError: a loss was NaN or infinite, with its step, its name and its samples.
        """
        values = torch.cat([entry[3] for entry in self._entries]).cpu().tolist() if self._entries else []
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        problem: tuple[int, str] | None = None
        remaining = iter(values)
        for step, names, samples, _ in self._entries:
            for name in names:
                value = next(remaining)
                sums[name][0] += value
                sums[name][1] += 1
                if problem is None and not abs(value) < float("inf"):
                    problem = step, f"step {step}: {name} is {value}; the batch was {', '.join(samples)}"
        self._entries.clear()
        everyone = world.gather((dict(sums), problem))
        problems = sorted(found for _, found in everyone if found is not None)
        if problems:
            raise UserError(f"{problems[0][1]}. The last checkpoint is from before; look at these samples, or continue "
                            "with a smaller --learning_rate or with --grad_clip 1")
        names = {name: None for sums, _ in everyone for name in sums}
        totals = {name: [sum(part) for part in zip(*(s[name] for s, _ in everyone if name in s))] for name in names}
        return {name: total / count for name, (total, count) in totals.items()}
