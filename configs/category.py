"""What a category of heads consists of: label tables, a camera, data sets, and the weights that go with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Colour = tuple[int, int, int]
PoseFormat = Literal["celebahq", "pseudo"]

PRETRAINED_FOLDER = Path("pretrained_models")


@dataclass(frozen=True)
class LabelSpace:
    """One table of labels. Label 0 is always the background.

    `merge[label]` is the label in `merged`, the coarser space that the released networks read; both are None for a
    space that is already merged. `face` names the part without which a mask shows no head.
    """

    name: str
    labels: tuple[str, ...]            # pixel value -> name
    palette: tuple[Colour, ...]        # pixel value -> RGB, 0..255
    face: str
    merge: tuple[int, ...] | None = None
    merged: "LabelSpace | None" = None

    def __post_init__(self) -> None:
        if len(self.palette) != len(self.labels) or self.face not in self.labels:
            raise ValueError(f"label space {self.name}: labels, palette and face do not fit together")
        merge, merged = self.merge or (), self.merged.labels if self.merged else ()
        if len(merge) != (len(self) if merged else 0) or set(merge) != set(range(len(merged))):
            raise ValueError(f"label space {self.name}: merge does not map its labels onto those of merged")

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """Pixel value of the part called `label`."""
        return self.labels.index(label)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Pixel value -> pixel value in the mirrored image: l_eye and r_eye change places."""
        other = {"l_": "r_", "r_": "l_"}
        names = [other.get(name[:2], name[:2]) + name[2:] for name in self.labels]
        return tuple(self.labels.index(name) if name in self.labels else index for index, name in enumerate(names))

    @property
    def ambiguous_colours(self) -> dict[Colour, tuple[int, ...]]:
        """Colours that stand for more than one label: a coloured mask that uses one cannot be decoded."""
        users = {colour: tuple(i for i, other in enumerate(self.palette) if other == colour) for colour in self.palette}
        return {colour: labels for colour, labels in users.items() if len(labels) > 1}


@dataclass(frozen=True)
class CameraPreset:
    """Where a pi-GAN's camera stands and how its rays are composited.

    Distances are in world units; the camera is at distance 1 from the origin.
    """

    name: str                                 # the `pigan_curriculum_type`
    fov_deg: float                            # edge to edge
    ray_start: float                          # the first sample's distance from the camera
    ray_end: float                            # the last one's
    last_back: bool                           # in training: the last sample takes the left-over weight
    eval_last_back: bool                      # the same, at inference
    clamp_mode: Literal["relu", "softplus"] = "relu"  # of the density
    old_names: tuple[str, ...] = ()           # by which checkpoints may call it


@dataclass(frozen=True)
class DataConfig:
    """A data set and the conventions of its camera.

    Angles are radians, offsets are from the frontal yaw = pitch = pi/2.
    """

    name: str                                 # the `dataset_type`
    label_space: LabelSpace                   # of the files on disk, before any merging
    camera: CameraPreset                      # of the pi-GAN that fits these images
    data_root: Path                           # relative to the repository
    pose_file: str                            # in the mask folder, or else beside it
    pose_format: PoseFormat                   # see datasets.poses.read_poses
    crop: bool                                # faces: resize, then centre crop; cats: resize only
    eval_yaw_offsets: tuple[float, ...]       # the five views of a result row
    extreme_yaw: tuple[float, float]          # range of |yaw offset| of an extreme training pose
    extreme_pitch: tuple[float, float]        # range of |pitch offset|
    mask_folders: tuple[str, ...] = ("mask", "masks")  # names the mask folder may have; the first is the one we write
    decoder: Path | None = None               # start weights of a training; None: those of the category
    old_names: tuple[str, ...] = ()           # by which checkpoints and command lines may call it
    # (side, SHA-256) of the lists that the authors of Sem2NeRF published, see `datasets.split.list_digest`
    authors_lists: tuple[tuple[str, str], ...] = ()
    authors_page: str = ""                    # where these lists are

    @property
    def camera_preset(self) -> str:
        """Name of the camera preset."""
        return self.camera.name


@dataclass(frozen=True)
class Category:
    """Everything that is particular to one kind of head; each module of `configs.categories` defines one."""

    camera: CameraPreset
    label_spaces: tuple[LabelSpace, ...]
    data_sets: tuple[DataConfig, ...]         # the first is meant where only the camera preset is named
    decoder_weights: Path                     # the pi-GAN generator that training starts from
    official_weights: Path | None = None      # the authors' released network
