"""What a head learns from: masks with their poses, the codes that the encoder predicts for them, features of rays.

The field is never seen by a gradient, so the features of a mask's rays are the same whenever they are needed: they are
computed once and kept, as far as the memory goes that may be taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from configs.label_spaces import LabelSpace
from datasets.layout import images_of_heads
from datasets.masks.lists import entry_stem
from datasets.masks.maps import PreparedMask, merge_labels
from datasets.poses import image_id
from models.pigan.cameras import world_rays
from models.pigan.codes import Codes
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.labelled import layer_features
from models.sem2nerf import Sem2NeRF
from semantics.rays import draw_rays, surface_points

STYLE_LAYERS = (6, 7, 8)  # FiLM layers that colours come from: labels must not depend on them
GB = 1 << 30
THREADS = 4  # that read masks ahead


class RayFeatures(NamedTuple):
    """Of the rays of one mask."""

    features: Float[Tensor, "rays points features"]  # in half precision
    label: Int[Tensor, " rays"]
    weight: Float[Tensor, " rays"]

    @property
    def bytes(self) -> int:
        return sum(value.nbytes for value in self)


@dataclass(frozen=True)
class ReadMask:
    """What is read of a file: what the encoder sees, and the labels of the same part of the mask."""

    planes: PreparedMask
    labels: UInt8[np.ndarray, "size size"]  # of the head's label space


def read_view(net: Sem2NeRF, path: Path, space: LabelSpace) -> ReadMask:
    """
    Args:
        space: of the labels: that of mask files, or what they are merged to.

    Raises:
        UserError: the mask cannot be used.
    """
    labels = net.input.labels(path)
    return ReadMask(net.input.prepare(labels, path), _as_seen(net, labels, space))


def read_labels(net: Sem2NeRF, path: Path, space: LabelSpace) -> UInt8[np.ndarray, "size size"]:
    """What `read_view` gives as labels."""
    return _as_seen(net, net.input.labels(path), space)


def _as_seen(net: Sem2NeRF, labels: UInt8[np.ndarray, "rows columns"], space: LabelSpace
             ) -> UInt8[np.ndarray, "size size"]:
    """Labels of a mask file -> those of the part of it that the camera sees."""
    reader = net.input
    wanted = labels if space is reader.space else merge_labels(labels, reader.space)
    frame = reader.transform
    seen = round(max(labels.shape) * (frame.crop_size / frame.load_size if frame.crop else 1))
    return frame.at(seen).apply(wanted)


def other_views(root: Path, masks: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """Mask -> the others of these that show its head from other sides, for masks that have some; empty where the data
    set does not say which images show one head (`datasets.layout.images_of_heads`).

    Raises:
        UserError: the file that says so cannot be read.
    """
    ids, named = images_of_heads(root), {entry_stem(path.name): path for path in masks}
    found: dict[Path, tuple[Path, ...]] = {}
    for row in () if ids is None else ids.tolist():
        head = [named[str(number)] for number in row if str(number) in named]
        found |= {path: tuple(other for other in head if other is not path) for path in head if len(head) > 1}
    return found


class Views:
    """The masks of one process.

    Args:
        net: frozen, on its device.
        poses: image id -> yaw and pitch, radians.
        space: of the labels.
        layers: sine layers whose activations are the features.
        rays: of each mask.
        training: rays are balanced over labels, and half of the codes have the colours of a random style; else rays are
            drawn evenly, and codes are the mask's own.
        cache_gb: most memory for features that are kept.
        others: mask -> further masks of its head. Of a mask that has some, as many rays again go through one of them,
            at its pose and in the field that the mask itself is encoded to.
    """

    def __init__(self, net: Sem2NeRF, masks: Sequence[Path], poses: dict[int, tuple[float, float]], space: LabelSpace,
                 layers: tuple[int, ...], rays: int, *, seed: int, training: bool, cache_gb: float,
                 others: Mapping[Path, Sequence[Path]] = MappingProxyType({})) -> None:
        self.net, self.masks, self.poses, self.space = net, list(masks), poses, space
        self.layers, self.rays, self.seed, self.training = layers, rays, seed, training
        self._others = others
        self._room = cache_gb * GB
        self._kept: dict[int, RayFeatures] = {}
        self._pool = ThreadPoolExecutor(THREADS)
        self._reading: dict[int, tuple[Future[ReadMask], Future[UInt8[np.ndarray, "size size"]] | None]] = {}

    def __len__(self) -> int:
        return len(self.masks)

    def read_ahead(self, indices: Sequence[int]) -> None:
        """Begin to read these masks, unless their features are known."""
        for index in indices:
            if index not in self._kept and index not in self._reading:
                own = self._pool.submit(read_view, self.net, self.masks[index], self.space)
                other = self._other(index)
                self._reading[index] = own, other and self._pool.submit(read_labels, self.net, other, self.space)

    def features(self, index: int) -> RayFeatures:
        """
        Raises:
            UserError: the mask cannot be used.
        """
        if index in self._kept:
            return self._kept[index]
        self.read_ahead([index])
        own, other = self._reading.pop(index)
        found = self._compute(index, own.result(), other.result() if other else None)
        if found.bytes <= self._room:
            self._kept[index] = found
            self._room -= found.bytes
        return found

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @torch.no_grad()
    def codes(self, index: int, mask: ReadMask) -> Codes:
        """What the encoder predicts; in training with the colours of a random style, for every second mask or so."""
        device = self.net.latent_avg.frequencies.device
        codes = self.net.encode(self.net.input.tensor(mask.planes, device)[None])
        rng = np.random.default_rng((self.seed, 1, image_id(self.masks[index]), index))
        if self.training and rng.random() < 0.5:
            codes = self.net.styled(codes, int(rng.integers(1 << 30)), STYLE_LAYERS)
        return codes

    def _other(self, index: int) -> Path | None:
        """The mask through which further rays of this one go: always the same."""
        found = self._others.get(self.masks[index], ())
        return found[np.random.default_rng((self.seed, 2, index)).integers(len(found)).item()] if found else None

    @torch.no_grad()
    def _compute(self, index: int, mask: ReadMask, other_labels: UInt8[np.ndarray, "size size"] | None) -> RayFeatures:
        field = FoldedField(self.net.siren, self.codes(index, mask))
        found = [self._rays(field, self.masks[index], mask.labels, np.random.default_rng((self.seed, 0, index)))]
        other = self._other(index)
        if other is not None and other_labels is not None:
            found.append(self._rays(field, other, other_labels, np.random.default_rng((self.seed, 3, index))))
        return RayFeatures(*(torch.cat(values) for values in zip(*found, strict=True)))

    def _rays(self, field: FoldedField, path: Path, labels: UInt8[np.ndarray, "size size"], rng: np.random.Generator
              ) -> RayFeatures:
        """Through the pixels of one mask, at its pose."""
        device, preset = field.device, self.net.config.camera
        targets = draw_rays(labels, self.rays, rng, self.training)
        pose = torch.tensor(self.poses[image_id(path)])
        origins, directions = world_rays(pose.expand(1, self.rays, 2), targets.image_xy[None], preset.fov_deg)
        points = surface_points(field, origins[0].to(device), directions[0].to(device), preset)
        features = layer_features(field, points.reshape(-1, 3), self.layers).reshape(*points.shape[:2], -1)
        return RayFeatures(features.half(), targets.label.to(device), targets.weight.to(device))
