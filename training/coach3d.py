"""The training loop: batches in, losses, steps; curves, images, validation and checkpoints at their intervals."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch._dynamo.exc import TorchDynamoException
from torch.nn.parallel import DistributedDataParallel

from datasets.sample_stream import BatchShard
from training import build
from training.loading import checked, to_device, training_loader, validation_loader
from training.runtime.checkpoints import CheckpointFolder
from training.runtime.logs import RunLog
from training.runtime.loss_record import LossRecord
from training.runtime.processes import StopRequest, World
from training.runtime.state import RunState, restore_random_state
from training.size_schedule import Stage, read_stages, stage_at
from training.step import Batch, DiscriminatorLoss, GeneratorLosses, PatchGenerator, StepNoise, TrainStep
from training.step_noise import draw
from training.validation import shard, validate
from utils.errors import UserError
from utils.panels import mask_image, panel, photo_image, with_frame

PANEL_ROWS = 4
CAPTIONS = ("mask", "photograph", "target patch")


class Coach3D:
    """One run.

    Args:
        opts: all options, checked (see options/train_options.py).
        world: this process among all.
        contents: a checkpoint to start from: its weights, and with `resume` everything else too.
        source: where that comes from.
        say: prints a line.

    Raises:
        UserError: data, weights or settings cannot be used.
    """

    def __init__(self, opts: Namespace, world: World, contents: dict[str, Any] | None = None,
                 source: Path | None = None, resume: bool = False, say: build.Say = print) -> None:
        self.stages = read_stages(opts.pigan_steps_conf)
        self.opts, self.world = build.settle(opts, self.stages), world
        self.validation_settings = build.validation_settings(self.opts)
        self.data = build.build_data(self.opts, say)
        self.share = BatchShard(opts.batch_size, world.rank, world.size, opts.grad_accum)
        torch.manual_seed(opts.seed)
        self.net = build.build_net(self.opts, contents, source, say, resume).to(world.device)
        self.perceptual = build.build_perceptual(self.opts, world.device)
        earlier = contents if resume and contents is not None else {}
        self.discriminator = build.build_discriminator(self.opts, self.stages, earlier)
        if self.discriminator is not None:
            self.discriminator.to(world.device)
        self.state = RunState(self.opts, self.net, self.discriminator, earlier, self.share.step_samples, say)
        self._build_step()
        self.files = CheckpointFolder(Path(opts.exp_dir) / "checkpoints", opts.keep_checkpoints)
        self.record = LossRecord()
        restore_random_state(earlier, world)

    def _build_step(self) -> None:
        opts = self.opts
        if opts.compile:
            self.net.encoder.compile()
        generator = PatchGenerator(self.net, build.rendering(opts), amp=opts.amp == "bf16")
        self.draw_config = build.draw_config(opts, self.net.encoder.drop_path_layers)
        static = opts.grad_accum == 1  # DDP cannot both accumulate and rely on a static graph
        judge = None
        if self.discriminator is not None:
            judge = self.world.parallel(DiscriminatorLoss(self.discriminator), static)
        self.step = TrainStep(
            self.world.parallel(generator, static), self.net, build.loss_weights(opts), perceptual=self.perceptual,
            discriminator=self.discriminator, discriminator_pass=judge, conditional=opts.use_cond_dis,
        )

    def train(self, log: RunLog) -> str:
        """Train up to `max_steps`, or until the run is told to stop. Says how it ended.

        Raises:
            UserError: a loss or a weight became NaN or infinite, the data cannot be used, or the disk is full.
        """
        opts, state = self.opts, self.state
        with StopRequest(self.world) as stop, contextlib.closing(self._batches()) as batches:
            while state.global_step < opts.max_steps:
                try:
                    self._one_step(batches, log)
                except TorchDynamoException as error:
                    raise UserError("`compile`: PyTorch cannot compile the encoder on this machine (a C++ compiler and "
                                    "Python's headers are needed); leave it out, or see why with `debug`") from error
                log.advance()
                step, last = state.global_step, state.global_step >= opts.max_steps
                stopping = stop.agreed() and not last
                milestone = last or bool(opts.save_interval and step % opts.save_interval == 0)
                saving = milestone or stopping or step % opts.latest_interval == 0
                if saving or step % opts.board_interval == 0:
                    log.losses(step, self.record.means(self.world), state.learning_rate)
                elif self.world.size == 1 and self.world.device.type == "cpu":
                    self.record.check_last()
                if opts.val_interval and not stopping and (last or step % opts.val_interval == 0):
                    self._validate(log, stop)
                if saving:
                    self._save(milestone)
                    log.pause()
                if stopping:
                    return f"stopped at step {step} ({stop.received or 'another process was told to stop'})"
        return f"finished at step {state.global_step}"

    def _batches(self) -> Iterator[dict[str, Any]]:
        yield from checked(training_loader(self.data.train, self.opts.seed, self.share, self.state.samples_seen,
                                           self.opts.workers, pin=self.world.device.type == "cuda",
                                           in_pairs=self.opts.edit_lambda > 0))

    def _one_step(self, batches: Iterator[dict[str, Any]], log: RunLog) -> None:
        """One optimiser step of each network, from one micro-batch or several."""
        state, stage = self.state, stage_at(self.stages, self.state.global_step)
        micro_batches = self.opts.grad_accum
        side = stage.img_size if self.opts.patch_train else stage.resolution_vol
        state.zero_grad()
        for index in range(micro_batches):
            loaded = next(batches)
            batch, draws = self._prepare(loaded, index, stage)
            with self._accumulating(index < micro_batches - 1):
                with self._discriminator_frozen():
                    generated = self.step.generator_losses(batch, draws, side)
                    (generated.total / micro_batches).backward()
                terms = generated.terms
                if self.discriminator is not None:
                    judged = self.step.discriminator_losses(generated)
                    (judged.total / micro_batches).backward()
                    terms = {**terms, **judged.terms}
            self.record.add(state.global_step + 1, terms, loaded["name"])
        state.update()
        state.count(self.share.step_samples)
        shown = generated.rendered is not None and state.global_step % self.opts.image_interval == 0
        if shown and self.world.is_main:
            self._show(log, loaded, batch, draws, generated)

    def _prepare(self, loaded: dict[str, Any], micro_batch: int, stage: Stage) -> tuple[Batch, StepNoise]:
        """A loaded batch on the device, at the sizes of a stage, and its random draws."""
        batch = to_device(loaded, self.opts.label_nc, self.world.device)
        positions = self.share.positions(self.state.samples_seen, micro_batch)
        if self.opts.edit_lambda:  # before and after an edit through the same rays
            positions = [position - position % 2 for position in positions]
        draws = draw(self.draw_config, self.state.global_step, positions, self.state.samples_seen,
                     self.share.step_samples, stage.resolution_vol, self.world.device)
        size = stage.img_size if self.opts.patch_train else stage.resolution_vol  # without patches: a small image
        if batch.images.shape[-1] != size and not (self.opts.patch_train and len(self.stages) == 1):
            images = F.interpolate(batch.images, (size, size), mode="bilinear", antialias=True)
            batch = replace(batch, images=images)
        return batch, draws

    @contextlib.contextmanager
    def _accumulating(self, active: bool) -> Iterator[None]:
        """While active, processes keep their gradients to themselves."""
        with contextlib.ExitStack() as stack:
            for module in (self.step.generator, self.step.discriminator_pass):
                if active and isinstance(module, DistributedDataParallel):
                    stack.enter_context(module.no_sync())
            yield

    @contextlib.contextmanager
    def _discriminator_frozen(self) -> Iterator[None]:
        """While inside, gradients flow through the discriminator, not into it."""
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
        yield
        if self.discriminator is not None:
            self.discriminator.requires_grad_(True)

    def _show(self, log: RunLog, loaded: dict[str, Any], batch: Batch, draws: StepNoise,
              generated: GeneratorLosses) -> None:
        """A panel of the first samples. At an extreme pose the target is a patch of another view."""
        captions = (*CAPTIONS, "rendered patch" if draws.extreme_poses is None else "at an extreme pose")
        rows = []
        for index in range(min(PANEL_ROWS, len(batch.images))):
            photograph = photo_image(batch.images[index])
            rows.append([mask_image(loaded["label"][index], self.data.train.label_space),
                         with_frame(photograph, draws.grid[index]) if self.opts.patch_train else photograph,
                         photo_image(generated.target[index]), photo_image(generated.rendered[index])])
        log.image("train", self.state.global_step, panel(captions, rows, side=192))

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """While inside, the model has its averaged weights, if there is an average."""
        return contextlib.nullcontext() if self.state.average is None else self.state.average.in_place()

    def _validate(self, log: RunLog, stop: StopRequest) -> None:
        """Validate; a new lowest loss is kept as best_model.pt."""
        if self.data.val is None:
            return
        indices = list(shard(len(self.data.val), self.world))
        loader = validation_loader(self.data.val, indices, self.opts.test_batch_size, self.opts.test_workers,
                                   pin=self.world.device.type == "cuda")
        with self._averaged(), contextlib.closing(checked(loader)) as batches:
            result = validate(self.net, batches, self.data.val.label_space, self.validation_settings,
                              self.step.weights, self.perceptual, self.world, lambda: stop.received is not None)
        log.pause()
        if result is None:
            return
        step = self.state.global_step
        log.scalars("val", step, result.metrics)
        if result.panel is not None:
            log.image("val", step, result.panel)
        better = result.loss < self.state.best_val_loss
        shown = "  ".join(f"{name.removeprefix('loss_')} {value:.4g}" for name, value in result.metrics.items())
        log.say(f"validation at step {step}: {shown}{' (best)' if better else ''}")
        if better:
            self.state.best_val_loss = result.loss
            self.state.check_weights()
            contents = self.state.contents(self.world)
            if self.world.is_main:
                self.files.save_best(contents)

    def _save(self, milestone: bool) -> None:
        self.state.check_weights()
        contents = self.state.contents(self.world)
        if self.world.is_main:
            self.files.save(contents, milestone)
