"""What a run has become so far: weights, optimisers, schedules, averages and counters; to a checkpoint and back."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.checkpoints import FORMAT
from models.sem2nerf import Sem2NeRF
from training.optimizers import build_optimizer, build_scheduler
from training.runtime.processes import World
from training.runtime.weight_average import WeightAverage
from utils.errors import UserError


class RunState:
    """
    Args:
        opts: settled options.
        net, discriminator: on their device, with their weights; discriminator None without an adversarial term.
        earlier: contents of the checkpoint to continue; empty for a start at step 0.
        step_samples: samples of one step, over all processes.
        say: prints a line.

    `global_step` counts finished optimiser steps, `samples_seen` the samples they took, over all processes.
    """

    def __init__(self, opts: Namespace, net: Sem2NeRF, discriminator: nn.Module | None, earlier: Mapping[str, Any],
                 step_samples: int, say: Callable[[str], None]) -> None:
        self.opts, self.net, self.discriminator, self._say = opts, net, discriminator, say
        self.global_step, self.samples_seen, self.best_val_loss = _counters(earlier, step_samples)
        trained = [*net.encoder.parameters(), *(net.decoder.parameters() if opts.train_decoder else ())]
        self.optimizers = {"optimizer": self._optimizer(trained, opts.learning_rate, earlier.get("optimizer"))}
        if discriminator is not None:
            self.optimizers["dis_optimizer"] = self._optimizer(
                list(discriminator.parameters()), opts.learning_rate_dis, earlier.get("dis_optimizer"))
        self.schedulers = [build_scheduler(opts.scheduler_name, optimizer, opts.max_steps)
                           for optimizer in self.optimizers.values()]
        self._schedule()
        self.average = WeightAverage(net, opts.ema) if opts.ema else None
        if self.average is not None and "train_state_dict" in earlier:
            self.average.load(earlier["state_dict"])

    def _optimizer(self, parameters: list[nn.Parameter], rate: float, state: Any) -> Optimizer:
        """Continued where the state fits. Rate and schedule always follow from the options and the step."""
        optimizer = build_optimizer(self.opts.optim_name, parameters, rate)
        if state is not None:
            if _fits(state, optimizer):
                optimizer.load_state_dict(state)
            else:
                self._say("the checkpoint's optimiser is of another kind or size: its moments start anew")
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = rate
        return optimizer

    @property
    def learning_rate(self) -> float:
        """Of the encoder, now."""
        return self.optimizers["optimizer"].param_groups[0]["lr"]

    def zero_grad(self) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def update(self) -> None:
        """Take a step with the gradients that are there."""
        if self.opts.grad_clip:
            nn.utils.clip_grad_norm_([p for p in self.net.parameters() if p.requires_grad], self.opts.grad_clip)
        for optimizer in self.optimizers.values():
            optimizer.step()

    def count(self, samples: int) -> None:
        """A step of so many samples is done."""
        self.global_step += 1
        self.samples_seen += samples
        self._schedule()
        if self.average is not None:
            self.average.update(self.global_step)

    def _schedule(self) -> None:
        for scheduler in self.schedulers:
            if scheduler is not None:
                scheduler.step_update(self.global_step)

    def check_weights(self) -> None:
        """
        Raises:
            UserError: a weight is NaN or infinite.
        """
        for name, module in (("encoder or decoder", self.net), ("discriminator", self.discriminator)):
            parameters = [p.detach() for p in module.parameters()] if module is not None else []
            if parameters and not torch.stack(torch._foreach_norm(parameters)).isfinite().all():
                raise UserError(f"step {self.global_step}: a weight of the {name} has become NaN or infinite; no "
                                "checkpoint is written, the last one is from before. Continue it with a smaller "
                                "`learning_rate` or with `grad_clip` 1")

    def contents(self, world: World) -> dict[str, Any]:
        """A checkpoint (call it on every process). With an average of the weights, `state_dict` is the average, for
        use, and `train_state_dict` what training goes on from."""
        random_states = world.gather(_random_state(world))
        contents: dict[str, Any] = {
            "format": FORMAT,
            "state_dict": dict(self.net.state_dict()),
            "input": self.net.input.to_dict(),
            "opts": vars(self.opts),
            "latent_avg": (self.net.latent_avg.frequencies, self.net.latent_avg.phase_shifts),
            "global_step": self.global_step,
            "samples_seen": self.samples_seen,
            "best_val_loss": self.best_val_loss,
            "rng": random_states,
            **{name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }
        if self.discriminator is not None:
            contents["dis_state_dict"] = dict(self.discriminator.state_dict())
        if self.average is not None:
            contents["train_state_dict"] = contents["state_dict"]
            with self.average.in_place():
                contents["state_dict"] = dict(self.net.state_dict())
        return contents


def restore_random_state(earlier: Mapping[str, Any], world: World) -> None:
    """Generator states of this process, where the checkpoint is of as many processes.

    Training itself draws nothing from them (see `training.step_noise`); whatever a library draws goes on as well.
    """
    states = earlier.get("rng") or []
    if len(states) == world.size:
        torch.set_rng_state(states[world.rank]["cpu"])
        if world.device.type == "cuda" and states[world.rank]["cuda"] is not None:
            torch.cuda.set_rng_state(states[world.rank]["cuda"], world.device)


def _random_state(world: World) -> dict[str, Any]:
    on_gpu = torch.cuda.get_rng_state(world.device) if world.device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": on_gpu}


def _counters(earlier: Mapping[str, Any], step_samples: int) -> tuple[int, int, float]:
    """Steps done, samples seen, best validation loss.

    Files of the 2022 release hold the number of their last step, counted from 0, and no count of samples.
    """
    if not earlier:
        return 0, 0, math.inf
    best = earlier.get("best_val_loss")
    best = math.inf if best is None else float(best)
    if "samples_seen" in earlier:
        return int(earlier["global_step"]), int(earlier["samples_seen"]), best
    done = int(earlier.get("global_step", -1)) + 1
    return done, done * step_samples, best


def _fits(state: Any, optimizer: Optimizer) -> bool:
    """Whether a state is of this kind of optimiser, with as many parameters of the same shapes."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        saved = [index for group in state["param_groups"] for index in group["params"]]
        same_kind = set(optimizer.param_groups[0]) - {"params"} <= set(state["param_groups"][0])
        moments = [(state["state"][index]["exp_avg"].shape, p.shape)
                   for index, p in zip(saved, parameters) if index in state["state"]]
        kinds = {frozenset(values) for values in state["state"].values()}
    except (KeyError, TypeError, AttributeError):
        return False
    lookahead = all(("slow_buffer" in keys) == (type(optimizer).__name__ == "Ranger") for keys in kinds)
    return (same_kind and lookahead and len(saved) == len(parameters)
            and all(there == here for there, here in moments))
