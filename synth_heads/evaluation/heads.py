"""Heads that no training has seen, with everything that is true of them: what a model of SynthHeads is evaluated on.

    head = make_head(number, seed=1001, size=128)
    head.mask                    # (512, 512) labels on disk: what the encoder reads
    head.views[0].labels         # what the model's camera sees from the mask's own pose
    heads = HeldOutHeads.make(Path("out/heads"), count=200, seed=1001, size=128, workers=2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from configs.data_configs import data_config
from evaluation.test_set import EvaluationSet, OtherView, TestMask
from evaluation.test_views import Track, silent
from synth_heads.data.dataset import camera_angles, draw_head
from synth_heads.data.record import Settings, generator_version
from synth_heads.generator.head import Head
from synth_heads.generator.latent import COLOUR
from synth_heads.generator.renderer import HeadView, render
from utils.errors import UserError
from utils.files import atomic_path, make_folder
from utils.parallel import process_map

DATASET_TYPE = "synthheads_seg_to_3dface"
MASK_SIZE = 512
TURN = math.radians(25)  # of the novel views, to both sides of the mask's own
GROUP = 5  # heads, at most, within which masks are exchanged


@dataclass(frozen=True)
class EvalHead:
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


def make_head(number: int, seed: int, size: int) -> EvalHead:
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
    first, left, right = (render(head, pose[0], pose[1], size, margin=1) for pose in angles.tolist())
    return EvalHead(z, mask, free, (first, left, right), angles)


@dataclass(frozen=True)
class HeldOutHeads:
    """The first heads of a seed, kept in a folder: <number>.png, the masks, and <number>.npz, what is true of them."""

    folder: Path
    count: int
    seed: int
    size: int

    @staticmethod
    def make(folder: Path, count: int, seed: int, size: int, workers: int = 0,
             track: Track = silent) -> HeldOutHeads:
        """Draw those that are not there yet.

        Args:
            folder: for heads of all seeds and sizes.
            workers: processes; 0: in this one.

        Raises:
            UserError: a file cannot be written.
        """
        name = f"heads_seed{seed}_{size}px_{generator_version()}"
        heads = HeldOutHeads(make_folder(folder / name), count, seed, size)
        # the mask of another head is asked for, too, so there are two at least
        jobs = [(heads, number) for number in range(max(count, 2)) if not heads.path(number, "npz").is_file()]
        numbers = process_map(_draw, jobs, min(workers, len(jobs))) if workers and jobs else map(_draw, jobs)
        for _ in track(numbers, "drawing heads", len(jobs)):
            pass
        return heads

    def path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number}.{kind}"

    def head(self, number: int) -> EvalHead:
        """
        Raises:
            UserError: its file cannot be read.
        """
        return _read(self.path(number, "npz"))

    @cached_property
    def data(self) -> EvaluationSet:
        """The masks with the poses of their views."""
        masks = []
        for number in range(self.count):
            own, *others = [tuple(pose) for pose in self.head(number).angles.tolist()]
            path = self.path(number, "png")
            masks.append(TestMask(path, own, tuple(OtherView(path, pose) for pose in others)))
        return self._as_set(masks)

    @cached_property
    def shuffled(self) -> EvaluationSet:
        """Each head's pose with the mask of another one: the next of its group."""
        groups = np.array_split(np.arange(self.count), -(-self.count // GROUP))
        others = [int(other) for group in groups for other in np.roll(group, -1)] if self.count > 1 else [1]
        return self._as_set([TestMask(self.path(other, "png"), mask.pose)
                             for other, mask in zip(others, self.data.masks, strict=True)])

    def _as_set(self, masks: list[TestMask]) -> EvaluationSet:
        source = f"computer-made heads that no training drew, seed {self.seed}, in one palette"
        return EvaluationSet(self.folder, data_config(DATASET_TYPE), tuple(masks), source)


def _draw(job: tuple[HeldOutHeads, int]) -> int:
    heads, number = job
    head = make_head(number, heads.seed, heads.size)
    with atomic_path(heads.path(number, "png")) as temporary:
        Image.fromarray(head.mask).save(temporary)
    views = (head.free, *head.views)
    with atomic_path(heads.path(number, "npz")) as temporary:
        np.savez_compressed(
            temporary, z=head.z, mask=head.mask, angles=head.angles, rgb=np.stack([view.rgb for view in views]),
            labels=np.stack([view.labels for view in views]), depth=np.stack([view.depth for view in views]))
    return number


@lru_cache(maxsize=4)
def _read(path: Path) -> EvalHead:
    try:
        with np.load(path, allow_pickle=False) as file:
            free, own, left, right = (
                HeadView(*each) for each in zip(file["rgb"], file["labels"], file["depth"], strict=True))
            return EvalHead(file["z"], file["mask"], free, (own, left, right), file["angles"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: this head cannot be read ({error}); delete the file and run again") from error
