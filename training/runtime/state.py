"""Parts of a run's state in its checkpoint: counters and random generators."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from training.runtime.processes import World


def counters(contents: Mapping[str, Any] | None, step_samples: int, measure: Mapping[str, Any] | None = None
             ) -> tuple[int, int, float]:
    """Finished steps, samples that they took over all processes, and the lowest validation loss so far: infinity where
    there is none, or none of the same measure.

    Args:
        contents: of a checkpoint; None for a start at step 0. Files of the 2022 release hold the number of their last
            step, counted from 0, and no number of samples.
        step_samples: samples of one step, for such files.
        measure: what the validation loss is made of now, see `Objective.measure`.
    """
    if contents is None:
        return 0, 0, math.inf
    best = contents.get("best_val_loss")
    best = math.inf if best is None or contents.get("measure", {}) != dict(measure or {}) else float(best)
    if "samples_seen" in contents:
        return int(contents["global_step"]), int(contents["samples_seen"]), best
    done = int(contents.get("global_step", -1)) + 1
    return done, done * step_samples, best


def random_state(world: World) -> dict[str, Any]:
    """Of this process's generators.

    Training itself draws nothing from them (see `training.step_noise`); this is for what a library draws.
    """
    on_gpu = torch.cuda.get_rng_state(world.device) if world.device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": on_gpu}


def restore_random_state(contents: Mapping[str, Any] | None, world: World) -> None:
    """Continue this process's generators, if the checkpoint is of as many processes."""
    states = (contents or {}).get("rng") or []
    if len(states) == world.size:
        torch.set_rng_state(states[world.rank]["cpu"])
        if world.device.type == "cuda" and states[world.rank]["cuda"] is not None:
            torch.cuda.set_rng_state(states[world.rank]["cuda"], world.device)
