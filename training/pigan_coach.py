"""The loop of a decoder's pretraining: steps of one objective, curves, validation, checkpoints at their intervals.

It shares run folder, checkpoints, log, averaged weights and distributed code with `training.coach3d`; what a step is,
the objective says.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from models.checkpoints import FORMAT
from models.pigan.siren import FilmSiren, mean_code
from training.runtime.checkpoints import CheckpointFolder
from training.runtime.logs import RunLog
from training.runtime.loss_record import LossRecord
from training.runtime.processes import StopRequest, World
from training.runtime.weight_average import WeightAverage
from training.validation import Validation
from utils.errors import UserError
from utils.files import atomic_path

GENERATOR = "generator.pth"


@runtime_checkable
class Objective(Protocol):
    """What a decoder learns from.

    siren: the decoder, on its device. modules, optimizers: all that training changes besides, and what changes it, by
    the name a checkpoint keeps them under.
    """

    siren: FilmSiren
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]

    def schedule(self, step: int) -> None:
        """Set the learning rates of step number `step` (from 0)."""
        ...

    def step(self, step: int, samples_seen: int) -> tuple[dict[str, torch.Tensor], list[str], int]:
        """Take step number `step` (from 0), without schedules and averages. Returns its losses, the names of this
        process's samples, and how many samples all processes took."""
        ...

    def validate(self) -> Validation | None:
        """Metrics, of which `loss` chooses the best checkpoint, and a panel (call it on every process)."""
        ...


class PiganCoach:
    """One run.

    Args:
        opts: of options/pigan_options.py.
        objective: with its start weights.
        contents: a checkpoint to continue; None for a start at step 0.
    """

    def __init__(self, opts: Namespace, world: World, objective: Objective,
                 contents: Mapping[str, Any] | None = None, say: Callable[[str], None] = print) -> None:
        self.opts, self.world, self.objective = opts, world, objective
        self.files = CheckpointFolder(Path(opts.exp_dir) / "checkpoints", opts.keep_checkpoints)
        self.record = LossRecord()
        self.global_step, self.samples_seen, self.best_val_loss = 0, 0, float("inf")
        self.average = WeightAverage(objective.siren, opts.ema) if opts.ema else None
        if contents is not None:
            self._restore(contents, say)
        objective.schedule(self.global_step)

    def _restore(self, contents: Mapping[str, Any], say: Callable[[str], None]) -> None:
        siren = self.objective.siren
        try:
            siren.load_state_dict(_siren_part(contents["train_state_dict"]))
            for name, module in self.objective.modules.items():
                module.load_state_dict(contents[name])
            for name, optimizer in self.objective.optimizers.items():
                optimizer.load_state_dict(contents[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"`exp_dir` {self.opts.exp_dir}: its checkpoint is of another kind of run "
                            f"({str(error).splitlines()[0]}); give that run's options, or `overwrite` it") from error
        if self.average is not None:
            self.average.load(_siren_part(contents["state_dict"]))
        self.global_step, self.samples_seen = contents["global_step"], contents["samples_seen"]
        self.best_val_loss = contents["best_val_loss"]

    def train(self, log: RunLog) -> str:
        """Train up to `max_steps`, or until the run is told to stop. Says how it ended.

        Raises:
            UserError: a loss or a weight became NaN or infinite, or the disk is full.
        """
        opts = self.opts
        with StopRequest(self.world) as stop:
            while self.global_step < opts.max_steps:
                terms, names, count = self.objective.step(self.global_step, self.samples_seen)
                self.global_step += 1
                self.samples_seen += count
                self.record.add(self.global_step, terms, names)
                self.objective.schedule(self.global_step)
                if self.average is not None:
                    self.average.update(self.global_step)
                log.advance()
                step, last = self.global_step, self.global_step >= opts.max_steps
                stopping = stop.agreed() and not last
                milestone = bool(opts.save_interval and step % opts.save_interval == 0)
                saving = last or stopping or milestone or step % opts.latest_interval == 0
                if saving or step % opts.board_interval == 0:
                    rate = next(iter(self.objective.optimizers.values())).param_groups[0]["lr"]
                    log.losses(step, self.record.means(self.world), rate)
                if opts.val_interval and not stopping and (last or step % opts.val_interval == 0):
                    self._validate(log)
                if saving:
                    self._save(milestone)
                    log.pause()
                if stopping:
                    return f"stopped at step {step} ({stop.received or 'another process was told to stop'})"
        return f"finished at step {self.global_step}"

    def _validate(self, log: RunLog) -> None:
        if self.average is None:
            result = self.objective.validate()
        else:
            with self.average.in_place():
                result = self.objective.validate()
        log.pause()
        if result is None:
            return
        log.scalars("val", self.global_step, result.metrics)
        if result.panel is not None:
            log.image("val", self.global_step, result.panel)
        better = result.loss < self.best_val_loss
        shown = "  ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
        log.say(f"validation at step {self.global_step}: {shown}{' (best)' if better else ''}")
        if better:
            self.best_val_loss = result.loss
            contents = self._contents()
            if self.world.is_main:
                self.files.save_best(contents)

    def _save(self, milestone: bool) -> None:
        contents = self._contents()
        if not self.world.is_main:
            return
        self.files.save(contents, milestone)
        with atomic_path(self.files.folder / GENERATOR) as path:
            torch.save({key.removeprefix("decoder."): value for key, value in contents["state_dict"].items()}, path)

    def _contents(self) -> dict[str, Any]:
        """A checkpoint. `state_dict` is the averaged decoder, `train_state_dict` what training goes on from."""
        siren, objective = self.objective.siren, self.objective
        weights = {f"decoder.siren.{key}": value.clone() for key, value in siren.state_dict().items()}
        averaged = weights
        mean = mean_code(siren)
        if self.average is not None:
            with self.average.in_place():
                averaged = {f"decoder.siren.{key}": value.clone() for key, value in siren.state_dict().items()}
                mean = mean_code(siren)
        if not all(value.isfinite().all() for value in weights.values()):
            raise UserError(f"step {self.global_step}: a weight of the decoder has become NaN or infinite; no "
                            "checkpoint is written, the last one is from before. Continue it with smaller "
                            "learning rates")
        return {
            "format": FORMAT, "state_dict": averaged, "train_state_dict": weights, "opts": vars(self.opts),
            "latent_avg": (mean.frequencies, mean.phase_shifts), "global_step": self.global_step,
            "samples_seen": self.samples_seen, "best_val_loss": self.best_val_loss,
            **{name: module.state_dict() for name, module in objective.modules.items()},
            **{name: optimizer.state_dict() for name, optimizer in objective.optimizers.items()},
        }


def _siren_part(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("decoder.siren."): value for key, value in state.items()}
