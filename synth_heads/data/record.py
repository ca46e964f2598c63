"""What a dataset is made with, and how far its build has come: a small file that counts what has reached the disk."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from synth_heads.generator.labels import LABEL_NAMES
from utils.errors import UserError
from utils.files import write_text

VIEWS_A_HEAD = 100   # ids are head * 100 + view
SIZES = (128, 512)
RECORD = "build.json"
_GENERATOR = Path(__file__).resolve().parents[1] / "generator"
_NOT_DRAWING = {"asset_build.py"}  # no image depends on it


@dataclass(frozen=True)
class Settings:
    """All that the bytes of a dataset depend on; `build_synth_heads.py --help` explains each.

    Raises:
        UserError: one is out of range.
    """

    num_heads: int
    views: int
    size: int
    seed: int = 0
    palette: Literal["free", "fixed"] = "free"
    merged: bool = False
    depth: bool = False
    norms: Literal["full", "varied"] = "full"
    mask_size: int | None = None  # None: masks are as large as images
    edits: bool = False

    def __post_init__(self) -> None:
        if self.num_heads < 1:
            raise UserError(f"`num_heads` {self.num_heads}: give at least 1")
        if not 1 <= self.views <= VIEWS_A_HEAD:
            raise UserError(f"`views` {self.views}: give 1 to {VIEWS_A_HEAD} views a head")
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise UserError(f"`size` {self.size}: give {SIZES[0]} to {SIZES[1]} pixels")
        if self.mask_size is not None and not self.size <= self.mask_size <= 2048:
            raise UserError(f"`mask_size` {self.mask_size}: give {self.size} (`size`) to 2048 pixels")
        if self.mask_size is not None and not self.merged:
            raise UserError("`mask_size`: it is for combined masks; add `merged`")
        if self.edits and self.num_heads % 2:
            raise UserError(f"`num_heads` {self.num_heads}: with `edits` heads come in pairs; give an even number")
        if self.seed < 0:
            raise UserError(f"`seed` {self.seed}: give a whole number from 0 on")


_DEFAULTS = {item.name: item.default for item in fields(Settings)}


@dataclass(frozen=True)
class Record:
    """The first `heads` heads are finished: for each label, their pixels and the images that show it."""

    heads: int
    counts: Int[np.ndarray, "2 labels"]

    def plus(self, counts: Int[np.ndarray, "2 labels"]) -> "Record":
        """With one more head."""
        return Record(self.heads + 1, self.counts + counts)


def read_record(path: Path, settings: Settings) -> Record:
    """The record of an earlier build, or an empty one.

    Raises:
        UserError: that build had other settings or another generator, or more heads; or the file is damaged.
    """
    if not path.exists():
        return Record(0, np.zeros((2, len(LABEL_NAMES)), np.int64))
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        record = Record(int(saved["heads"]), np.array([saved["pixels"], saved["pictures"]], np.int64))
        made_with = saved["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: this record of an earlier build cannot be read ({error}); remove the folder, or give "
                        "another `out`") from error
    for name, value in _made_with(settings).items():
        then = made_with.get(name, _DEFAULTS.get(name))  # older builds had fewer settings
        if then != value:
            what = ("by another version of the generator" if name == "generator" else
                    f"with{'' if then else 'out'} --{name}" if isinstance(value, bool) else f"with --{name} {then}")
            raise UserError(f"`out` {path.parent}: holds a dataset made {what}; give another folder, or remove this "
                            "one")
    if record.heads > settings.num_heads:
        raise UserError(f"`num_heads` {settings.num_heads}: {path.parent} holds {record.heads} heads already; give at "
                        "least as many, or another `out`")
    return record


def save_record(path: Path, record: Record, settings: Settings) -> None:
    """Write the record once the images it counts are on the disk, so that it is true even after a power cut."""
    if hasattr(os, "sync"):
        os.sync()
    pixels, pictures = record.counts.tolist()
    write_text(path, json.dumps({"settings": _made_with(settings), "heads": record.heads, "pixels": pixels,
                                 "pictures": pictures}, indent=1) + "\n")


def generator_version() -> str:
    """A fingerprint of everything that shapes an image: a build never mixes images of two generators."""
    files = sorted(path for path in _GENERATOR.glob("*.py") if path.name not in _NOT_DRAWING)
    digest = hashlib.sha256()
    for path in [*files, _GENERATOR / "head.npz"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _made_with(settings: Settings) -> dict[str, object]:
    return {name: value for name, value in asdict(settings).items() if name != "num_heads"} | {
        "generator": generator_version()}
