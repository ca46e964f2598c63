"""Heads seen from several known sides, in memory: what a decoder learns to reconstruct.

    bank = ViewBank.load(Path("data/SynthHeads"), "train")
    rays = bank.rays_at(0, bank.draw_pixels(0, 64, rng))    # of the first head

The data set has `latents.npz` (z, ids and cameras) beside its images, as build_synth_heads.py writes it, and `depth/`
if it was made with --depth. Images are 1.25 times as wide as the model's camera sees; only what it sees is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8, UInt16
from PIL import Image

from datasets.layout import DEPTH_FOLDER, DEPTH_UNIT
from datasets.masks.lists import list_folder, list_names
from datasets.poses import image_id
from synth_heads.data.edit_pairs import find_pairs
from synth_heads.data.known_z import read_latents
from synth_heads.data.record import VIEWS_A_HEAD
from synth_heads.generator.labels import LABEL_NAMES
from synth_heads.generator.renderer import MARGIN
from utils.errors import UserError

IMAGES, MASKS = "CelebA-HQ-img", "mask"
CANDIDATES = 16  # rays that are looked at to draw one evenly over labels


@dataclass(frozen=True)
class Rays:
    """Rays of a batch of heads, each through the middle of a pixel."""

    poses: Float[np.ndarray, "heads rays 2"]  # yaw and pitch of each ray's camera, radians
    places: Float[np.ndarray, "heads rays 2"]  # in the image: x right and y up, -1 to 1
    colours: Float[np.ndarray, "heads rays 3"]  # in [0, 1]
    depths: Float[np.ndarray, "heads rays"] | None  # along the ray, infinite on the background; None: unknown


class Pixels(NamedTuple):
    """Pixels of a head's views."""

    view: Int[np.ndarray, " rays"]
    row: Int[np.ndarray, " rays"]
    column: Int[np.ndarray, " rays"]


