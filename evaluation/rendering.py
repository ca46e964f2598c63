"""Rendering a test set, one file per mask and kind of view, so that a run that was stopped or asks for more goes on.

    renders = Renders.open(Path("out/eval/renders"), settings)
    for _ in renders.render_missing(data, wanted, workers=2, devices=("cpu",)): ...
    renders.load("own", "90001").rgb                 # (1, 3, size, size) in [-1, 1]

Kinds: own (the mask's own pose), near (a little to the side of it), novel (other views of the same head), styles (the
own pose in several styles).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.layout import DEPTH_UNIT
from datasets.masks.maps import MASK_SIZE, MaskTransform
from evaluation.test_set import EvaluationSet, TestMask
from models.checkpoints import read_checkpoint
from models.config import ModelConfig
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.semantic_head import SemanticHead
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError
from utils.files import atomic_path, make_folder, write_text
from utils.images import from_bytes, to_uint8
from utils.parallel import own_value, process_map

KINDS = ("own", "near", "novel", "styles")
NEAR_YAW = 0.1          # radians between a mask's own view and its neighbour
FIRST_STYLE = 1         # seeds of the styles: 1, 2, 3 ...
SETTINGS = "settings.json"


@dataclass(frozen=True)
class RenderSettings:
    """All that an image depends on, beside its mask."""

    checkpoint: Path
    model: ModelConfig            # what the checkpoint says, or this run instead
    dataset_type: str
    size: int                     # pixels
    samples: int                  # per ray, in each of two passes
    sampler: str                  # see `Scene.render`
    style_layers: tuple[int, ...]
    styles: int
    max_block: int | None = None  # bounds the memory, changes no image
    rounded: bool = True          # colours are kept in 8 bits, as image files have them; False: as they are computed
    semantic_head: SemanticHead | None = field(default=None, compare=False)  # of the weights; label maps are kept too

    @property
    def transform(self) -> MaskTransform:
        """How masks are framed, and images to compare with."""
        return self.model.input.transform

    @property
    def merged(self) -> bool:
        """Whether the model reads merged labels."""
        return self.model.input.merged

    def facts(self) -> dict[str, Any]:
        """In words for the record of a folder and for the protocol."""
        order = self.model.input.label_order
        return {
            "checkpoint": self.checkpoint.name, "checkpoint_sha256": file_sha256(self.checkpoint),
            "dataset_type": self.dataset_type, "merged_labels": self.merged,
            "mask_framing": f"resize {self.transform.load_size}, crop {self.transform.crop_size}, "
                            f"network input {self.transform.input_size}, outlines drawn at {MASK_SIZE}"
                            + (f", labels in {order} order" if order != "celebamask" else ""),
            "image_size": self.size, "samples": f"{self.samples} + {self.samples}", "sampler": self.sampler,
            "near_yaw": NEAR_YAW, "style_layers": list(self.style_layers),
            "style_seeds": list(range(FIRST_STYLE, FIRST_STYLE + self.styles)),
            **({} if self.rounded else {"colours": "as computed, in 32 bits"}),
            **({"semantic_head_sha256": self.semantic_head.sha256} if self.semantic_head else {}),
        }


@dataclass(frozen=True)
class SavedViews:
    """Views of one mask and kind: colours in [-1, 1], distances along the rays in world units, opacity in [0, 1], and
    labels where the weights have a semantic head."""

    rgb: Float[Tensor, "views 3 size size"]
    depth: Float[Tensor, "views size size"]
    opacity: Float[Tensor, "views size size"]
    labels: UInt8[Tensor, "views size size"] | None = None

    @property
    def pixels(self) -> UInt8[Tensor, "views 3 size size"]:
        """The colours as image files hold them."""
        return torch.from_numpy(np.stack([to_uint8(image).transpose(2, 0, 1) for image in self.rgb]))


@dataclass(frozen=True)
class Renders:
    """A folder of renders."""

    folder: Path
    settings: RenderSettings

    @staticmethod
    def open(folder: Path, settings: RenderSettings, overwrite: bool = False) -> Renders:
        """A new folder, or one that was rendered with the same settings.

        Raises:
            UserError: it holds renders made with others, and `overwrite` does not say that they may go.
        """
        record, facts = make_folder(folder) / SETTINGS, settings.facts()
        if record.is_file() and not overwrite:
            earlier = _read_json(record)
            changed = sorted(key for key in facts if earlier.get(key) != facts[key])
            if changed:
                key = changed[0]
                raise UserError(f"`exp_dir` {folder.parent}: holds renders with {key} {earlier.get(key)}, not "
                                f"{facts[key]}; give another folder, or replace them with `overwrite`")
        elif overwrite:
            for file in folder.glob("*/*.npz"):
                file.unlink()
        write_text(record, json.dumps(facts, indent=1) + "\n")
        return Renders(folder, settings)

    def path(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.npz"

    def missing(self, data: EvaluationSet, wanted: Mapping[str, int]) -> list[tuple[TestMask, tuple[str, ...]]]:
        """Masks with the kinds that are still to render.

        Args:
            wanted: kind -> for how many masks (the first ones).
        """
        todo = []
        for index, mask in enumerate(data.masks):
            kinds = tuple(kind for kind, count in wanted.items()
                          if index < count and not self.path(kind, mask.name).is_file())
            if kinds:
                todo.append((mask, kinds))
        return todo

    def render_missing(self, data: EvaluationSet, wanted: Mapping[str, int], workers: int, devices: Sequence[str],
                       shard: tuple[int, int] = (0, 1)) -> Iterator[str]:
        """Render what is missing; gives the masks' names as they are finished.

        Args:
            workers: processes, each with a single CPU thread; no image depends on their number. 0: in this process.
            devices: dealt out to the processes in turn.
            shard: (k, n): only every nth of the missing masks, from the kth on, for a part of the work.
        """
        jobs = [(self, mask, kinds) for mask, kinds in self.missing(data, wanted)]
        numbers = {mask.name: index for index, mask in enumerate(data.masks)}
        jobs = [job for job in jobs if numbers[job[1].name] % shard[1] == shard[0]]
        if workers == 0:
            yield from map(render_mask, jobs)
        elif jobs:
            yield from process_map(render_mask, jobs, min(workers, len(jobs)), devices)

    def load(self, kind: str, name: str) -> SavedViews:
        """
        Raises:
            UserError: it was not rendered, or the file is damaged.
        """
        path = self.path(kind, name)
        try:
            with np.load(path, allow_pickle=False) as file:
                rgb, depth, opacity = (torch.from_numpy(file[key]) for key in ("rgb", "depth", "opacity"))
                labels = torch.from_numpy(file["labels"]) if "labels" in file else None
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: this render cannot be read ({error}); delete it and run again") from error
        if not self.settings.rounded:
            return SavedViews(rgb, depth, opacity, labels)
        return SavedViews(from_bytes(rgb), depth.float() * DEPTH_UNIT, opacity.float() / 255, labels)


def render_mask(job: tuple[Renders, TestMask, tuple[str, ...]]) -> str:
    """Render and save some kinds of views of one mask, on the device that `process_map` dealt out to this process.

    Raises:
        UserError: the mask cannot be used or a file cannot be written.
    """
    renders, mask, kinds = job
    settings = renders.settings
    net = load_model(settings.checkpoint, settings.model, own_value() or "cpu")
    net.semantic_head = settings.semantic_head
    with torch.no_grad():
        codes = net.encode(net.read(mask.path)[None])
    own = net.scene_of(codes, settings.max_block)
    for kind in kinds:
        if kind == "styles":
            shots = [(net.scene_of(net.styled(codes, seed, settings.style_layers), settings.max_block), mask.pose)
                     for seed in range(FIRST_STYLE, FIRST_STYLE + settings.styles)]
        else:
            shots = [(own, pose) for pose in poses_of(kind, mask)]
        _save(renders.path(kind, mask.name), shots, settings)
    return mask.name


def poses_of(kind: str, mask: TestMask) -> list[tuple[float, float]]:
    """Yaw and pitch of each view, radians. The near view lies towards the front, where there is most to see."""
    yaw, pitch = mask.pose
    if kind == "near":
        return [(yaw + (NEAR_YAW if yaw <= FRONTAL else -NEAR_YAW), pitch)]
    return [other.pose for other in mask.novel] if kind == "novel" else [mask.pose]


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _save(path: Path, shots: Sequence[tuple[Scene, tuple[float, float]]], settings: RenderSettings) -> None:
    views = [scene.render(Camera(*pose), settings.size, settings.samples, sampler=settings.sampler,
                          labels=settings.semantic_head is not None) for scene, pose in shots]
    labels = [view.labels.numpy() for view in views if view.labels is not None]
    rgb, depth, opacity = (torch.stack([getattr(view, name) for view in views]) for name in ("rgb", "depth", "opacity"))
    arrays: dict[str, Any] = {"rgb": rgb.numpy(), "depth": depth.numpy(), "opacity": opacity.numpy()}
    if settings.rounded:
        arrays = {"rgb": SavedViews(rgb, depth, opacity).pixels.numpy(),
                  "depth": (depth / DEPTH_UNIT).round().clamp(0, 65535).numpy().astype(np.uint16),
                  "opacity": (opacity * 255).round().clamp(0, 255).numpy().astype(np.uint8)}
    if labels:
        arrays["labels"] = np.stack(labels)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


@lru_cache(maxsize=2)
def load_model(checkpoint: Path, config: ModelConfig, device: str = "cpu") -> Sem2NeRF:
    """The model of this process.

    Raises:
        UserError: the checkpoint cannot be used or does not fit the configuration.
    """
    return Sem2NeRF.from_contents(read_checkpoint(checkpoint), checkpoint, config).to(device)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: this record cannot be read ({error}); delete the folder {path.parent}") from error
