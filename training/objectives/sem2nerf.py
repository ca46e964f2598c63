"""The paper's training: an encoder (and, if wanted, the field) from masks and photographs, against a discriminator."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch.nn.parallel import DistributedDataParallel

from datasets.masks.mask_input import MaskInput
from datasets.sample_stream import BatchShard
from models.pigan.codes import Codes
from models.semantic_files import head_of
from training import build
from training.extension import Extension
from training.feed import Feed, Place
from training.graphs import use_graphs
from training.loading import checked, to_device, training_loader, validation_loader
from training.objectives.objective import Objective, StepResult
from training.optimizers import build_optimizer, build_scheduler, restore_optimizer
from training.runtime.processes import World
from training.size_schedule import Stage, read_stages, stage_at
from training.step import Batch, DiscriminatorLoss, GeneratorLosses, PatchGenerator, StepNoise, TrainStep
from training.step_noise import PackedNoise, draw_step_noise
from training.validation import Validation, own_indices, validate
from utils.errors import UserError
from utils.panels import Image, mask_image, panel, photo_image, with_frame

PANEL_ROWS = 4
CAPTIONS = ("mask", "photograph", "target patch")


class Sem2NeRFObjective(Objective):
    """
    Args:
        opts: all options, checked (see options/train_options.py).
        world: this process among all.
        contents: a checkpoint to start from: its weights, and its discriminator where it fits.
        source: where that comes from.
        extension: what is added to the paper's training.
        report: prints a line.

    Raises:
        UserError: data, weights or settings cannot be used.
    """

    def __init__(self, opts: Namespace, world: World, contents: Mapping[str, Any] | None = None,
                 source: Path | None = None, resume: bool = False, report: build.Report = print,
                 extension: Extension | None = None) -> None:
        self.stages = read_stages(opts.pigan_steps_conf)
        build.report_steps_file(opts, self.stages, report)
        framing = None if contents is None or resume else MaskInput.of_checkpoint(contents).transform
        self.opts = opts = build.resolve_options(opts, self.stages, framing)
        self.world, self.report, self.extension = world, report, extension or Extension()
        self.validation_settings = build.validation_settings(opts)
        self.data = build.build_data(opts, self.extension, report, world)
        self.shard = BatchShard(opts.batch_size, world.rank, world.size, opts.grad_accum)
        self.step_samples = self.shard.step_samples
        torch.manual_seed(opts.seed)
        self.model = self.net = build.build_net(opts, contents, source, report, resume).to(world.device)
        if contents is not None and not opts.train_decoder and (resume or not opts.pigan_weights):
            self.net.semantic_head = head_of(contents, source or "the checkpoint")  # the decoder is still its own
        self.perceptual = build.build_perceptual(opts, world.device)
        self.discriminator = build.build_discriminator(opts, self.stages, contents, resume, report)
        self.modules: dict[str, nn.Module] = {}
        trained = [*self.net.encoder.parameters(), *(self.net.decoder.parameters() if opts.train_decoder else ())]
        self.optimizers = {"optimizer": build_optimizer(opts.optim_name, trained, opts.learning_rate)}
        if self.discriminator is not None:
            self.modules["dis_state_dict"] = judge = self.discriminator.to(world.device)
            self.optimizers["dis_optimizer"] = build_optimizer(opts.optim_name, judge.parameters(),
                                                               opts.learning_rate_dis)
        floor = opts.learning_rate / 100  # of the discriminator's rate too, as released
        self._schedulers = [build_scheduler(opts.scheduler_name, optimizer, opts.max_steps,
                                            final_fraction=floor / optimizer.param_groups[0]["initial_lr"])
                            for optimizer in self.optimizers.values()]
        self.train_step = self._build_step()
        self._batches: Generator[dict[str, Any], None, None] | None = None
        self._feed = Feed(self._read, self._move, world.device)

    def _build_step(self) -> TrainStep:
        opts = self.opts
        if opts.compile:
            self.net.encoder.compile()
            if self.discriminator is not None:
                self.discriminator.compile()
        rendering = build.rendering(opts, self.world.device, self.report)
        generator = PatchGenerator(self.net, rendering, amp=opts.amp == "bf16")
        self.noise_config = build.noise_config(opts, self.net.encoder.drop_path_layers)
        static = opts.grad_accum == 1  # DDP cannot both accumulate and rely on a static graph
        loss = None if self.discriminator is None else DiscriminatorLoss(self.discriminator)
        step = TrainStep(
            self.world.parallel(generator, static), self.net, build.loss_weights(opts), perceptual=self.perceptual,
            discriminator=self.discriminator, discriminator_pass=loss and self.world.parallel(loss, static),
            conditional=opts.use_cond_dis, extra_losses=self.extension.losses(self.net),
        )
        if opts.cuda_graphs and static and self.world.size == 1 and self.world.device.type == "cuda" \
                and not opts.compile:
            use_graphs(step, opts.batch_size, {stage.resolution_vol for stage in self.stages})
        return step

    def restore(self, contents: Mapping[str, Any]) -> None:
        """The optimisers, where they fit: the weights are those that the objective was made with."""
        for name, optimizer in self.optimizers.items():
            if contents.get(name) is not None and not restore_optimizer(optimizer, contents[name]):
                self.report("the checkpoint's optimiser is of another kind or size: its moments start anew")

    def schedule(self, step: int) -> None:
        for scheduler in self._schedulers:
            if scheduler is not None:
                scheduler.step_update(max(0, step - 1))  # the first two steps have the first rate, as released

    @property
    def measure(self) -> dict[str, Any]:
        weights, settings = self.train_step.weights, self.validation_settings
        return {"l2": weights.l2, "l1": weights.l1, "lpips": weights.lpips, "w_norm": weights.w_norm,
                "size": settings.size, "samples": settings.samples, "masks": len(self.data.val or ())}

    @property
    def facts(self) -> dict[str, Any]:
        head = self.net.semantic_head
        return {"input": self.net.input.to_dict(), **({} if head is None else {"semantic": head.state()})}

    def mean_code(self) -> Codes:
        return self.net.latent_avg

    def step(self, step: int, samples_seen: int) -> StepResult:
        """One optimiser step of each network, from one micro-batch or several.

        Raises:
            UserError: a sample cannot be read, or the encoder cannot be compiled.
        """
        opts, stage, losses = self.opts, stage_at(self.stages, step), []
        waited = self._feed.seconds_waited
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        for index in range(opts.grad_accum):
            following = (Place(step, samples_seen, index + 1) if index + 1 < opts.grad_accum else
                         Place(step + 1, samples_seen + self.step_samples, 0))
            (loaded, _, _), (batch, noise) = self._feed.take(Place(step, samples_seen, index), following)
            try:
                with self._accumulating(index < opts.grad_accum - 1):
                    generated, terms = self._backward(batch, noise, stage)
            except TorchDynamoException as error:
                raise UserError("`compile`: PyTorch cannot compile networks on this machine (a C++ compiler and "
                                "Python's headers are needed); leave it out, or see why with `debug`") from error
            losses.append((terms, loaded["name"]))
            self._feed.send_ahead()
        if opts.grad_clip:
            nn.utils.clip_grad_norm_([p for p in self.net.parameters() if p.requires_grad], opts.grad_clip)
        for optimizer in self.optimizers.values():
            optimizer.step()
        shown = None
        if self.world.is_main and (step + 1) % opts.image_interval == 0 and generated.rendered is not None:
            shown = self._panel(loaded, batch, noise, generated.target, generated.rendered)
        return StepResult(losses, self.step_samples, shown, self._feed.seconds_waited - waited)

    def _backward(self, batch: Batch, noise: StepNoise, stage: Stage
                  ) -> tuple[GeneratorLosses, dict[str, torch.Tensor]]:
        """Gradients of both networks for one micro-batch, and all losses."""
        side = stage.img_size if self.opts.patch_train else stage.resolution_vol
        if self.discriminator is not None:  # gradients flow through it, not into it
            self.discriminator.requires_grad_(False)
        generated = self.train_step.generator_losses(batch, noise, side)
        (generated.total / self.opts.grad_accum).backward()
        if self.discriminator is None:
            return generated, generated.terms
        self.discriminator.requires_grad_(True)
        losses = self.train_step.discriminator_losses(generated)
        (losses.total / self.opts.grad_accum).backward()
        return generated, {**generated.terms, **losses.terms}

    def _read(self, place: Place) -> tuple[dict[str, Any], PackedNoise, Stage]:
        """A loaded batch, its random numbers, and the sizes that hold then."""
        pin = self.world.device.type == "cuda"
        if self._batches is None:
            sampler = self.extension.sampler(self.data.train, self.opts.seed, self.shard, place.samples_seen)
            self._batches = checked(training_loader(self.data.train, sampler, self.opts.workers, pin))
        loaded, stage = next(self._batches), stage_at(self.stages, place.step)
        positions = [self.extension.noise_position(position)
                     for position in self.shard.positions(place.samples_seen, place.micro_batch)]
        config = replace(self.noise_config, samples=stage.num_steps or self.noise_config.samples)
        noise = draw_step_noise(config, place.step, positions, place.samples_seen, self.step_samples,
                                stage.resolution_vol, pin)
        return loaded, noise, stage

    def _move(self, read: tuple[dict[str, Any], PackedNoise, Stage]) -> tuple[Batch, StepNoise]:
        """The same on the device, at the stage's sizes."""
        loaded, noise, stage = read
        batch = to_device(loaded, self.opts.label_nc, self.world.device)
        size = stage.img_size if self.opts.patch_train else stage.resolution_vol  # without patches: a small image
        if batch.images.shape[-1] != size and not (self.opts.patch_train and len(self.stages) == 1):
            batch = replace(batch, images=F.interpolate(batch.images, (size, size), mode="bilinear", antialias=True))
        return batch, noise.to(self.world.device)

    @contextlib.contextmanager
    def _accumulating(self, active: bool) -> Iterator[None]:
        """While active, processes keep their gradients to themselves."""
        with contextlib.ExitStack() as stack:
            for module in (self.train_step.generator, self.train_step.discriminator_pass):
                if active and isinstance(module, DistributedDataParallel):
                    stack.enter_context(module.no_sync())
            yield

    def _panel(self, loaded: dict[str, Any], batch: Batch, noise: StepNoise, target: torch.Tensor,
               rendered: torch.Tensor) -> Image:
        """The first samples. At an extreme pose the target is a patch of another view."""
        several = "at an extreme pose" if noise.own_pose is None else "some at extreme poses"
        captions = (*CAPTIONS, "rendered patch" if noise.extreme_poses is None else several)
        rows = []
        for index in range(min(PANEL_ROWS, len(batch.images))):
            photograph = photo_image(batch.images[index])
            rows.append([mask_image(loaded["label"][index], self.data.train.label_space.palette),
                         with_frame(photograph, noise.grid[index]) if self.opts.patch_train else photograph,
                         photo_image(target[index]), photo_image(rendered[index])])
        return panel(captions, rows, side=192)

    def validate(self, stopped: Callable[[], bool]) -> Validation | None:
        if self.data.val is None:
            return None
        loader = validation_loader(self.data.val, own_indices(len(self.data.val), self.world),
                                   self.opts.test_batch_size, self.opts.test_workers, self.world.device.type == "cuda")
        with contextlib.closing(checked(loader)) as batches:
            return validate(self.net, batches, self.data.val.label_space, self.validation_settings,
                            self.train_step.weights, self.perceptual, self.world, stopped,
                            self.extension.validation_losses(self.net))

    def close(self) -> None:
        self._feed.close()
        if self._batches is not None:
            self._batches.close()
            self._batches = None
