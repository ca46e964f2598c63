"""An ablation on disk: which trainings it consists of, where they lie, and what all of them have in common.

    EXP_DIR/plan.json                        everything the figures depend on
    EXP_DIR/warm_<input>_seed<n>/            the warm starts, runs of train3d.py
    EXP_DIR/<variant>_seed<n>/               the trainings, likewise, with figures.json when they are examined
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.rendering import file_sha256
from models.checkpoints import LOCAL_PATH_OPTIONS
from models.start_weights import read_pigan_weights
from synth_heads.ablations.figures import START, Examination
from synth_heads.ablations.options import Options, Recipe
from synth_heads.generator.latent import LATENT_DIM
from utils.errors import UserError
from utils.files import write_text


@dataclass(frozen=True)
class Cell:
    """One training: its folder, its options, and the training whose weights it starts from."""

    folder: Path
    options: Options
    start: Cell | None = None

    @property
    def model(self) -> Path:
        """Is there when the last step is done."""
        return self.folder / "checkpoints" / f"iteration_{self.options['max_steps']}.pt"

    @property
    def figures(self) -> Path:
        """Is there when the model has been examined."""
        return self.folder / "figures.json"

    def read_figures(self) -> dict[str, float]:
        """
        Raises:
            UserError: the file is damaged.
        """
        try:
            return json.loads(self.figures.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.figures}: cannot be read ({error}); delete it and run the same command again"
                            ) from error


def lay_out(folder: Path, recipe: Recipe, variants: Mapping[str, Options], seeds: int) -> dict[str, list[Cell]]:
    """The rows of the table, one cell per seed: the first variant's warm starts, then the variants.

    Variants that read the same input share their warm starts.
    """
    rows: dict[str, list[Cell]] = {START: []}
    warm: dict[Path, Cell] = {}
    for name, variant in variants.items():
        reading = "contours" if variant.get("use_contour") else "labels"
        rows[name] = []
        for seed in range(seeds):
            path = folder / f"warm_{reading}_seed{seed}"
            start = warm.setdefault(path, Cell(path, {**recipe.warm_start(variant), "seed": seed}))
            rows[name].append(Cell(folder / f"{name}_seed{seed}", {**recipe.images(variant), "seed": seed}, start))
    rows[START] = [cell.start for cell in rows[next(iter(variants))]]
    return rows


def decoder_sizes(path: Path) -> dict[str, int]:
    """Width and length of z as options, from the shapes of a decoder's weights.

    Raises:
        UserError: it is no decoder, or one whose z is not SynthHeads' code.
    """
    state = read_pigan_weights(path)
    width = state["siren.final_layer.weight"].shape[1]
    z_dim = state["siren.mapping_network.network.0.weight"].shape[1]
    if z_dim != LATENT_DIM:
        raise UserError(f"`pigan_weights` {path}: this decoder's z has length {z_dim}, the codes of SynthHeads "
                        f"{LATENT_DIM}; give one that scripts/train_pigan.py trained on SynthHeads")
    return {"pigan_hidden_dim": width, "pigan_zdim": z_dim}


def make_plan(recipe: Recipe, variants: Mapping[str, Options], data: Mapping[str, Any], decoder: Path,
              examination: Examination) -> dict[str, Any]:
    """All that the figures depend on, but for the seeds. Files are named by their content, not by their place."""
    def options(values: Options) -> Options:
        return {name: value for name, value in values.items() if name not in LOCAL_PATH_OPTIONS}

    return {
        "data": dict(data), "decoder_sha256": file_sha256(decoder),
        "examination": {**asdict(examination), "segmenter": file_sha256(examination.segmenter)},
        "warm_start": options({**recipe.shared, **recipe.warm}),
        "images": options({**recipe.shared, **recipe.rendered}),
        "variants": {name: dict(values) for name, values in variants.items()},
    }


def agree_with_plan(path: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The plan, with the variants of earlier starts in the same folder, is written to `path`.

    Raises:
        UserError: the folder was begun with another plan.
    """
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        known = {**earlier, **earlier.pop("variants")}
    except FileNotFoundError:
        earlier, known = {}, {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: this plan cannot be read ({error}); give another `exp_dir`") from error
    wanted = {name: value for name, value in plan.items() if name != "variants"} | plan["variants"]
    for name, value in wanted.items():
        if known.get(name, value) != value:
            raise UserError(f"`exp_dir` {path.parent}: this ablation was begun with other settings ({name}); give "
                            "another folder, or remove this one")
    variants = {name: value for name, value in known.items() if name not in plan} | plan["variants"]
    merged = {**plan, "variants": variants}
    write_text(path, json.dumps(merged, indent=2) + "\n")
    return merged
