"""Ablations: YAML files of options of train_encoder.py, and the command lines that follow from them.

    recipe, variants = read_ablation(Path("synth_heads/configs/ablations"))
    arguments(recipe.images(variants["full"]))       # ["--dataset_type=synthheads_seg_to_3dface", ...]

`base.yaml` has three sections of options: of both phases, of the warm start, and of the training by images. Every
other file of the folder is a variant: options that come on top of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synth_heads.encoder.options import build_parser
from utils.errors import UserError

BASE = "base"
SECTIONS = ("both", "warm_start", "images")
READING = ("use_contour",)  # a variant's options that change what the encoder reads, in the warm start already

Options = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """Options that all variants share, by the section they come from."""

    shared: Options
    warm: Options
    rendered: Options

    def with_steps(self, warm: int | None, rendered: int | None) -> Recipe:
        """Of other lengths, where they are given."""
        steps = [{} if value is None else {"max_steps": value} for value in (warm, rendered)]
        return Recipe(self.shared, {**self.warm, **steps[0]}, {**self.rendered, **steps[1]})

    def with_shared(self, options: Options) -> Recipe:
        """With more options that all have in common."""
        return Recipe({**self.shared, **options}, self.warm, self.rendered)

    def warm_start(self, variant: Mapping[str, Any]) -> Options:
        """Of the first phase. No image is rendered in it, so variants that read the same input share it."""
        return {**self.shared, **self.warm, **{key: variant[key] for key in READING if key in variant}}

    def images(self, variant: Mapping[str, Any]) -> Options:
        """Of the second phase."""
        return {**self.shared, **self.rendered, **variant}


def read_ablation(folder: Path) -> tuple[Recipe, dict[str, Options]]:
    """The recipe and all variants by name, in alphabetical order.

    Raises:
        UserError: a file cannot be read, or holds something else than options of train_encoder.py.
    """
    content = _read(folder / f"{BASE}.yaml")
    if set(content) != set(SECTIONS):
        raise UserError(f"{folder / BASE}.yaml: it must have the sections {', '.join(SECTIONS)} and no other")
    recipe = Recipe(*(_checked(folder / f"{BASE}.yaml", content[section]) for section in SECTIONS))
    paths = sorted(path for path in folder.glob("*.yaml") if path.stem != BASE)
    if not paths:
        raise UserError(f"{folder}: it holds no variant beside {BASE}.yaml; add a YAML file of options for each")
    return recipe, {path.stem: _checked(path, _read(path)) for path in paths}


def arguments(options: Mapping[str, Any]) -> list[str]:
    """A command line of train_encoder.py."""
    return [f"--{name}={value}" for name, value in options.items()]


def choose(variants: Mapping[str, Options], names: Sequence[str] | None) -> dict[str, Options]:
    """The variants of these names, in their order; None: all.

    Raises:
        UserError: there is no such variant.
    """
    if names is None:
        return dict(variants)
    for name in names:
        if name not in variants:
            raise UserError(f"`variants` {name}: not known; choose from {', '.join(variants)}")
    return {name: variants[name] for name in names}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"{path}: cannot be read ({reason}); give a folder such as synth_heads/configs/ablations"
                        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: this is not YAML ({error}); write lines such as `patch_train: true`") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: it holds no options; write lines such as `patch_train: true`")
    return content


def _checked(path: Path, options: Any) -> Options:
    known = vars(build_parser().parse_args([]))
    for name in options if isinstance(options, dict) else (options,):
        if name not in known:
            raise UserError(f"{path}: {name} is no option of train_encoder.py; its help lists them")
    return options
