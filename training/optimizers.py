"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from timm.scheduler import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer

from training.ranger import Ranger
from utils.errors import UserError

OPTIMIZERS = {"ranger": Ranger, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
SCHEDULERS = ("none", "cosine")


def build_optimizer(name: str, params: Iterable[Any], lr: float, **settings: Any) -> Optimizer:
    """`ranger`, `adam` or `adamw` on parameters (or groups), with that optimiser's defaults unless `settings` say else.

    Raises:
        UserError: there is no such optimiser.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"`optim_name` {name}: choose one of {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](params, lr=lr, **settings)


def build_scheduler(
    name: str, optimizer: Optimizer, max_steps: int, warmup_steps: int = 0, final_fraction: float = 0.01
) -> Scheduler | None:
    """`none` (no schedule: None), or `cosine`: from the optimiser's rate down to a fraction of it at `max_steps`.

    Call `scheduler.step_update(n)` after step n (1, 2, ...): the rate is a function of n alone, so that a resumed run
    continues the same curve. Beyond `max_steps` it stays at the final rate.

    Args:
        warmup_steps: the rate first climbs linearly from 0 over so many steps.
        final_fraction: final rate / first rate (of the first parameter group).

    Raises:
        UserError: there is no such schedule.
    """
    if name not in SCHEDULERS:
        raise UserError(f"`scheduler_name` {name}: choose one of {', '.join(SCHEDULERS)}")
    if name == "none":
        return None
    return CosineLRScheduler(
        optimizer, t_initial=max_steps, lr_min=final_fraction * optimizer.param_groups[0]["lr"],
        warmup_t=warmup_steps, t_in_epochs=False,
    )
