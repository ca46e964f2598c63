"""A semantic head from masks and poses: objective of train_semantics.py with its data, optimiser and validation."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from configs.data_configs import data_config
from configs.label_spaces import shown_palette
from datasets.masks.files import check_face
from datasets.poses import image_id, poses_of
from datasets.sample_stream import BatchShard, index_at
from datasets.split import find_masks
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from models.checkpoints import read_checkpoint
from models.config import with_options
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.codes import Codes
from models.pigan.semantic_head import SemanticHead
from models.sem2nerf import Sem2NeRF
from models.semantic_files import decoder_sha256, save_semantic_head
from semantics.rays import soft_iou
from semantics.views import RayFeatures, Views, other_views, read_view
from training.data_check import check_files
from training.objectives.objective import Objective, StepResult
from training.optimizers import CosineSchedule
from training.runtime.processes import World
from training.validation import Validation
from utils.errors import UserError, settings_named
from utils.panels import mask_image, panel, photo_image

HEAD_FILE = "semantic_head.pt"  # beside the checkpoints: the head alone
WARM_UP = 0.1  # of the steps
IOU_WEIGHT = 0.5  # of 1 - soft IoU, relative to the negative log-likelihood
ERROR_WEIGHT = 6.0  # of the chance of a wrong label, relative to the same; see `_loss`
SMALLEST_CHANCE = 1e-6
PANEL_ROWS, PANEL_SAMPLES, PANEL_TURN = 4, 12, 0.4  # masks, samples per ray, radians


class SemanticsObjective(Objective):
    """
    Args:
        opts: of semantics/options.py.
        world: this process among all.
        contents: a checkpoint of the run, if it is continued.
        report: prints a line.

    Raises:
        UserError: the checkpoint or the data cannot be used.
    """

    def __init__(self, opts: Namespace, world: World, contents: Mapping[str, Any] | None = None,
                 report: Callable[[str], None] = print) -> None:
        self.opts, self.world = opts, world
        answers = {"dataset_type": opts.dataset_type} if opts.dataset_type else {}
        trained = with_options(read_checkpoint(opts.checkpoint_path), answers, opts.checkpoint_path)
        self.net = Sem2NeRF.from_contents(trained, opts.checkpoint_path).to(world.device)
        if contents is not None and contents.get("decoder_sha256") != decoder_sha256(self.net.siren):
            raise UserError(f"`exp_dir` {opts.exp_dir}: the run in it trains a head for another decoder than that of "
                            f"`checkpoint_path` {opts.checkpoint_path}; give that checkpoint, or `overwrite` the run")
        space = self.net.input.space
        if opts.use_merged_labels and space.merged is not None:
            space = space.merged
        self.space, self.layers = space, tuple(sorted(opts.layers))
        report(f"network: {opts.checkpoint_path}; labels: {space.name} ({len(space)}), from sine layers "
               f"{', '.join(map(str, self.layers))}")
        train, val, poses = self._find_data(data_config(trained["opts"]["dataset_type"]), report)
        mine = train[world.rank::world.size]
        if not mine:
            raise UserError(f"`data_path` {opts.data_path}: {len(train)} masks for {world.size} processes; start fewer")
        common = (poses, space, self.layers)
        others = other_views(Path(opts.data_path), train) if opts.other_views else {}  # of all processes' masks
        if others:
            report(f"other views: {len(others)} of the masks have others of the same head")
        self.views = Views(self.net, mine, *common, opts.rays, seed=opts.seed, training=True, cache_gb=opts.cache_gb,
                           others=others)
        self.val_views = Views(self.net, val[world.rank::world.size], *common, opts.val_rays, seed=opts.seed,
                               training=False, cache_gb=opts.cache_gb / 4)
        torch.manual_seed(opts.seed)  # all processes start alike
        linear = nn.Linear(len(self.layers) * self.net.siren.width, len(space)).to(world.device)
        self.model, self.linear = nn.ModuleDict({"semantic_head": linear}), linear
        optimizer = torch.optim.AdamW(linear.parameters(), lr=opts.learning_rate, weight_decay=opts.weight_decay)
        self.optimizers = {"optimizer": optimizer}
        self._schedule = CosineSchedule(optimizer, opts.max_steps, round(opts.max_steps * WARM_UP), 0.0)
        self.shard = BatchShard(opts.batch_size, world.rank, world.size)

    def schedule(self, step: int) -> None:
        self._schedule.step_update(step)

    @property
    def head(self) -> SemanticHead:
        """With the weights that training has reached."""
        return SemanticHead(self.layers, self.space.name, self.linear.weight.detach(), self.linear.bias.detach())

    def step(self, step: int, samples_seen: int) -> StepResult:
        """All rays of a few masks: each process takes its share of every batch from its own masks."""
        chosen = self._chosen(samples_seen)
        self.views.read_ahead(chosen)
        batch = [self.views.features(index) for index in chosen]
        self.views.read_ahead(self._chosen(samples_seen + self.shard.step_samples))
        joined = RayFeatures(*(torch.cat(values) for values in zip(*batch, strict=True)))
        chances = self.chances(joined.features)
        loss = self._loss(chances, joined)
        optimizer = self.optimizers["optimizer"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.world.average_gradients(list(self.linear.parameters()))
        optimizer.step()
        names = [self.views.masks[index].stem for index in chosen]
        return StepResult([({"loss": loss.detach()}, names)], self.shard.step_samples)

    @staticmethod
    def _loss(chances: Float[Tensor, "rays labels"], rays: RayFeatures) -> Float[Tensor, ""]:
        """A likelihood is mostly about rays whose label nothing can tell, as along a silhouette that the decoder draws
        a pixel aside; the chance of an error counts each of these once, so that the others decide."""
        true = chances.gather(1, rays.label[:, None])[:, 0].clamp_min(SMALLEST_CHANCE)
        losses = -true.log() + ERROR_WEIGHT * (1 - true)
        iou = soft_iou(chances, rays.label, rays.weight)
        return (losses * rays.weight).sum() / rays.weight.sum() + IOU_WEIGHT * (1 - iou)

    def chances(self, features: Float[Tensor, "rays points features"]) -> Float[Tensor, "rays labels"]:
        """Probability of each label of each ray: the mean over its points, which have equal weights."""
        return self.linear(features.float()).softmax(-1).mean(1)

    def _chosen(self, samples_seen: int) -> list[int]:
        """This process's masks, in an order of its own."""
        first = samples_seen // self.shard.step_samples * self.shard.batch
        return [index_at(position, len(self.views), self.opts.seed)
                for position in range(first, first + self.shard.batch)]

    @torch.no_grad()
    def validate(self, stopped: Callable[[], bool] = lambda: False) -> Validation | None:
        """IoU of each label over pixels of masks that training does not see, at their poses, by the encoder's codes."""
        classes = len(self.space)
        counts = torch.zeros(classes, classes, dtype=torch.long)
        self.val_views.read_ahead(range(min(len(self.val_views), 16)))
        for index in range(len(self.val_views)):
            rays = self.val_views.features(index)
            counts += confusion_matrix(self.chances(rays.features).argmax(1).cpu(), rays.label.cpu(), classes)
        counts = torch.stack(self.world.gather(counts)).sum(0)
        if not counts.sum():
            return None
        score = segmentation_score(counts)
        each = {f"iou_{name}": value for name, value in zip(self.space.labels, score.iou, strict=True)
                if not np.isnan(value)}
        metrics = {"loss": 1 - score.miou, "miou": score.miou, "accuracy": score.pixel_accuracy, **each}
        return Validation(metrics, self._panel())

    def _panel(self) -> np.ndarray | None:
        """The first masks, their views, and label maps from two sides."""
        rows, size = [], self.opts.test_output_size
        for index in range(min(PANEL_ROWS, len(self.val_views))) if self.world.is_main else ():
            path = self.val_views.masks[index]
            mask = read_view(self.net, path, self.space)
            self.net.semantic_head = self.head
            scene = self.net.scene_of(self.val_views.codes(index, mask))
            yaw, pitch = self.val_views.poses[image_id(path)]
            views = [scene.render(Camera(y, pitch), size, PANEL_SAMPLES, labels=True)
                     for y in (yaw, yaw + PANEL_TURN * (1 if yaw < FRONTAL else -1))]
            maps = [torch.from_numpy(mask.labels), *(view.labels for view in views if view.labels is not None)]
            shown = [mask_image(labels, shown_palette(self.space)) for labels in maps]
            rows.append([shown[0], photo_image(views[0].rgb), *shown[1:]])
        return panel(("mask", "view", "its labels", "turned"), rows, max(96, size)) if rows else None

    def mean_code(self) -> Codes:
        return self.net.latent_avg

    @property
    def measure(self) -> Mapping[str, Any]:
        return {"val_images": self.opts.val_images, "val_rays": self.opts.val_rays, "label_space": self.space.name}

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"semantic": self.head.state(), "decoder_sha256": decoder_sha256(self.net.siren)}

    def export(self, folder: Path, contents: Mapping[str, Any]) -> None:
        save_semantic_head(folder / HEAD_FILE, self.head, self.net.siren)

    def close(self) -> None:
        self.views.close()
        self.val_views.close()

    def _find_data(self, config, report: Callable[[str], None]
                   ) -> tuple[list[Path], list[Path], dict[int, tuple[float, float]]]:
        """Masks to train on, masks to validate on, and their poses."""
        opts = self.opts
        with settings_named(data_root="data_path"):
            train, val, words = find_masks(Path(opts.data_path), config, opts.train_paths_conf, opts.test_paths_conf)
        poses = poses_of([*train, *val], config, "leave the mask out with `train_paths_conf` and `test_paths_conf`")
        train, val, reader = train[:opts.num_masks or None], val[:opts.val_images], self.net.input

        def check(path: Path) -> None:
            check_face(path, reader.transform.apply(reader.labels(path)), reader.space)

        train, val = check_files(check, (train, val), self.world, report)
        report(f"data: {len(train)} masks to train on and {len(val)} to validate on in {opts.data_path} ({words})")
        return train, val, poses