@dataclass(frozen=True)
class ViewBank:
    """All views of some heads.

    z: one per head. cameras: yaw and pitch, radians. rgb, labels, depth: images as the model's camera sees them; depth
    in steps of DEPTH_UNIT (world units), 0 on the background, None where the data set has none. edge: image coordinate
    of the outermost pixels' centres, near 1.
    """

    heads: Int[np.ndarray, " n"]  # numbers in the data set
    z: Float[np.ndarray, "n zdim"]
    cameras: Float[np.ndarray, "n views 2"]
    rgb: UInt8[np.ndarray, "n views s s 3"]
    labels: UInt8[np.ndarray, "n views s s"]
    depth: UInt16[np.ndarray, "n views s s"] | None
    edge: float

    @staticmethod
    def load(root: Path, side: str, limit: int = 0,
             track: Callable[[Iterable[int]], Iterable[int]] = lambda heads: heads) -> ViewBank:
        """Read the heads of a list.

        Args:
            side: 'train', 'val' or 'test'.
            limit: most heads that are read; 0: all.
            track: passes on the heads' numbers as they are read; for a progress bar.

        Raises:
            UserError: the folder has no z, or an image is missing or of another size.
        """
        latents = read_latents(root, "training a decoder")
        ids = latents.ids
        names = list_names(root / f"{side}_paths.txt", root / MASKS, list_folder(root / MASKS))
        heads = np.unique([image_id(name) // VIEWS_A_HEAD for name in names])
        heads = heads[:limit] if limit else heads
        with_depth = (root / DEPTH_FOLDER).is_dir()
        first = _read(root / IMAGES / f"{ids[heads[0], 0]}.jpg", "RGB")
        inside = visible_part(first.shape[0])
        views, size = ids.shape[1], inside.stop - inside.start
        rgb = np.empty((len(heads), views, size, size, 3), np.uint8)
        labels = np.empty(rgb.shape[:-1], np.uint8)
        depth = np.empty(rgb.shape[:-1], np.uint16) if with_depth else None

        def read(index: int) -> int:
            for view, identity in enumerate(ids[heads[index]]):
                image = _read(root / IMAGES / f"{identity}.jpg", "RGB", first.shape[0])
                rgb[index, view] = image[inside, inside]
                labels[index, view] = _read_labels(root / MASKS / f"{identity}.png", first.shape[0])[inside, inside]
                if depth is not None:
                    distance = _read(root / DEPTH_FOLDER / f"{identity}.png", None, first.shape[0])
                    depth[index, view] = distance[inside, inside]
            return index

        with ThreadPoolExecutor(4) as pool:
            for _ in track(pool.map(read, range(len(heads)))):
                pass
        edge = MARGIN * (size - 1) / (first.shape[0] - 1)
        return ViewBank(heads, latents.z[heads], latents.cameras[heads], rgb, labels, depth, edge)

    def __len__(self) -> int:
        return len(self.heads)

    def shown_labels(self) -> Float[np.ndarray, "n labels"]:
        """1 for every label that some view of a head shows, else 0."""
        return np.stack([np.isin(np.arange(len(LABEL_NAMES)), labels) for labels in self.labels]).astype(np.float64)

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Where the heads before and after an edit stand, see `synth_heads.data.edit_pairs`."""
        return find_pairs((self.heads * VIEWS_A_HEAD).tolist(), [camera.tobytes() for camera in self.cameras])

    @cached_property
    def partners(self) -> Int[np.ndarray, " n"]:
        """For each head where its other half stands, before or after an edit; -1 for none."""
        found = np.full(len(self), -1)
        for before, after in self.pairs:
            found[[before, after]] = after, before
        return found

    def draw_pixels(self, head: int, count: int, rng: np.random.Generator, balance: float = 0.0) -> Pixels:
        """Random pixels of one head, from all its views alike.

        Args:
            balance: share of the rays that are drawn evenly over the labels, not over the image: eyes and lips are
                small. Of CANDIDATES rays for each such ray, one is taken with odds that are inverse to how many of the
                candidates have its label.
        """
        size, chosen = self.rgb.shape[2], round(balance * count)
        total = count - chosen + CANDIDATES * chosen
        view = rng.integers(self.rgb.shape[1], size=total)
        row, column = rng.integers(size, size=(2, total))
        if chosen:
            labels = self.labels[head, view, row, column][count - chosen:]
            odds = 1 / np.bincount(labels)[labels]
            picked = rng.choice(len(labels), chosen, replace=False, p=odds / odds.sum()) + count - chosen
            # in random places: the first rays are rendered too
            kept = rng.permutation(np.concatenate([np.arange(count - chosen), picked]))
            view, row, column = view[kept], row[kept], column[kept]
        return Pixels(view, row, column)

    def rays_at(self, head: int, pixels: Pixels) -> Rays:
        """The rays through some pixels of one head (a batch of one)."""
        (view, row, column), size = pixels, self.rgb.shape[2]
        scale = 2 * self.edge / (size - 1)
        places = np.stack([column * scale - self.edge, self.edge - row * scale], -1)
        depths = None
        if self.depth is not None:
            steps = self.depth[head, view, row, column]
            depths = np.where(steps > 0, steps * np.float32(DEPTH_UNIT), np.float32(np.inf))[None].astype(np.float32)
        return Rays(self.cameras[head, view][None], places[None].astype(np.float32),
                    (self.rgb[head, view, row, column] / np.float32(255))[None].astype(np.float32), depths)


def join_rays(parts: list[Rays]) -> Rays:
    """Batches of equally many rays put together."""
    depths = None if parts[0].depths is None else np.concatenate([part.depths for part in parts])
    return Rays(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("poses", "places", "colours")),
                depths)


def repeat_factors(shown: Float[np.ndarray, "n labels"], share: float) -> Float[np.ndarray, " n"]:
    """How often each head comes up in an epoch: more often if it shows a label that few heads show.

    Gupta et al., "LVIS" (CVPR 2019), sec. 3.4: the largest of max(1, sqrt(share / f)) over a head's labels, where f is
    the share of the heads that show a label.
    """
    frequency = shown.mean(0)
    factors = np.sqrt(share / np.maximum(frequency, 1e-9)).clip(min=1)
    return (shown * factors).max(1)


def mirror_rays(rays: Rays) -> Rays:
    """The same rays as a mirror shows them, left for right."""
    yaw, pitch = rays.poses[..., 0], rays.poses[..., 1]
    poses = np.stack([np.float32(np.pi) - yaw, pitch], -1)
    return replace(rays, poses=poses, places=rays.places * np.float32([-1, 1]))


def visible_part(size: int) -> slice:
    """The rows (and columns) of an image on disk that the model's camera sees."""
    seen = round(size / MARGIN)
    start = (size - seen) // 2
    return slice(start, start + seen)


def _read_labels(path: Path, size: int) -> UInt8[np.ndarray, "size size"]:
    """A mask, reduced to the images' size; masks may be larger."""
    labels = _read(path, None)
    if len(labels) == size:
        return labels
    return np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))


def _read(path: Path, mode: str | None, size: int | None = None) -> np.ndarray:
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file.convert(mode) if mode else file)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: this image cannot be read ({error}); build the data set again") from error
    if size is not None and pixels.shape[:2] != (size, size):
        raise UserError(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels, but the others have {size} x {size}; "
                        "build the data set again")
    return pixels
