"""The z of every head of a data set, in `latents.npz` (or `z.npz`) beside its images, as
synth_heads/scripts/build_synth_heads.py writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from datasets.poses import image_id
from synth_heads.generator.latent import LATENT_DIM, mirror_latent
from utils.errors import UserError

FILE, OTHER_FILE = "latents.npz", "z.npz"


@dataclass(frozen=True)
class Latents:
    """z: one per head. ids: the numbers of its images. cameras: yaw and pitch of each, radians."""

    z: Float[np.ndarray, "heads zdim"]
    ids: Int[np.ndarray, "heads views"]
    cameras: Float[np.ndarray, "heads views 2"]

    def by_image(self) -> dict[int, Float[np.ndarray, " zdim"]]:
        """Image id -> z of its head."""
        return {int(identity): z for z, ids in zip(self.z, self.ids, strict=True) for identity in ids}


def read_latents(root: Path, setting: str) -> Latents:
    """
    Args:
        setting: what needs them, for messages: a setting in backticks.

    Raises:
        UserError: the data set has none, or they cannot be read.
    """
    path = root / FILE if (root / FILE).exists() else root / OTHER_FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            return Latents(file["z"].astype(np.float32), file["ids"], file["camera"].astype(np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"`data_root` {root}: it has no readable {FILE}, which {setting} needs; make the data set with "
                        "synth_heads/scripts/build_synth_heads.py, or leave that option out") from error


class KnownZ:
    """Extra data of a training set (`datasets.training_set.ExtraData`): the z of each head, under the name `z`.

    Args:
        masks: those that need one.
        mirror: mirrored samples are wanted too.
        setting: what needs z, for messages: the name of an option.

    Raises:
        UserError: the data set has no z, none for one of the masks, or not one of SynthHeads to be mirrored.
    """

    def __init__(self, root: Path, masks: list[Path], mirror: bool, setting: str) -> None:
        self.z = read_latents(root, f"`{setting}`").by_image()
        missing = [path for path in masks if image_id(path) not in self.z]
        if missing:
            raise UserError(f"{root / FILE}: no z for mask {missing[0].name}; leave the mask out with "
                            f"`train_paths_conf` and `test_paths_conf`, or train without `{setting}`")
        if mirror and len(next(iter(self.z.values()))) != LATENT_DIM:
            raise UserError(f"`mirror`: the z in {root / FILE} are not those of SynthHeads, so they cannot be "
                            f"mirrored; leave out `mirror` or `{setting}`")

    def __call__(self, image: int, mirrored: bool) -> dict[str, Tensor]:
        z = self.z[image]
        return {"z": torch.from_numpy(mirror_latent(z) if mirrored else z)}
