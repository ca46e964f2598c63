"""The training loop: batches in, losses, steps; curves, pictures, validation and checkpoints at their intervals."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from datasets.sample_stream import Share
from training import build
from training.checkpoint import CheckpointFolder
from training.distributed import StopRequest, World
from training.draws import draw
from training.ema import WeightAverage
from training.loading import checked, to_device, training_loader, validation_loader
from training.loss_record import LossRecord
from training.optimizers import build_optimizer, build_scheduler
from training.panels import mask_picture, panel, photo_picture, with_frame
from training.run_log import RunLog
from training.run_state import optimizer_state_fits, own_random_state, restore_random_state
from training.stages import Stage, read_stages, stage_at
from training.train_step import Batch, DiscriminatorPass, Draws, GeneratorLosses, PatchGenerator, TrainStep
from training.validation import shard, validate
from utils.errors import UserError

PANEL_ROWS = 4


class Coach3D:
    """One run.

    Args:
        opts: all options, checked (see options/train_options.py).
        world: this process among all.
        contents: a checkpoint to start from; its optimisers and step count only if `resume`.
        source: where it comes from.
        say: prints a line.
    """

    def __init__(self, opts: Namespace, world: World, contents: dict[str, Any] | None = None,
                 source: Path | None = None, resume: bool = False, say: build.Say = print) -> None:
        self.stages = read_stages(opts.pigan_steps_conf)
        opts = build.settle(opts, self.stages)
        self.opts, self.world = opts, world
        self.weights, self.validation_settings = build.loss_weights(opts), build.validation_settings(opts)
        self.data = build.build_data(opts, say)
        self.share = Share(opts.batch_size, world.rank, world.size, opts.grad_accum)
        torch.manual_seed(opts.seed)
        self.net = build.build_net(opts, contents, source, say).to(world.device)
        self.discriminator = build.build_discriminator(opts, self.stages, contents if resume else None)
        self.perceptual = build.build_perceptual(opts, world.device)
        earlier = contents if resume and contents is not None else {}
        self.global_step, self.samples_seen, self.best_val_loss = _progress(earlier, self.share.step_samples)

        if opts.compile:
            self.net.encoder.compile()
        generator = PatchGenerator(self.net, build.rendering(opts), amp=opts.amp == "bf16")
        self.draw_config = build.draw_config(opts, generator.drop_paths.count)
        static = opts.grad_accum == 1  # a static graph does not go with accumulating
        self.generator = world.parallel(generator, static)
        self.discriminator_pass = None
        if self.discriminator is not None:
            self.discriminator.to(world.device)
            self.discriminator_pass = world.parallel(DiscriminatorPass(self.discriminator), static)
        self.step = TrainStep(self.generator, self.net, self.weights, discriminator=self.discriminator,
                              discriminator_pass=self.discriminator_pass, perceptual=self.perceptual,
                              conditional=opts.use_cond_dis)

        trained = [*self.net.encoder.parameters(), *(self.net.decoder.parameters() if opts.train_decoder else ())]
        self.optimizer, self.scheduler = self._optimizer(trained, opts.learning_rate, earlier, "optimizer", say)
        self.optimizer_dis = self.scheduler_dis = None
        if self.discriminator is not None:
            self.optimizer_dis, self.scheduler_dis = self._optimizer(
                list(self.discriminator.parameters()), opts.learning_rate_dis, earlier, "dis_optimizer", say)
        self.average = None
        if opts.ema:
            self.average = WeightAverage(self.net, opts.ema)
            if "train_state_dict" in earlier:
                self.average.load(earlier["state_dict"])
        restore_random_state(earlier.get("rng"), world)
        self.files = CheckpointFolder(Path(opts.exp_dir) / "checkpoints", opts.keep_checkpoints)
        self.record = LossRecord()

    def _optimizer(self, parameters: list[nn.Parameter], rate: float, earlier: dict[str, Any], key: str,
                   say: build.Say) -> tuple[torch.optim.Optimizer, Any]:
        """With the state of a checkpoint, if it has one that fits. Rate and schedule follow from options and step."""
        optimizer = build_optimizer(self.opts.optim_name, parameters, rate)
        if key in earlier:
            if optimizer_state_fits(earlier[key], optimizer):
                optimizer.load_state_dict(earlier[key])
            else:
                say(f"the checkpoint's {key} is of another kind; this optimiser starts anew")
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = rate
        scheduler = build_scheduler(self.opts.scheduler_name, optimizer, self.opts.max_steps)
        if scheduler is not None:
            scheduler.step_update(self.global_step)
        return optimizer, scheduler

    def train(self, log: RunLog) -> str:
        """Train up to --max_steps, or until the run is told to stop. Says how it ended.

        Raises:
            UserError: a loss or a weight became NaN or infinite, the data cannot be used, or the disk is full.
        """
        opts = self.opts
        with StopRequest(self.world) as stop, contextlib.closing(self._batches()) as batches:
            while self.global_step < opts.max_steps:
                self._one_step(batches, log)
                log.advance()
                step, last = self.global_step, self.global_step == opts.max_steps
                if step % opts.board_interval == 0 or last:
                    log.losses(step, self.record.check(self.world), self.optimizer.param_groups[0]["lr"])
                elif self.world.size == 1 and self.world.device.type == "cpu":
                    self.record.peek()
                best = False
                if opts.val_interval and (step % opts.val_interval == 0 or last):
                    best = self._validate(log, stop)
                stopping = stop.agreed() and not last
                milestone = bool(opts.save_interval and step % opts.save_interval == 0)
                if milestone or last or best or stopping or step % opts.latest_interval == 0:
                    self._save(milestone or last, best)
                if stopping:
                    return f"stopped at step {step} by {stop.received or 'another process'}; continue with --auto_resume"
        return f"finished at step {self.global_step}"

    def _batches(self) -> Iterator[dict[str, Any]]:
        loader = training_loader(self.data.train, self.opts.seed, self.share, self.samples_seen, self.opts.workers,
                                 pin=self.world.device.type == "cuda")
        yield from checked(loader)

    def _one_step(self, batches: Iterator[dict[str, Any]], log: RunLog) -> None:
        """One optimiser step of each network, from one micro-batch or several."""
        stage, micro_batches = stage_at(self.stages, self.global_step), self.opts.grad_accum
        self.optimizer.zero_grad(set_to_none=True)
        if self.optimizer_dis is not None:
            self.optimizer_dis.zero_grad(set_to_none=True)
        for index in range(micro_batches):
            loaded = next(batches)
            batch, draws = self._sized(to_device(loaded, self.opts.label_nc, self.world.device), index, stage)
            side = stage.img_size if self.opts.patch_train else stage.resolution_vol
            with self._syncing(index == micro_batches - 1):
                generated = self.step.generator_losses(batch, draws, side)
                with self._discriminator_frozen():
                    (generated.total / micro_batches).backward()
                terms = generated.terms
                if self.discriminator_pass is not None:
                    judged = self.step.discriminator_losses(generated)
                    (judged.total / micro_batches).backward()
                    terms = {**terms, **judged.terms}
            self.record.add(self.global_step + 1, terms, loaded["name"])
        if self.opts.grad_clip:
            nn.utils.clip_grad_norm_([p for p in self.net.parameters() if p.requires_grad], self.opts.grad_clip)
        self.optimizer.step()
        if self.optimizer_dis is not None:
            self.optimizer_dis.step()
        self.global_step += 1
        self.samples_seen += self.share.step_samples
        for scheduler in (self.scheduler, self.scheduler_dis):
            if scheduler is not None:
                scheduler.step_update(self.global_step)
        if self.average is not None:
            self.average.update(self.global_step)
        if self.global_step % self.opts.image_interval == 0:
            self._show(log, loaded, batch, draws, generated)

    def _sized(self, batch: Batch, micro_batch: int, stage: Stage) -> tuple[Batch, Draws]:
        """The batch at the sizes of a stage, and its random draws."""
        positions = self.share.positions(self.samples_seen, micro_batch)
        draws = draw(self.draw_config, self.global_step, positions, self.samples_seen, self.share.step_samples,
                     stage.resolution_vol, self.world.device)
        if not self.opts.patch_train:  # every pixel of a small picture
            size = (stage.resolution_vol,) * 2
            batch = Batch(batch.masks, F.interpolate(batch.images, size, mode="bilinear", antialias=True), batch.poses)
        return batch, draws
