"""The training loop: steps of an objective; curves, images, validation and checkpoints at their intervals."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.checkpoints import FORMAT
from training.objectives.objective import Objective
from training.runtime.checkpoints import CheckpointFolder
from training.runtime.logs import RunLog
from training.runtime.loss_record import LossRecord
from training.runtime.processes import StopRequest, World
from training.runtime.state import counters, random_state, restore_random_state
from training.runtime.weight_average import WeightAverage
from utils.errors import UserError
from utils.files import make_folder, write_text


class TrainingLoop:
    """One run. `global_step` counts finished optimiser steps, `samples_seen` the samples they took over all processes.

    Args:
        objective: with its start weights.
        contents: the checkpoint to continue; None for a start at step 0.

    Raises:
        UserError: the checkpoint does not fit the objective.
    """

    def __init__(self, objective: Objective, world: World, contents: Mapping[str, Any] | None = None) -> None:
        self.objective, self.opts, self.world = objective, objective.opts, world
        self.files = CheckpointFolder(Path(self.opts.exp_dir) / "checkpoints", self.opts.keep_checkpoints)
        self.record, self.waited = LossRecord(), 0.0
        self.global_step, self.samples_seen, self.best_val_loss = counters(contents, objective.step_samples,
                                                                           objective.measure)
        if contents is not None:
            objective.restore(contents)
            if math.isinf(self.best_val_loss) and math.isfinite(contents.get("best_val_loss") or math.inf):
                world.report(f"the lowest validation loss so far, {contents['best_val_loss']:.4g}, was measured in "
                             "another way and does not compare: the next validation chooses best_model.pt anew")
        objective.schedule(self.global_step)
        self.average = WeightAverage(objective.model, self.opts.ema) if self.opts.ema else None
        # while inside, the model has its averaged weights, if there is an average
        self._averaged = contextlib.nullcontext if self.average is None else self.average.in_place
        if self.average is not None and contents is not None and "train_state_dict" in contents:
            self.average.load(contents["state_dict"])
        restore_random_state(contents, world)

    def train(self, log: RunLog) -> str:
        """Train up to `max_steps`, or until the run is told to stop.

        Returns:
            how it ended, for the console.

        Raises:
            UserError: a loss or a weight became NaN or infinite, the data cannot be used, or the disk is full.
        """
        opts = self.opts
        start = self.global_step
        with StopRequest(self.world) as stop, contextlib.closing(self.objective):
            while self.global_step < opts.max_steps:
                try:
                    self._step(log)
                except UserError as error:  # a file that was readable at the start is not any more
                    if self.global_step == start or not self.world.is_main:
                        raise
                    self.files.save(self.contents(alone=True))
                    raise UserError(f"{error}; what was trained up to step {self.global_step} is saved, mend this and "
                                    "go on with `auto_resume`") from error
                step, last = self.global_step, self.global_step >= opts.max_steps
                stopping = stop.agreed() and not last
                milestone = last or bool(opts.save_interval and step % opts.save_interval == 0)
                saving = milestone or stopping or step % opts.latest_interval == 0
                if saving or step % opts.board_interval == 0:
                    log.losses(step, self.record.means(self.world), self.learning_rates, self.waited)
                    self.waited = 0.0
                elif self.world.size == 1 and self.world.device.type == "cpu":
                    self.record.check_last()
                if opts.val_interval and not stopping and (last or step % opts.val_interval == 0):
                    self._validate(log, stop)
                if saving:
                    self._save(milestone)
                    log.pause()
                if stopping:
                    return f"stopped at step {step} ({stop.received or 'another process was told to stop'})"
        return f"finished at step {self.global_step}"

    @property
    def learning_rates(self) -> dict[str, float]:
        """Of each optimiser's first parameters, now, by the name of its curve."""
        return {"lr_dis" if name.startswith("dis") else "lr": optimizer.param_groups[0]["lr"]
                for name, optimizer in self.objective.optimizers.items()}

    def _step(self, log: RunLog) -> None:
        result = self.objective.step(self.global_step, self.samples_seen)
        self.global_step += 1
        self.samples_seen += result.samples
        self.waited += result.waited
        for terms, names in result.losses:
            self.record.add(self.global_step, terms, names)
        self.objective.schedule(self.global_step)
        if self.average is not None:
            self.average.update(self.global_step)
        if result.panel is not None:
            log.image("train", self.global_step, result.panel)
        log.advance()

    def _validate(self, log: RunLog, stop: StopRequest) -> None:
        """Validate; a new lowest loss is kept as best_model.pt."""
        with self._averaged():
            result = self.objective.validate(lambda: stop.received is not None)
        log.pause()
        if result is None:
            return
        log.scalars("test", self.global_step, result.metrics)
        if result.panel is not None:
            log.image("test", self.global_step, result.panel)
        better = result.loss < self.best_val_loss
        shown = "  ".join(f"{name.removeprefix('loss_')} {value:.4g}" for name, value in result.metrics.items())
        log.say(f"validation at step {self.global_step}: {shown}{' (best)' if better else ''}")
        if better:
            self.best_val_loss = result.loss
            contents = self.contents()
            if self.world.is_main:
                self.files.save_best(contents)

    def _save(self, milestone: bool) -> None:
        contents = self.contents()
        if self.world.is_main:
            self.files.save(contents, milestone)
            self.objective.export(self.files.folder, contents)

    def contents(self, alone: bool = False) -> dict[str, Any]:
        """A checkpoint (call it on every process). With an average of the weights, `state_dict` is the average, for
        use, and `train_state_dict` what training goes on from.

        Args:
            alone: the other processes do not call it; their random states, which training does not need, are missing.

        Raises:
            UserError: a weight is NaN or infinite.
        """
        objective = self.objective
        self._check_weights()
        own_state = random_state(self.world)
        random_states = [own_state] if alone else self.world.gather(own_state)
        own = {} if self.average is None else {"train_state_dict": dict(objective.model.state_dict())}
        with self._averaged():
            state, mean = objective.model.state_dict(), objective.mean_code()
        trained = {**objective.modules, **objective.optimizers}
        return {
            "format": FORMAT, "state_dict": dict(state), **own, **objective.facts, "opts": vars(self.opts),
            "latent_avg": (mean.frequencies, mean.phase_shifts), "global_step": self.global_step,
            "samples_seen": self.samples_seen, "best_val_loss": self.best_val_loss,
            "measure": dict(objective.measure), "rng": random_states,
            **{name: part.state_dict() for name, part in trained.items()},
        }

    def _check_weights(self) -> None:
        for module in (self.objective.model, *self.objective.modules.values()):
            weights = {name: weight.detach() for name, weight in module.named_parameters()}
            finite = torch.stack([weight.norm() for weight in weights.values()]).isfinite().tolist()
            for name in (name for name, good in zip(weights, finite, strict=True) if not good):
                raise UserError(f"step {self.global_step}: weight {name} has become NaN or infinite; no checkpoint is "
                                "written, the last one is from before. Continue it with a smaller `learning_rate` or "
                                "with `grad_clip` 1")


