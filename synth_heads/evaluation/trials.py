"""Heads that no training has seen, with everything that is true of them: what a model of SynthHeads is examined on.

    trial = make_trial(number, seed=1001, size=128)
    trial.mask                    # (512, 512) labels on disk: what the encoder reads
    trial.views[0].labels         # what the model's camera sees from the mask's own pose
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from synth_heads.data.dataset import camera_angles, draw_head
from synth_heads.data.record import Settings
from synth_heads.generator.head import Head
from synth_heads.generator.latent import COLOUR
from synth_heads.generator.renderer import HeadView, render

MASK_SIZE = 512
TURN = math.radians(25)  # of the novel views, to both sides of the mask's own


@dataclass(frozen=True)
class Trial:
    """One head.

    z: its code. free: its view from its own pose in its own colours. The views have the fixed palette (all COLOUR
    entries zero), so that the mask determines the image: its own pose, then yaw - 25 and + 25 degrees. angles: yaw
    and pitch of these cameras, radians.
    """

    z: Float[np.ndarray, " zdim"]
    mask: UInt8[np.ndarray, "512 512"]
    free: HeadView
    views: tuple[HeadView, HeadView, HeadView]
    angles: Float[np.ndarray, "3 2"]

    @property
    def plain_z(self) -> Float[np.ndarray, " zdim"]:
        """The code of the head in the fixed palette."""
        z = self.z.copy()
        z[COLOUR] = 0
        return z


def make_trial(number: int, seed: int, size: int) -> Trial:
    """Head `number` of a seed.

    Args:
        size: pixels along each side of the views, as the model's camera sees them.
    """
    z, poses_deg = draw_head(Settings(num_heads=number + 1, views=1, size=128, seed=seed), number)
    yaw, pitch = camera_angles(poses_deg[0])
    angles = np.array([(yaw, pitch), (yaw - TURN, pitch), (yaw + TURN, pitch)])
    head = Head.from_latent(z)
    mask = render(head, yaw, pitch, MASK_SIZE, supersample=1).labels
    free = render(head, yaw, pitch, size, margin=1)
    plain = z.copy()
    plain[COLOUR] = 0
    head = Head.from_latent(plain)
    views = tuple(render(head, *pose, size, margin=1) for pose in angles.tolist())
    return Trial(z, mask, free, views, angles)
