"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from training.ranger import Ranger
from utils.errors import UserError

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "ranger": Ranger, "adam": torch.optim.Adam,
    "adamw": partial(torch.optim.AdamW, weight_decay=0.05)}  # of the 2022 release (PyTorch's own is .01)
SCHEDULERS = ("none", "cosine")


class CosineSchedule:
    """Learning rates that fall from the optimiser's own to a fraction of it, along half a period of a cosine.

    `step_update(n)` sets the rate at point n of the curve, a function of n alone, so that a resumed run continues the
    same curve. Beyond `max_steps` it stays at the final rate.

    Args:
        max_steps: the step at which the final rate is reached; at least 1.
        warmup_steps: up to this step the rate climbs linearly from 0 instead.
        final_fraction: final rate of all parameter groups / first rate of the first group.
    """

    def __init__(self, optimizer: Optimizer, max_steps: int, warmup_steps: int = 0, final_fraction: float = 0.01
                 ) -> None:
        self.optimizer, self.max_steps = optimizer, max_steps
        self.warmup_steps, self.final_fraction = warmup_steps, final_fraction
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"])
        if warmup_steps:
            self.step_update(0)

    def step_update(self, step: int) -> None:
        """Set the rates at point `step` of the curve."""
        final = self.final_fraction * self.optimizer.param_groups[0]["initial_lr"]
        for group in self.optimizer.param_groups:
            first = group["initial_lr"]
            if step < self.warmup_steps:
                group["lr"] = step * (first / self.warmup_steps)
            elif step < self.max_steps:
                cosine = math.cos(math.pi * step / self.max_steps)
                group["lr"] = final + 0.5 * (first - final) * (1 + cosine)
            else:
                group["lr"] = final


def build_optimizer(name: str, params: Iterable[Any], lr: float, **settings: Any) -> Optimizer:
    """`ranger`, `adam` or `adamw` on parameters (or groups), with that optimiser's defaults unless `settings` say else.

    Raises:
        UserError: there is no such optimiser.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"`optim_name` {name}: choose one of {', '.join(OPTIMIZERS)}")
    optimizer = OPTIMIZERS[name](params, lr=lr, **settings)
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer


def build_scheduler(name: str, optimizer: Optimizer, max_steps: int, warmup_steps: int = 0, final_fraction: float = 0.01
                    ) -> CosineSchedule | None:
    """`none` (no schedule: None), or `cosine`: a `CosineSchedule`, see there.

    Raises:
        UserError: there is no such schedule.
    """
    if name not in SCHEDULERS:
        raise UserError(f"`scheduler_name` {name}: choose one of {', '.join(SCHEDULERS)}")
    return None if name == "none" else CosineSchedule(optimizer, max_steps, warmup_steps, final_fraction)


def restore_optimizer(optimizer: Optimizer, state: Any) -> bool:
    """Load a state if it is of this kind of optimiser, with as many parameters of the same shapes.

    The learning rate becomes the groups' `initial_lr`: rate and schedule follow from the options and the step.

    Returns:
        whether it fits.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        saved = [index for group in state["param_groups"] for index in group["params"]]
        same_kind = set(optimizer.param_groups[0]) - {"params", "initial_lr"} <= set(state["param_groups"][0])
        moments = [(state["state"][index]["exp_avg"].shape, p.shape)
                   for index, p in zip(saved, parameters) if index in state["state"]]
        kinds = {frozenset(values) for values in state["state"].values()}
    except (KeyError, TypeError, AttributeError):
        return False
    lookahead = all(("slow_buffer" in keys) == isinstance(optimizer, Ranger) for keys in kinds)
    if not (same_kind and lookahead and len(saved) == len(parameters) and all(old == new for old, new in moments)):
        return False
    rates = [group["initial_lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = group["initial_lr"] = rate
    return True
