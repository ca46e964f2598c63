"""Sizes that may change in the course of training, from a YAML file.

    0: {img_size: 512, resolution_vol: 128, num_steps: 28}       # from this step on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from utils.errors import UserError
from utils.files import in_project, read_text

SIZES = ("img_size", "resolution_vol", "num_steps")


@dataclass(frozen=True)
class Stage:
    """Sizes from one step on, in pixels along each side."""

    start: int  # first step, counted from 0
    img_size: int  # the whole image that patches are parts of
    resolution_vol: int  # rays of a patch
    num_steps: int | None = None  # samples per ray; None: those of `pigan_infer_ray_step`
    others: Mapping[str, Any] = field(default_factory=dict, compare=False)  # what else the file says, without effect


def read_stages(path: str | Path) -> tuple[Stage, ...]:
    """Stages in order; the first starts at step 0.

    Raises:
        UserError: the file cannot be read or does not say what is needed.
    """
    form = "write lines such as `0: {img_size: 512, resolution_vol: 128}`"
    general, steps = read_steps(path, form)
    stages = []
    for start, values in steps.items():
        image = values.get("img_size")
        patch = values.get("resolution_vol", image)
        if not isinstance(image, int) or not isinstance(patch, int) or min(image, patch) < 1:
            raise steps_error(path, f"step {start} needs img_size and resolution_vol; {form}")
        samples = values.get("num_steps")
        if samples is not None and (not isinstance(samples, int) or samples < 3):
            raise steps_error(path, f"step {start}: num_steps is {samples}, give at least 3 samples per ray, or leave "
                                    "it to `pigan_infer_ray_step`")
        others = {key: value for key, value in {**general, **values}.items() if key not in SIZES}
        stages.append(Stage(start, image, patch, samples, others))
    return tuple(stages)


def stage_at(stages: tuple[Stage, ...], step: int) -> Stage:
    """The stage that step number `step` (from 0) belongs to."""
    return [stage for stage in stages if stage.start <= step][-1]


def read_steps(path: str | Path, form: str) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """What a file says for the whole run, and from which step on what holds, in order of the steps.

    Args:
        form: how such a file is written, for messages.

    Raises:
        UserError: the file cannot be read, or does not begin at step 0.
    """
    try:
        content = yaml.safe_load(read_text(in_project(path)))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise steps_error(path, f"cannot be read ({reason}); choose a file of configs/pigan_steps/") from error
    except yaml.YAMLError as error:
        raise steps_error(path, f"this is not YAML ({' '.join(str(error).split())}); {form}") from error
    content = content if isinstance(content, dict) else {}
    steps = {key: value for key, value in content.items() if isinstance(key, int) and isinstance(value, dict)}
    if not steps or min(steps) != 0:
        raise steps_error(path, f"it does not say the sizes from step 0 on; {form}")
    return {key: value for key, value in content.items() if isinstance(key, str)}, dict(sorted(steps.items()))


def steps_error(path: str | Path, problem: str) -> UserError:
    """What is wrong with a file of steps."""
    return UserError(f"`pigan_steps_conf` {path}: {problem}")
