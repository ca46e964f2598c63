"""How a pi-GAN grows: sizes, batches and rates by step, and the cameras of its images, from a YAML file.

    poses: {distribution: gaussian, yaw: 0.3, pitch: 0.155}
    fade_steps: 10000
    discriminator: coordinates     # or plain; may be left out
    pose_lambda: 15                # may be left out
    keep_square: 0.8               # of photographs; may be left out: all
    0: {img_size: 32, batch_size: 56, batch_split: 1, samples: 12, gen_lr: 5.0e-5, disc_lr: 4.0e-4}
    10000: {img_size: 64, batch_size: 28, batch_split: 2, samples: 12, gen_lr: 2.5e-5, disc_lr: 2.0e-4}
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.cameras import FRONTAL
from pretraining.progressive_discriminator import SIZES
from training.size_schedule import read_steps, steps_error
from utils.errors import UserError

DISTRIBUTIONS = ("gaussian", "uniform")
DISCRIMINATORS = ("coordinates", "plain")
FORM = ("write `poses: {distribution: gaussian, yaw: 0.3, pitch: 0.155}`, `fade_steps: 10000` and lines such as `0: "
        "{img_size: 32, batch_size: 56, batch_split: 1, samples: 12, gen_lr: 5.0e-5, disc_lr: 4.0e-4}`")


@dataclass(frozen=True)
class PoseDistribution:
    """Where cameras stand: standard deviations (gaussian) or greatest distances (uniform) from the frontal view."""

    distribution: str
    yaw: float  # radians
    pitch: float

    def draw(self, generator: torch.Generator) -> Float[Tensor, "2"]:
        """Yaw and pitch of a camera."""
        gaussian = self.distribution == "gaussian"
        unit = torch.randn(2, generator=generator) if gaussian else torch.rand(2, generator=generator) * 2 - 1
        return FRONTAL + unit * torch.tensor([self.yaw, self.pitch])


@dataclass(frozen=True)
class GrowthStage:
    """What holds from one step on."""

    start: int  # first step, counted from 0
    img_size: int  # pixels along each side
    batch_size: int  # images of one process and step
    batch_split: int  # equal parts that these are taken in, one after the other
    samples: int  # per ray, in each of two passes
    gen_lr: float
    disc_lr: float


@dataclass(frozen=True)
class Growth:
    """A whole file."""

    stages: tuple[GrowthStage, ...]
    poses: PoseDistribution
    fade_steps: int  # how long a resolution is faded in
    coordinates: bool = True  # whether the discriminator sees where a pixel lies
    pose_lambda: float = 15.0  # weight of the discriminator's guess at a rendering's camera
    keep_square: float = 1.0  # side of a photograph's central square, as a share of its shorter side

    def at(self, step: int) -> GrowthStage:
        """The stage that step number `step` (from 0) belongs to."""
        return [stage for stage in self.stages if stage.start <= step][-1]

    def alpha(self, step: int) -> float:
        """How far the resolution of step number `step` is faded in, 0 to 1: the first one too, as published."""
        size = self.at(step).img_size
        first = min(stage.start for stage in self.stages if stage.img_size == size)
        return min(1.0, (step - first) / self.fade_steps) if self.fade_steps else 1.0


def read_growth(path: str | Path) -> Growth:
    """
    Raises:
        UserError: the file cannot be read or does not say what is needed.
    """
    general, steps = read_steps(path, FORM)
    poses, fade = general.get("poses"), general.get("fade_steps")
    poses = poses if isinstance(poses, dict) else {}
    spread = [_number(poses.get(name)) for name in ("yaw", "pitch")]
    if poses.get("distribution") not in DISTRIBUTIONS or not all(value >= 0 for value in spread):
        raise steps_error(path, f"poses needs a distribution ({' or '.join(DISTRIBUTIONS)}), yaw and pitch; {FORM}")
    if not isinstance(fade, int) or fade < 0:
        raise steps_error(path, f"fade_steps is {fade}, give a number of steps; {FORM}")
    form, weight = general.get("discriminator", "coordinates"), _number(general.get("pose_lambda", 15.0))
    if form not in DISCRIMINATORS:
        raise steps_error(path, f"discriminator is {form}, give {' or '.join(DISCRIMINATORS)}")
    if not 0 <= weight < math.inf:
        raise steps_error(path, f"pose_lambda is {general['pose_lambda']}, give a number from 0 on")
    keep = _number(general.get("keep_square", 1.0))
    if not 0 < keep <= 1:
        raise steps_error(path, f"keep_square is {general['keep_square']}, give a fraction above 0, at most 1")
    stages = tuple(_stage(path, start, values) for start, values in steps.items())
    for one, other in pairwise(stages):
        if other.img_size not in (one.img_size, 2 * one.img_size):
            raise steps_error(path, f"at step {other.start} images grow from {one.img_size} to {other.img_size} "
                                    "pixels; they can only double")
    return Growth(stages, PoseDistribution(poses["distribution"], *spread), fade, form == "coordinates", weight, keep)


def _stage(path: str | Path, start: int, values: dict[str, Any]) -> GrowthStage:
    def refuse(problem: str) -> UserError:
        return steps_error(path, f"step {start}: {problem}; {FORM}")

    whole: dict[str, int] = {}
    for name in ("img_size", "batch_size", "batch_split", "samples"):
        value = values.get(name)
        if not isinstance(value, int) or value < 1:
            raise refuse(f"{name} is {value}, give a whole number")
        whole[name] = value
    rates = {name: _number(values.get(name)) for name in ("gen_lr", "disc_lr")}
    for name, value in rates.items():
        if not 0 < value < math.inf:
            raise refuse(f"{name} is {values.get(name)}, give a rate above 0")
    if whole["img_size"] not in SIZES:
        raise refuse(f"img_size is {whole['img_size']}, give one of {', '.join(map(str, SIZES))}")
    if whole["samples"] < 3:
        raise refuse(f"samples is {whole['samples']}, give at least 3")
    if whole["batch_size"] % whole["batch_split"]:
        raise refuse(f"batch_size {whole['batch_size']} cannot be split into {whole['batch_split']} equal parts")
    return GrowthStage(start, **whole, gen_lr=rates["gen_lr"], disc_lr=rates["disc_lr"])


def _number(value: Any) -> float:
    """NaN if it is none. YAML reads 1e-4, without a point, as a text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
