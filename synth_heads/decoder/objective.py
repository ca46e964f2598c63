"""A decoder from known heads: the objective of train_decoder.py with its data, optimiser and validation."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from configs.data_configs import get_camera_preset
from datasets.sample_stream import BatchShard, index_at
from models.pigan.cameras import Camera
from models.pigan.siren import FilmSiren
from models.scene import Scene
from pretraining.decoder import DecoderObjective
from synth_heads.data.edit_pairs import check_pairs
from synth_heads.data.view_bank import ViewBank, repeat_factors
from synth_heads.decoder.reconstruction import LOGIT, RayBatch, Reconstruction, ReconstructionSettings, draw_batch
from training.objectives.objective import StepResult
from training.optimizers import build_scheduler
from training.runtime.processes import World
from training.validation import Validation, own_indices
from utils.errors import UserError, settings_named
from utils.images import to_tensor
from utils.panels import panel, photo_image

# The density layer's weights are this many times larger than the other layers', so its rate is too.
DENSITY_GAIN = 30 * LOGIT
BETAS, EPS = (0.9, 0.99), 1e-12  # the density layer's gradients are tiny
PANEL_HEADS = 8


class ReconstructionObjective(DecoderObjective):
    """
    Args:
        opts: of synth_heads/decoder/options.py.
        world: this process among all.
        contents: a checkpoint of the run, if it is continued; else the decoder may start from `pigan_weights`.
        report: prints a line.

    Raises:
        UserError: the data set cannot be used.
    """

    def __init__(self, opts: Namespace, world: World, contents: Mapping[str, Any] | None = None,
                 report: Callable[[str], None] = print) -> None:
        self.opts, self.world = opts, world
        self.preset = get_camera_preset(opts.pigan_curriculum_type)
        banks: list[ViewBank] = []
        roots = [Path(root) for root in (opts.data_root, *opts.more_data)]
        for root in roots:
            bank = _load(root, "more_data" if banks else "data_root", opts.num_heads)
            depth = "with depth" if bank.depth is not None else "without depth: all rays are rendered"
            report(f"data: {len(bank)} heads x {bank.rgb.shape[1]} views in {root}, {depth}")
            if banks and (bank.depth is None) != (banks[0].depth is None):
                raise UserError(f"`more_data` {root}: all data sets must have depth, or none")
            if banks and bank.z.shape[1] != banks[0].z.shape[1]:
                raise UserError(f"`more_data` {root}: its z have {bank.z.shape[1]} entries, those of `data_root` "
                                f"{banks[0].z.shape[1]}; build it again")
            banks.append(bank)
        if opts.edit_lambda:
            for bank in banks:
                check_pairs(bank.pairs, len(bank))
        if banks[0].depth is None and not opts.render_lambda:
            raise UserError("`render_lambda` 0: without depth the data is learnt by rendering alone; give it a weight, "
                            "or build the data sets with `depth`")
        shown = np.concatenate([bank.shown_labels() for bank in banks])
        factors = repeat_factors(shown, opts.rare_share)
        # the fraction of a factor is a chance, drawn once
        times = np.floor(factors + np.random.default_rng((opts.seed, 8)).random(len(factors))).astype(int)
        members = [(bank, index) for bank in banks for index in range(len(bank))]
        self.heads = [member for member, count in zip(members, times, strict=True) for _ in range(count)]
        self.val_bank = ViewBank.load(roots[0], "val", opts.val_images)
        self.settings = ReconstructionSettings(opts.rays, min(opts.rendered_rays, opts.rays),
                                               occupancy_weight=opts.occupancy_lambda,
                                               render_weight=opts.render_lambda, label_balance=opts.label_balance,
                                               edit_weight=opts.edit_lambda)
        siren = initial_siren(opts.pigan_hidden_dim, self.val_bank.z.shape[1], opts.seed).to(world.device)
        self.start_from(siren, contents, report)
        # static_graph: every step does the same
        self.loss = world.parallel(Reconstruction(self.siren, self.preset, self.settings), static_graph=True)
        mapping = list(self.siren.mapping_network.parameters())
        density = list(self.siren.final_layer.parameters())
        apart = {id(p) for p in (*mapping, *density)}
        rate = opts.learning_rate
        self.optimizers = {"optimizer": torch.optim.Adam([
            {"params": [p for p in self.siren.parameters() if id(p) not in apart], "lr": rate},
            {"params": mapping, "lr": rate * opts.mapping_rate},
            {"params": density, "lr": rate * DENSITY_GAIN},
        ], betas=BETAS, eps=EPS)}
        self._scheduler = build_scheduler("cosine", self.optimizers["optimizer"], opts.max_steps,
                                          opts.max_steps // 100, 0.03)
        # with edits, a head's partner comes with it
        self.shard = BatchShard(opts.batch_size // 2 if opts.edit_lambda else opts.batch_size, world.rank, world.size)

    def schedule(self, step: int) -> None:
        self._scheduler.step_update(step)

    def step(self, step: int, samples_seen: int) -> StepResult:
        positions = self.shard.positions(samples_seen, 0)
        heads = [self.heads[index_at(position, len(self.heads), self.opts.seed)] for position in positions]
        rngs = [np.random.default_rng((self.opts.seed, 7, position)) for position in positions]
        batch = _to(draw_batch(heads, self.settings, rngs), self.world.device)
        optimizer = self.optimizers["optimizer"]
        optimizer.zero_grad(set_to_none=True)
        loss, terms = self.loss(batch)
        loss.backward()
        if self.opts.grad_clip:
            nn.utils.clip_grad_norm_(self.siren.parameters(), self.opts.grad_clip)
        optimizer.step()
        names = [f"head {bank.heads[index]}" for bank, index in heads]
        return StepResult([({**terms, "loss": loss.detach()}, names)], self.shard.step_samples)

    @torch.no_grad()
    def validate(self, stopped: Callable[[], bool] = lambda: False) -> Validation:
        """Held-out heads, each in its first view: PSNR of colours in [0, 1], in dB, and depth error."""
        bank, size = self.val_bank, self.opts.test_output_size
        errors, rows = [], []
        for index in own_indices(len(bank), self.world):
            codes = self.siren.mapping_network(torch.from_numpy(bank.z[index:index + 1]).to(self.world.device))
            scene = Scene(self.siren, codes, self.preset)
            yaw, pitch = bank.cameras[index, 0].tolist()
            view = scene.render(Camera(yaw, pitch), size, samples=24)
            target = to_tensor(bank.rgb[index, 0])
            target = F.interpolate(target[None], (size, size), mode="bilinear", antialias=True)[0]
            errors.append(float(((view.rgb.cpu() - target) / 2).square().mean()))
            if self.world.is_main and len(rows) < PANEL_HEADS:
                turned = scene.render(Camera(yaw + 0.4 if yaw < np.pi / 2 else yaw - 0.4, pitch), size, samples=24)
                rows.append([photo_image(image) for image in (target, view.rgb, turned.rgb)])
        errors = [error for part in self.world.gather(errors) for error in part]
        psnr = float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))
        shown = panel(("held-out head", "reconstruction", "turned"), rows, max(128, size)) if rows else None
        return Validation({"psnr": psnr, "loss": float(np.mean(errors))}, shown)


def _load(root: Path, setting: str, limit: int) -> ViewBank:
    """The heads to train on. Errors name the setting that gave the folder."""
    with settings_named(data_root=setting):
        return ViewBank.load(root, "train", limit)


def initial_siren(width: int, z_dim: int, seed: int) -> FilmSiren:
    """A decoder to start from: pi-GAN's initialisation, a density layer of the size of densities, and no dependence on
    the view direction."""
    torch.manual_seed(seed)
    siren = FilmSiren(width, z_dim)
    with torch.no_grad():
        siren.final_layer.weight.mul_(DENSITY_GAIN)
        siren.final_layer.bias.mul_(DENSITY_GAIN)
        siren.color_layer_sine.layer.weight[:, :3] = 0
    return siren


def _to(batch: RayBatch, device: torch.device) -> RayBatch:
    return RayBatch(*(None if value is None else value.to(device, non_blocking=True)
                      for value in vars(batch).values()))
