"""A decoder from a folder of images, as pi-GAN was trained: with its discriminator, data and validation."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from configs.data_configs import get_camera_preset
from datasets.sample_stream import BatchShard, index_at
from evaluation.metrics.frechet import FEATURES, Gaussian, frechet_distance, gaussian_of, simple_features
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.siren import FilmSiren
from models.scene import Scene
from pretraining.decoder import DecoderObjective
from pretraining.image_folder import ImageFolder
from pretraining.losses import discriminator_losses, draw_fakes, generator_losses, kept_share, render_fakes
from pretraining.progressive_discriminator import ProgressiveDiscriminator
from pretraining.schedule import GrowthStage, read_growth
from training.objectives.objective import StepResult
from training.runtime.processes import World
from training.step_noise import FLIP, generator_at
from training.validation import Validation, own_indices
from utils.images import from_bytes
from utils.panels import panel, photo_image

BETAS = (0.0, 0.9)
PANEL_ROWS = 8


class AdversarialObjective(DecoderObjective):
    """
    Args:
        opts: of pretraining/options.py.
        world: this process among all.
        contents: a checkpoint of the run, if it is continued; else the decoder may start from `pigan_weights`.
        report: prints a line.

    Raises:
        UserError: the images or the file of stages cannot be used.
    """

    def __init__(self, opts: Namespace, world: World, contents: Mapping[str, Any] | None = None,
                 report: Callable[[str], None] = print) -> None:
        self.opts, self.world = opts, world
        self.preset = get_camera_preset(opts.pigan_curriculum_type)
        self.growth = read_growth(opts.pigan_steps_conf)
        keep = self.growth.keep_square if opts.keep_square is None else opts.keep_square
        self.images = ImageFolder(Path(opts.data_root), keep, opts.resampling)
        sizes = [stage.img_size for stage in self.growth.stages]
        report(f"data: {len(self.images)} images in {opts.data_root}, from {sizes[0]} to {sizes[-1]} pixels")
        torch.manual_seed(opts.seed)  # all processes start alike
        self.start_from(FilmSiren(opts.pigan_hidden_dim, opts.pigan_zdim).to(world.device), contents, report)
        self.discriminator = ProgressiveDiscriminator(sizes[-1], opts.dis_channels,
                                                      self.growth.coordinates).to(world.device)
        self.pose_lambda = self.growth.pose_lambda if opts.pose_lambda is None else opts.pose_lambda
        mapping = list(self.siren.mapping_network.parameters())
        field = [p for name, p in self.siren.named_parameters() if not name.startswith("mapping_network")]
        self.modules: dict[str, nn.Module] = {"dis_state_dict": self.discriminator}
        self.optimizers = {"optimizer": torch.optim.Adam([{"params": field}, {"params": mapping}], betas=BETAS),
                           "dis_optimizer": torch.optim.Adam(self.discriminator.parameters(), betas=BETAS)}
        self._pool = ThreadPoolExecutor(opts.workers)
        self._reading: tuple[int, list[Future[Tensor]]] | None = None  # a step, and its images
        self._real: Gaussian | None = None

    def schedule(self, step: int) -> None:
        stage, (field, mapping) = self.growth.at(step), self.optimizers["optimizer"].param_groups
        field["lr"], mapping["lr"] = stage.gen_lr, stage.gen_lr * self.opts.mapping_rate
        self.optimizers["dis_optimizer"].param_groups[0]["lr"] = stage.disc_lr

    def step(self, step: int, samples_seen: int) -> StepResult:
        """First the generator, then the discriminator, which sees the same renderings."""
        opts, stage, alpha = self.opts, self.growth.at(step), self.growth.alpha(step)
        shard = self._shard(stage)
        parts = [shard.positions(samples_seen, part) for part in range(shard.micro_batches)]
        reals = self._reals(step, samples_seen)
        fakes, poses, terms = [], [], []
        self.discriminator.requires_grad_(False)
        for positions in parts:
            draws = draw_fakes(opts.seed, positions, self.siren.z_dim, self.growth.poses, stage.img_size, stage.samples)
            pose = draws.poses.to(self.world.device, non_blocking=True)
            fake = render_fakes(self.siren, draws, stage.img_size, self.preset)
            losses = generator_losses(self.discriminator, fake, pose, alpha, self.pose_lambda, kept_share(step))
            (losses.total / len(parts)).backward()
            fakes.append(fake.detach())
            poses.append(pose)
            terms.append(losses.terms)
        self._update("optimizer", self.siren)
        self.discriminator.requires_grad_(True)
        for index, (real, fake, pose) in enumerate(zip(reals, fakes, poses, strict=True)):
            losses = discriminator_losses(self.discriminator, real, fake, pose, alpha, opts.r1_lambda, self.pose_lambda)
            (losses.total / len(parts)).backward()
            terms[index] = {**terms[index], **losses.terms}
        self._update("dis_optimizer", self.discriminator)
        means = {name: torch.stack([part[name] for part in terms]).mean() for name in terms[0]}
        names = [self.images.paths[index].name for index, _ in self._wanted(step, samples_seen)]
        return StepResult([(means, names)], shard.step_samples)

    def _update(self, name: str, module: nn.Module) -> None:
        parameters = list(module.parameters())
        self.world.average_gradients(parameters)
        if self.opts.grad_clip:
            nn.utils.clip_grad_norm_(parameters, self.opts.grad_clip)
        self.optimizers[name].step()
        self.optimizers[name].zero_grad(set_to_none=True)

    def _shard(self, stage: GrowthStage) -> BatchShard:
        return BatchShard(stage.batch_size // stage.batch_split, self.world.rank, self.world.size, stage.batch_split)

    def _wanted(self, step: int, samples_seen: int) -> list[tuple[int, bool]]:
        """Numbers of this process's photographs in a step, part after part, and whether each is mirrored."""
        shard, seed = self._shard(self.growth.at(step)), self.opts.seed
        return [(index_at(position, len(self.images), seed),
                 torch.rand((), generator=generator_at(seed, FLIP, position)).item() < self.opts.flip)
                for part in range(shard.micro_batches) for position in shard.positions(samples_seen, part)]

    def _reals(self, step: int, samples_seen: int) -> list[Float[Tensor, "batch 3 size size"]]:
        """Photographs of a step, in its parts; those of the next step are read while this one computes."""
        images = torch.stack([image.result() for image in self._read_ahead(step, samples_seen)])
        shard = self._shard(self.growth.at(step))
        self._read_ahead(step + 1, samples_seen + shard.step_samples)
        return list(from_bytes(images.to(self.world.device, non_blocking=True)).split(shard.batch))

    def _read_ahead(self, step: int, samples_seen: int) -> list[Future[Tensor]]:
        if self._reading is None or self._reading[0] != step:
            size = self.growth.at(step).img_size
            self._reading = step, [self._pool.submit(self.images.read, index, size, flip)
                                   for index, flip in self._wanted(step, samples_seen)]
        return self._reading[1]

    @torch.no_grad()
    def validate(self, stopped: Callable[[], bool] = lambda: False) -> Validation:
        """Fréchet distance of simple features between renderings of fixed z and poses and as many photographs; a panel
        of the first z from three sides. At most as many as there are photographs."""
        size, samples = self.opts.test_output_size, max(stage.samples for stage in self.growth.stages)
        count = min(self.opts.val_images, len(self.images))
        if self._real is None:
            chosen = [index * len(self.images) // count for index in own_indices(count, self.world)]
            reads = self._pool.map(self.images.read, chosen, [size] * len(chosen))
            self._real = self._gaussian([from_bytes(image[None]) for image in reads])
        side, rows, fakes = 1.3 * self.growth.poses.yaw, [], []
        for index in own_indices(count, self.world):
            draws = draw_fakes(self.opts.seed + 1, [index], self.siren.z_dim, self.growth.poses, 1, 1)
            scene = Scene(self.siren, self.siren.mapping_network(draws.z.to(self.world.device)), self.preset)
            camera = Camera(*draws.poses[0].tolist())
            fakes.append(scene.render(camera, size, samples).rgb[None])
            if self.world.is_main and len(rows) < PANEL_ROWS:
                views = [scene.render(Camera(FRONTAL + yaw), size, samples).rgb for yaw in (-side, 0.0, side)]
                rows.append([photo_image(view) for view in views])
        distance = frechet_distance(self._gaussian(fakes), self._real)
        shown = panel(("one side", "frontal", "other side"), rows, max(128, size)) if rows else None
        return Validation({"frechet": distance, "loss": distance}, shown)

    def _gaussian(self, images: list[Float[Tensor, "1 3 size size"]]) -> Gaussian:
        """Of the features of all processes' images."""
        own = torch.cat([simple_features(image) for image in images]) if images else torch.zeros(0, FEATURES)
        return gaussian_of(torch.cat(self.world.gather(own)))
