"""Photographs with their masks and poses, for training: the CelebAMask-HQ and CatMask layouts.

    <data_root>/mask/ID.png (or masks/)    label PNGs; an edited mask ID_anything.png shares ID's photograph and pose
    <data_root>/CelebA-HQ-img/ID.jpg       photographs (also images/ or image/, and folders in these; .jpg, .png ...)
    <data_root>/<pose file>                see `datasets.poses`
    <data_root>/train_paths.txt ...        lists of masks (optional), see `datasets.split`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from configs.data_configs import DataConfig
from configs.label_spaces import LabelSpace
from datasets.masks.cache import MapCache
from datasets.masks.files import check_face, read_mask
from datasets.masks.maps import MaskTransform, PreparedMask, prepare_mask
from datasets.photographs import list_photographs, open_photograph
from datasets.poses import find_pose_file, image_id, poses_of
from utils.errors import UserError

IMAGE_FOLDERS = ("CelebA-HQ-img", "images", "image")

# image id, and whether the sample is mirrored -> tensors of that sample, by name
ExtraData = Callable[[int, bool], dict[str, Tensor]]


class TrainItem(TypedDict):
    """One sample, as small as it travels; the device unfolds it."""

    name: str
    label: UInt8[Tensor, "size size"]
    contour: UInt8[Tensor, "size size"] | None  # None for a network without contours
    distance: UInt8[Tensor, "size size"] | None
    image: UInt8[Tensor, "3 output output"]
    pose: Float[Tensor, "2"]  # yaw, pitch, radians
    extra: dict[str, Tensor]  # what `ExtraData` says of it; the same names in all items


@dataclass(frozen=True)
class ImagesOptions:
    """How samples are read."""

    transform: MaskTransform  # sizes in pixels; whether to crop is the data set's
    output_size: int  # side of the target images
    merged: bool = True  # `use_merged_labels`
    use_contour: bool = True
    cache: Path | None = None  # folder of the map cache
    mirror: bool = False  # every sample also mirrored, left for right
    label_order: str = "celebamask"  # how mask files number the parts, see `configs.label_spaces.order_table`


class ImagesDataset3D(Dataset[TrainItem]):
    """Masks of one list, each with its photograph and pose. Everything is looked up at once, and read when asked for.
    With mirrored samples there are twice as many items; the second half is the first one mirrored.

    Args:
        root: the data root.
        masks: mask files inside it, see `datasets.split.find_masks`.
        extra_data: called for every item.

    Raises:
        UserError: the folder of photographs or the pose file is not there, or lacks one that a mask needs.
    """

    def __init__(self, root: Path, config: DataConfig, masks: list[Path], options: ImagesOptions,
                 extra_data: ExtraData | None = None) -> None:
        self.config, self.masks, self.options, self.extra_data = config, masks, options, extra_data
        self.images = _find_images(root, masks)
        self.poses = _find_poses(root, masks, config)
        recipe = repr((config.label_space, options.merged, options.transform, config.crop, options.label_order))
        planes = 3 if options.use_contour else 1
        self.cache = None if options.cache is None else MapCache(options.cache, recipe, planes)

    @property
    def label_space(self) -> LabelSpace:
        """Of the labels that the items hold: merged, if the options say so."""
        space = self.config.label_space
        return space.merged if self.options.merged and space.merged is not None else space

    def __len__(self) -> int:
        return len(self.masks) * (2 if self.options.mirror else 1)

    def __getitem__(self, index: int) -> TrainItem:
        """
        Raises:
            UserError: the mask or the photograph cannot be used.
        """
        path, flip = self.masks[index % len(self.masks)], index >= len(self.masks)
        mask, image = self.read_planes(path), image_id(path)
        contour, distance = (None if plane is None else torch.from_numpy(plane.copy())
                             for plane in (mask.contour, mask.distance))
        item = TrainItem(name=path.stem, label=torch.from_numpy(mask.label.copy()), contour=contour, distance=distance,
                         image=torch.from_numpy(self._image(self.images[image])), pose=torch.tensor(self.poses[image]),
                         extra=self.extra_data(image, flip) if self.extra_data is not None else {})
        return mirrored(item, self.label_space) if flip else item

    def read_planes(self, path: Path) -> PreparedMask:
        """One mask, from the cache if it is there.

        Raises:
            UserError: it cannot be read, or shows no face (NoFaceError).
        """
        options, transform = self.options, self.options.transform
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: this mask cannot be read ({error.strerror}); was it moved?") from error
        kept = self.cache.get(content, transform.input_size) if self.cache else None
        if kept is not None:
            return kept
        labels = read_mask(path, self.config.label_space, label_order=options.label_order)
        mask = prepare_mask(labels, self.config.label_space, options.merged, transform, options.use_contour)
        check_face(path, mask.label, self.label_space, where=" in the part that the network sees")
        if self.cache:
            self.cache.put(content, mask)
        return mask

    def _image(self, path: Path) -> UInt8[np.ndarray, "3 output output"]:
        """Bilinear resize and centre crop, framed as the mask is."""
        transform, size = self.options.transform, self.options.output_size
        image = open_photograph(path)
        if transform.crop:
            image = image.resize((transform.load_size, transform.load_size), Image.Resampling.BILINEAR)
            start = round((transform.load_size - transform.crop_size) / 2)
            image = image.crop((start, start, start + transform.crop_size, start + transform.crop_size))
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def mirrored(item: TrainItem, space: LabelSpace) -> TrainItem:
    """A sample as a mirror shows it: left parts are right ones. Its extra data stays as it is."""
    swap = torch.tensor(space.mirrored, dtype=torch.uint8)
    yaw, pitch = item["pose"].unbind()
    contour, distance = (None if plane is None else plane.flip(-1) for plane in (item["contour"], item["distance"]))
    return TrainItem(name=f"{item['name']} (mirrored)", label=swap[item["label"].long()].flip(-1), contour=contour,
                     distance=distance, image=item["image"].flip(-1), pose=torch.stack([torch.pi - yaw, pitch]),
                     extra=item["extra"])


def _find_images(root: Path, masks: list[Path]) -> dict[int, Path]:
    """Image id -> photograph, for all photographs of the data root."""
    folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"`data_root` {root}: it has no folder of photographs ({'/, '.join(IMAGE_FOLDERS)}/); put the "
                        "data set's photographs there, named ID.jpg or ID.png")
    images: dict[int, Path] = {}
    wanted = {image_id(path) for path in masks}
    for path in list_photographs(folder):
        if not (path.stem.isascii() and path.stem.isdigit()):
            continue
        number = int(path.stem)
        other = images.setdefault(number, path)
        if other is not path and number in wanted:
            raise UserError(f"{folder}: {other.relative_to(folder)} and {path.relative_to(folder)} are both photograph "
                            f"{number}; keep the one that the mask was made of")
    missing = [path for path in masks if image_id(path) not in images]
    if missing:
        more = f" (and for {len(missing) - 1} more of {len(masks)} masks)" if len(missing) > 1 else ""
        raise UserError(f"{folder}: no photograph {image_id(missing[0])}.jpg or .png for mask {missing[0].name}{more}; "
                        "add it, or leave the mask out with `train_paths_conf` and `test_paths_conf`")
    return images


def _find_poses(root: Path, masks: list[Path], config: DataConfig) -> dict[int, tuple[float, float]]:
    try:
        find_pose_file(masks[0].parent, config)
    except UserError as error:
        raise UserError(f"`data_root` {root}: it has no {config.pose_file}, which training needs; put the "
                        "data set's pose file there") from error
    return poses_of(masks, config, otherwise="leave the mask out with `train_paths_conf` and `test_paths_conf`")
