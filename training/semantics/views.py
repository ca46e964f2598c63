"""What a head learns from: masks with their poses, the codes that the encoder predicts for them, features of rays.

The field is never seen by a gradient, so the features of a mask's rays are the same whenever they are needed: they are
computed once and kept, as far as the memory goes that may be taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from configs.label_spaces import LabelSpace
from datasets.masks.maps import PreparedMask, merge_labels
from datasets.poses import image_id
from models.pigan.cameras import world_rays
from models.pigan.codes import Codes
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.labelled import layer_features
from models.sem2nerf import Sem2NeRF
from training.semantics.rays import draw_rays, surface_points

STYLE_LAYERS = (6, 7, 8)  # FiLM layers that colours come from: labels must not depend on them
GB = 1 << 30


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
    reader = net.input
    labels = reader.labels(path)
    wanted = labels if space is reader.space else merge_labels(labels, reader.space)
    frame = reader.transform
    seen = round(max(labels.shape) * (frame.crop_size / frame.load_size if frame.crop else 1))
    return ReadMask(reader.prepare(labels, path), frame.at(seen).apply(wanted))


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
        threads: that read masks ahead.
    """

    def __init__(self, net: Sem2NeRF, masks: Sequence[Path], poses: dict[int, tuple[float, float]], space: LabelSpace,
                 layers: tuple[int, ...], rays: int, *, seed: int, training: bool, cache_gb: float, threads: int = 4
                 ) -> None:
        self.net, self.masks, self.poses, self.space = net, list(masks), poses, space
        self.layers, self.rays, self.seed, self.training = layers, rays, seed, training
        self._room = cache_gb * GB
        self._kept: dict[int, RayFeatures] = {}
        self._pool = ThreadPoolExecutor(threads)
        self._reading: dict[int, Future[ReadMask]] = {}

    def __len__(self) -> int:
        return len(self.masks)

    def read_ahead(self, indices: Sequence[int]) -> None:
        """Begin to read these masks, unless their features are known."""
        for index in indices:
            if index not in self._kept and index not in self._reading:
                self._reading[index] = self._pool.submit(read_view, self.net, self.masks[index], self.space)

    def features(self, index: int) -> RayFeatures:
        """
        Raises:
            UserError: the mask cannot be used.
        """
        if index in self._kept:
            return self._kept[index]
        self.read_ahead([index])
        found = self._compute(index, self._reading.pop(index).result())
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

    @torch.no_grad()
    def _compute(self, index: int, mask: ReadMask) -> RayFeatures:
        net, device, preset = self.net, self.net.latent_avg.frequencies.device, self.net.config.camera
        field = FoldedField(net.siren, self.codes(index, mask))
        targets = draw_rays(mask.labels, self.rays, np.random.default_rng((self.seed, 0, index)), self.training)
        pose = torch.tensor(self.poses[image_id(self.masks[index])])
        origins, directions = world_rays(pose.expand(1, self.rays, 2), targets.image_xy[None], preset.fov_deg)
        points = surface_points(field, origins[0].to(device), directions[0].to(device), preset)
        features = layer_features(field, points.reshape(-1, 3), self.layers).reshape(*points.shape[:2], -1)
        return RayFeatures(features.half(), targets.label.to(device), targets.weight.to(device))
