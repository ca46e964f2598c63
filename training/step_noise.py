"""Everything random in a training step, as a function of the seed and of where in the run the step stands.

A sample's numbers depend on the seed and on its position in the run (0 for the very first sample, and so on); the patch
scale that a whole step shares (`patch_shift` diagonal) on the seed and the step. So they do not depend on how many
processes share the work, and a resumed run draws what an uninterrupted one would have. All numbers are drawn on the
CPU: a seed means the same on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.sampling import RayNoise
from training.extreme_poses import ExtremePoseRanges, draw_extreme_poses
from training.patches import PatchConfig, draw_patches, patch_grid
from training.step import StepNoise

# independent streams of random numbers
SAMPLE, EXTREME, PATCH, POSE, FAKE, FLIP = range(6)


@dataclass(frozen=True)
class StepNoiseConfig:
    """What is drawn."""

    seed: int
    samples: int  # per ray
    hierarchical: bool
    patches: PatchConfig | None  # None: always the whole image
    extreme_poses: ExtremePoseRanges
    extreme_probability: float  # of a sample at an extreme pose
    drop_paths: int = 0  # stochastic-depth layers of the encoder


@dataclass(frozen=True)
class PackedNoise:
    """The numbers of a `StepNoise` in one row in main memory, so that they reach a GPU in one copy."""

    values: Float[Tensor, " numbers"]
    shapes: tuple[torch.Size | None, ...]

    @classmethod
    def of(cls, noise: RayNoise, *others: Tensor | None, pin: bool = False) -> PackedNoise:
        """
        Args:
            others: the other fields of `StepNoise` in their order, all in float32.
            pin: keep them in memory that a GPU copies from while the processor goes on.
        """
        parts = (*noise, *others)
        given = [part.flatten() for part in parts if part is not None]
        values = torch.empty(sum(map(len, given)), pin_memory=pin)
        return cls(torch.cat(given, out=values), tuple(None if part is None else part.shape for part in parts))

    def to(self, device: torch.device) -> StepNoise:
        """On the device."""
        sizes = [shape.numel() for shape in self.shapes if shape is not None]
        given = iter(self.values.to(device, non_blocking=True).split(sizes))
        perturbation, importance, grid, extreme_poses, own_pose, drop_paths = (
            None if shape is None else next(given).view(shape) for shape in self.shapes)
        assert grid is not None
        return StepNoise(grid, RayNoise(perturbation, importance), extreme_poses,
                         None if own_pose is None else own_pose.long(), drop_paths)


def draw_step_noise(config: StepNoiseConfig, step: int, positions: Sequence[int], batch_start: int, batch_total: int,
                    resolution: int, pin: bool = False) -> PackedNoise:
    """Draw for one process's samples of one step.

    Args:
        step: number of the step, from 0.
        positions: each sample's position in the run.
        batch_start, batch_total: position of the step's first sample, and how many samples the step has over all
            processes and micro-batches.
        resolution: rays along each side of the patch.
        pin: see `PackedNoise.of`.
    """
    grids, perturbations, importances, drops, poses = [], [], [], [], []
    extreme = [np.random.default_rng((config.seed, EXTREME, position)).random() < config.extreme_probability
               for position in positions]
    for position in positions:
        generator = generator_at(config.seed, SAMPLE, position)
        if config.patches is not None and config.patches.shift == "free":
            grids.append(draw_patches(config.patches, resolution, step, 1, generator))
        shape = (1, resolution * resolution, config.samples)
        perturbations.append(torch.rand(shape, generator=generator))
        drops.append(torch.rand(1, config.drop_paths, generator=generator))
        if config.hierarchical:
            importances.append(torch.rand(shape, generator=generator))
        if any(extreme):
            rng = np.random.default_rng((config.seed, POSE, position))
            poses.append(torch.from_numpy(draw_extreme_poses(config.extreme_poses, 1, rng)).float())
    if config.patches is None:
        one, zero = torch.ones(len(positions)), torch.zeros(len(positions))
        grids = [patch_grid(resolution, one, zero, zero)]
    elif config.patches.shift == "diagonal":  # the whole batch shares its scale
        shared = draw_patches(config.patches, resolution, step, batch_total, generator_at(config.seed, PATCH, step))
        grids = [shared[[position - batch_start for position in positions]]]
    own = [float(index) for index, far in enumerate(extreme) if not far]
    return PackedNoise.of(
        RayNoise(torch.cat(perturbations), torch.cat(importances) if importances else None), torch.cat(grids),
        torch.cat(poses) if poses else None, torch.tensor(own) if own and any(extreme) else None,
        torch.cat(drops) if config.drop_paths else None, pin=pin)


def generator_at(seed: int, stream: int, number: int) -> torch.Generator:
    """The random numbers of one sample (or step) of a stream."""
    state = int(np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)  # manual_seed takes 63 bits