def run(objective: Objective, world: World, contents: Mapping[str, Any] | None, argv: Sequence[str], script: str
        ) -> None:
    """Train in `exp_dir`, with its log and the list of its options.

    Args:
        contents: as of `TrainingLoop`.
        argv, script: the command line, for train.bash.

    Raises:
        UserError: as of `TrainingLoop` and its `train`.
    """
    opts, loop = objective.opts, TrainingLoop(objective, world, contents)
    exp_dir = Path(opts.exp_dir)
    if world.is_main:
        make_folder(exp_dir / "checkpoints")
        write_text(exp_dir / "opt.json", json.dumps(vars(opts), indent=2, sort_keys=True) + "\n")
    start = loop.global_step
    log = RunLog(exp_dir, start, opts.max_steps, active=world.is_main, progress=opts.progress)
    try:
        log.command(argv, script, world)
        log.stamp(f"started at step {start} ({world.size} process{'es' * (world.size > 1)}, {world.device.type})")
        ending = loop.train(log)
        log.stamp(ending)
        wrote = loop.global_step > start
        log.say(f"{ending}; " + (f"checkpoints in {exp_dir / 'checkpoints'}" if wrote else
                                 "no step was left to train, so no checkpoint was written; give a larger number"))
    finally:
        log.close()
