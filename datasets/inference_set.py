"""The masks that a run of inference reads: from a folder, or from a list of names.

    data = InferenceDataset("data/CelebAMask-HQ/mask_samples", data_config("celebahq_seg_to_3dface"), merged=True)
    item = data[0]
    x = to_network_input(item["label"][None], item["contour"][None], item["distance"][None], data.label_nc)
"""

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from configs.data_configs import DataConfig
from configs.label_spaces import LabelSpace
from datasets.masks.files import Encoding, LabelOrder, MaskWarning, check_face, read_mask
from datasets.masks.lists import list_folder, list_names, resolve_mask_folder
from datasets.masks.maps import MaskTransform, merge_labels, prepare_mask
from datasets.poses import find_pose_file, image_id, poses_of
from utils.errors import UserError
from utils.images import colour_labels

SQUARE_ENOUGH = 1.02  # ratio of the sides up to which nobody sees that a mask was squeezed


@dataclass(frozen=True)
class MaskOptions:
    """How each mask is read and shown."""

    merged: bool = True                        # `use_merged_labels`
    use_contour: bool = True                   # the network reads contour and distance
    transform: MaskTransform = field(default_factory=MaskTransform)   # its sizes; whether to crop is the data set's
    encoding: Encoding = "auto"                # `mask_encoding`
    label_order: LabelOrder = "celebamask"     # `label_order`
    display_size: int = 256                    # side of `colour`


class MaskItem(TypedDict):
    """One mask: its file, its planes for `to_network_input`, its pose and its image."""

    path: str
    name: str                                          # file name without suffix: the stem of the output
    label: UInt8[Tensor, "size size"]
    contour: UInt8[Tensor, "size size"] | None         # None for a network without contours
    distance: UInt8[Tensor, "size size"] | None
    pose: tuple[float, float] | None                   # (yaw, pitch), radians; None unless poses are wanted
    colour: UInt8[np.ndarray, "display display 3"]     # the mask as the network sees it, painted


class MaskBatch(TypedDict):
    """Several masks: as MaskItem, planes stacked, the rest in lists."""

    path: list[str]
    name: list[str]
    label: UInt8[Tensor, "batch size size"]
    contour: UInt8[Tensor, "batch size size"] | None
    distance: UInt8[Tensor, "batch size size"] | None
    pose: list[tuple[float, float] | None]
    colour: list[UInt8[np.ndarray, "display display 3"]]


def collate(items: list[MaskItem]) -> MaskBatch:
    """The `collate_fn` of a DataLoader over an InferenceDataset."""
    def stack(planes: list[Tensor | None]) -> Tensor | None:
        there = [plane for plane in planes if plane is not None]
        return torch.stack(there) if there else None

    return MaskBatch(
        path=[item["path"] for item in items],
        name=[item["name"] for item in items],
        label=torch.stack([item["label"] for item in items]),
        contour=stack([item["contour"] for item in items]),
        distance=stack([item["distance"] for item in items]),
        pose=[item["pose"] for item in items],
        colour=[item["colour"] for item in items],
    )


class InferenceDataset(Dataset[MaskItem]):
    """Masks in natural order of their names (2 before 10), or shuffled; looked up at once, read when asked for.

    `paths`, `transform`, `label_space` (of the planes), `label_nc` and `poses` may be read.
    """

    def __init__(self, data_path: str | Path, config: DataConfig, options: MaskOptions = MaskOptions(), *,
                 paths_list: str | Path | None = None, use_original_pose: bool = False, n_images: int | None = None,
                 use_shuffle: bool = False, seed: int = 0) -> None:
        """
        Args:
            data_path: a folder of masks, or one mask.
            config: the data set whose label space, transform and pose format apply.
            paths_list: a text file with one mask of the folder a line (a name or an id): only these, in this order.
            use_original_pose: every mask needs a pose in the data set's pose file.
            n_images: at most so many (the first ones, after shuffling).
            use_shuffle, seed: a random order that depends on the seed alone.

        Raises:
            UserError: nothing there to read, or a mask, list entry or pose is missing.
        """
        if n_images is not None and n_images < 1:
            raise UserError(f"`n_images` {n_images}: give at least 1, or leave it out for all masks")
        self.config, self.options = config, options
        self.transform = replace(options.transform, crop=config.crop)
        self.folder, self.paths = _find_masks(Path(data_path), config, paths_list)
        if use_shuffle:
            order = np.random.default_rng(seed).permutation(len(self.paths))
            self.paths = [self.paths[i] for i in order]
        self.paths = self.paths[:n_images]
        self.poses = None
        if use_original_pose:
            file = find_pose_file(self.folder, config)
            self.poses = poses_of(self.paths, file, config.pose_format, otherwise="leave out `use_original_pose`")

    @property
    def label_space(self) -> LabelSpace:
        """Of the labels that the items hold: merged, if the options say so."""
        space = self.config.label_space
        return space.merged if self.options.merged and space.merged is not None else space

    @property
    def label_nc(self) -> int:
        """Number of one-hot channels."""
        return len(self.label_space)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> MaskItem:
        """
        Raises:
            UserError: the file is no mask of this data set, or the network would see no face in it.

        Warns:
            MaskWarning: the mask can be read, but is not square, or has a single part, or see `read_mask`.
        """
        path, options, space = self.paths[index], self.options, self.config.label_space
        labels = read_mask(path, space, options.encoding, options.label_order)
        _warn_of_oddities(path, labels, space)
        mask = prepare_mask(labels, space, options.merged, self.transform, options.use_contour)
        check_face(path, mask.label, self.label_space, where=" in the part that the network sees")
        if options.merged:
            labels = merge_labels(labels, space)
        shown = self.transform.at(options.display_size).apply(labels)
        return MaskItem(
            path=str(path),
            name=path.stem,
            label=torch.from_numpy(mask.label),
            contour=None if mask.contour is None else torch.from_numpy(mask.contour),
            distance=None if mask.distance is None else torch.from_numpy(mask.distance),
            pose=None if self.poses is None else self.poses[image_id(path)],
            colour=colour_labels(shown, self.label_space.palette),
        )


def _warn_of_oddities(path: Path, labels: UInt8[np.ndarray, "height width"], space: LabelSpace) -> None:
    height, width = labels.shape
    if max(height, width) > SQUARE_ENOUGH * min(height, width):
        warnings.warn(f"{path}: {width} x {height} pixels are squeezed into a square; cut out a square around the head",
                      MaskWarning, stacklevel=3)
    parts = [space.labels[label] for label in np.unique(labels) if label]
    if len(parts) == 1:
        warnings.warn(f"{path}: the only part besides the background is {parts[0]}; an outline of something is "
                      "no label map, and its image means little", MaskWarning, stacklevel=3)


def _find_masks(data_path: Path, config: DataConfig, paths_list: str | Path | None) -> tuple[Path, list[Path]]:
    """The mask folder and the masks to read, each of which exists."""
    if data_path.is_file():
        if paths_list is not None:
            raise UserError(f"`data_path` {data_path}: `paths_list` needs a folder here, not a file")
        return data_path.parent, [data_path]
    folder = resolve_mask_folder(data_path, config)
    paths = list_folder(folder)
    return folder, paths if paths_list is None else list_names(paths_list, folder, paths)
