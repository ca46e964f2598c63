"""One entry for every dataset type: where its files lie, how its masks are read, where its cameras stand."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from configs.label_spaces import LABEL_SPACES, LabelSpace
from configs.paths_config import DEMO_CHECKPOINT
from utils.errors import UserError

PoseFormat = Literal["celebahq", "pseudo"]


@dataclass(frozen=True)
class DataConfig:
    """A dataset and the conventions of its camera.

    Angles are radians, offsets are from the frontal yaw = pitch = pi/2.
    """

    name: str                                 # the `dataset_type`
    label_space: LabelSpace                   # of the files on disk, before any merging
    camera_preset: str                           # key of the pi-GAN camera preset that fits these images
    data_root: Path                           # relative to the repository
    mask_folders: tuple[str, ...]             # names the mask folder may have; the first is the one we write
    pose_file: str                            # in the mask folder, or else beside it
    pose_format: PoseFormat                   # see datasets.poses.read_poses
    crop: bool                                # faces: resize, then centre crop; cats: resize only
    eval_yaw_offsets: tuple[float, ...]       # the five views of a result row
    extreme_yaw: tuple[float, float]          # range of |yaw offset| of an extreme training pose
    extreme_pitch: tuple[float, float]        # range of |pitch offset|
    decoder: Path | None = None               # start weights of a training; None: those of the camera preset


_FACES = DataConfig(
    name="celebahq_seg_to_3dface",
    label_space=LABEL_SPACES["CelebAMask_HQ"],
    camera_preset="CelebAMask_HQ",
    data_root=Path("data/CelebAMask-HQ"),
    mask_folders=("mask", "masks"),
    pose_file="CelebAMask-HQ-pose-anno.txt",
    pose_format="celebahq",
    crop=True,
    eval_yaw_offsets=(-0.45, -0.25, 0.0, 0.25, 0.45),
    extreme_yaw=(0.4, 0.55),
    extreme_pitch=(0.3, 0.45),
)

_CATS = DataConfig(
    name="catmask_seg_to_3dface",
    label_space=LABEL_SPACES["CatMask"],
    camera_preset="CatMask",
    data_root=Path("data/CatMask"),
    mask_folders=("mask", "masks"),
    pose_file="pose-pseudo.txt",
    pose_format="pseudo",
    crop=False,
    eval_yaw_offsets=(-0.4, -0.2, 0.0, 0.2, 0.4),
    extreme_yaw=(0.3, 0.5),
    extreme_pitch=(0.25, 0.4),
)

_SYNTH_HEADS = replace(_FACES, name="synthheads_seg_to_3dface", data_root=Path("data/SynthHeads"), decoder=DEMO_CHECKPOINT)

DATA_CONFIGS: dict[str, DataConfig] = {config.name: config for config in (_FACES, _CATS, _SYNTH_HEADS)}

_CURRICULA = {"CelebAMask_HQ": "CelebAMask_HQ", "CatMask": "CatMask", "PseudoCats": "CatMask"}  # the last: an old name


def canonical_preset(name: str) -> str:
    """The present name of a pi-GAN camera preset ('PseudoCats' is the old name of 'CatMask').

    Raises:
        UserError: there is no such camera preset.
    """
    if name not in _CURRICULA:
        raise UserError(f"`pigan_curriculum_type` {name}: not known; choose CelebAMask_HQ (faces) or CatMask (cats)")
    return _CURRICULA[name]


def data_config(dataset_type: str) -> DataConfig:
    """The entry of `dataset_type`.

    Raises:
        UserError: there is no such dataset type.
    """
    if dataset_type not in DATA_CONFIGS:
        raise UserError(f"`dataset_type` {dataset_type}: not known; choose one of {', '.join(DATA_CONFIGS)}")
    return DATA_CONFIGS[dataset_type]


def config_of_preset(camera_preset: str) -> DataConfig:
    """The first dataset made for `camera_preset`, for command lines that name only the camera preset (cats with PseudoCats).

    Raises:
        UserError: there is no such camera preset.
    """
    wanted = canonical_preset(camera_preset)
    return next(config for config in DATA_CONFIGS.values() if config.camera_preset == wanted)
