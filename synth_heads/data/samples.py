"""The mask samples of data/CelebAMask-HQ/mask_samples: heads of the generator, and edits of them.

An edit changes a few entries of the code and nothing else, so that a pair of masks differs in little but the edited
part.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from configs.data_configs import DATA_CONFIGS
from synth_heads.data.dataset import camera_angles, write_poses
from synth_heads.generator.head import Head
from synth_heads.generator.latent import LATENT_DIM, latent_index
from synth_heads.generator.renderer import HeadView, render
from utils.files import atomic_path

Changes = dict[tuple[str, str], float]  # (slice, name) of an entry -> its value


class Sample(NamedTuple):
    """One head: the number that its code is drawn with, changes of the code, its pose, and edits by name."""

    identity: int
    seed: int
    yaw_deg: float
    pitch_deg: float
    changes: Changes
    edits: dict[str, Changes]

    @property
    def pose_deg(self) -> Float[np.ndarray, "2"]:
        """The head's yaw and pitch, as the pose file has them."""
        return np.array([self.yaw_deg, self.pitch_deg], np.float64)


_BARE: Changes = {("glasses", "worn"): 0, ("hat", "worn"): 0}
_GLASSES: Changes = {("glasses", "worn"): 2, ("glasses", "size"): 0.8}
_HAT: Changes = {("hat", "worn"): 2.2, ("hat", "kind"): -1}

SAMPLES = (
    Sample(90001, 32, 0, 0, {**_BARE, ("hair", "length"): 1.5},
           {"hair": {("hair", "length"): -1.6, ("hair", "volume"): -0.5}, "mouth": {("expression", "jaw"): 2.2}}),
    Sample(90002, 23, 13.5, 2, _BARE, {"glasses": _GLASSES}),
    Sample(90003, 26, -12, -3, _BARE, {"hair": {("hair", "length"): 2.2}}),
    Sample(90004, 20, 3, 0, _BARE, {"nose": {("face", "nose_width"): 2.8, ("face", "nose_length"): 2.2,
                                             ("face", "nose_wings"): 2.2}}),
    Sample(90005, 30, -6, 2, _BARE, {"eyes": {("expression", "lids"): 2.5, ("face", "eye_size"): -1.5}}),
    Sample(90006, 49, 8, 0, _BARE, {"brows": {("brows", "thickness"): 2.4, ("brows", "arch"): 2.4,
                                              ("face", "brow_position"): 1.5}}),
    Sample(90007, 21, 0, 4, _BARE, {"ears": {("face", "ear_size"): 2.6, ("face", "ear_wing"): 2.6}}),
    Sample(90008, 4, -10, 0, _BARE, {"hat": _HAT}),
    Sample(90009, 24, 4, -4, {**_BARE, **_GLASSES}, {"glasses": {("glasses", "worn"): 0}}),
    Sample(90010, 37, -4, 3, {**_BARE, **_HAT}, {"hat": {("hat", "worn"): 0}}),
    Sample(90011, 59, 16, 0, _BARE, {"hair": {("hair", "length"): -2.5},
                                     "mouth": {("expression", "jaw"): -1, ("expression", "teeth"): -2,
                                               ("expression", "smile"): -1.5}}),
    Sample(90012, 1, -15, -2, _BARE, {"hair": {("hair", "length"): -3, ("hair", "volume"): -3}}),
)


def sample_code(sample: Sample, edit: str | None = None) -> Float[np.ndarray, " n"]:
    """The latent code of a sample or of one of its edits."""
    z = np.random.default_rng((0, sample.seed)).standard_normal(LATENT_DIM, dtype=np.float32)
    for (group, name), value in {**sample.changes, **(sample.edits[edit] if edit else {})}.items():
        z[latent_index(group, name)] = value
    return z


def sample_view(sample: Sample, edit: str | None, size: int) -> HeadView:
    """A sample as it is seen from its camera."""
    yaw, pitch = camera_angles(sample.pose_deg)
    return render(Head.from_latent(sample_code(sample, edit)), float(yaw), float(pitch), size)


def write_samples(folder: Path, size: int = 512) -> list[Path]:
    """Write all masks, `<id>.png` and `<id>_<edit>.png`, and their poses; returns the masks."""
    written = []
    for sample in SAMPLES:
        for edit in (None, *sample.edits):
            path = folder / (f"{sample.identity}_{edit}.png" if edit else f"{sample.identity}.png")
            with atomic_path(path) as temporary:
                Image.fromarray(sample_view(sample, edit, size).labels).save(temporary, optimize=True)
            written.append(path)
    poses = {sample.identity: sample.pose_deg for sample in SAMPLES}
    write_poses(folder / DATA_CONFIGS["celebahq_seg_to_3dface"].pose_file, poses)
    return written
