"""Codes that a data set carries: `latents.npz` beside its pictures, as synth_heads/scripts/build_synth_heads.py writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from utils.errors import UserError

FILE = "latents.npz"


@dataclass(frozen=True)
class Latents:
    """z: a code a head. ids: the numbers of its pictures. cameras: yaw and pitch of each, radians."""

    z: Float[np.ndarray, "heads zdim"]
    ids: Int[np.ndarray, "heads views"]
    cameras: Float[np.ndarray, "heads views 2"]

    def by_picture(self) -> dict[int, Float[np.ndarray, " zdim"]]:
        """Picture id -> code of its head."""
        return {int(identity): z for z, ids in zip(self.z, self.ids, strict=True) for identity in ids}


def read_latents(root: Path, flag: str) -> Latents:
    """
    Args:
        flag: the option that needs them, for messages.

    Raises:
        UserError: the data set has none, or they cannot be read.
    """
    try:
        with np.load(root / FILE, allow_pickle=False) as file:
            return Latents(file["z"].astype(np.float32), file["ids"], file["camera"].astype(np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"`data_root` {root}: it has no readable {FILE}, which {flag} needs; make the data set with "
                        "synth_heads/scripts/build_synth_heads.py, or leave that option out") from error
