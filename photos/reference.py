"""A reference picture with its labels, wherever these come from.

    picture, labels = read_reference("photo.jpg", "photo_mask.png", net.input)
    mask = mask_beside("data/mine/images/3.jpg")        # data/mine/mask/3.png, if it is there
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from configs.data_configs import DataConfig
from datasets.masks.files import read_mask
from datasets.masks.maps import MaskTransform, merge_labels
from datasets.masks.mask_input import MaskInput
from datasets.photographs import SUFFIXES, open_photograph
from datasets.poses import find_pose_file, image_id, read_poses
from datasets.training_set import IMAGE_FOLDERS
from utils.errors import UserError

SIDE = 256                          # pixels at which colours are compared
MASK_FOLDERS, PHOTO_FOLDERS = ("mask", "masks"), IMAGE_FOLDERS
SQUARE = 1.05                       # longest side by shortest, of pictures that are said to have one shape


def mask_beside(photo: str | Path) -> Path | None:
    """The mask of a picture in a data set's layout: data/mine/images/3.jpg -> data/mine/mask/3.png; None if there is
    none."""
    photo = Path(photo)
    places = (folder / name / f"{photo.stem}.png" for folder in (photo.parent.parent, photo.parent)
              for name in MASK_FOLDERS)
    return next((place for place in places if place.is_file()), None)


def photo_beside(mask: str | Path) -> Path | None:
    """The photograph of a mask in a data set's layout: data/mine/mask/3.png -> data/mine/images/3.jpg; None if there
    is none."""
    mask = Path(mask)
    return next((photo for name in PHOTO_FOLDERS for suffix in SUFFIXES
                 if (photo := mask.parent.parent / name / f"{mask.stem}{suffix}").is_file()), None)


def known_pose(mask: str | Path, config: DataConfig) -> tuple[float, float] | None:
    """Yaw and pitch of the camera by the pose file of the mask's data set; None where there is no file, or not this
    pose in it."""
    try:
        return read_poses(find_pose_file(Path(mask).parent, config), config.pose_format).get(image_id(mask))
    except UserError:
        return None


def framed_photo(photo: str | Path, transform: MaskTransform, size: int) -> Float[np.ndarray, "size size 3"]:
    """A photograph (RGB in [0, 1]), resized and cut out as masks of the model are.

    Raises:
        UserError: it cannot be read.
    """
    image, frame = open_photograph(Path(photo)), transform.at(size)
    if frame.crop:
        image = image.resize((frame.load_size, frame.load_size), Image.Resampling.BOX)
        start = round((frame.load_size - size) / 2)
        image = image.crop((start, start, start + size, start + size))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float64) / 255


def read_reference(photo: str | Path, mask: str | Path, reader: MaskInput,
                   ) -> tuple[Float[np.ndarray, "side side 3"], UInt8[np.ndarray, "side side"]]:
    """A picture (RGB in [0, 1]) and its labels (of `reader.network_space`), both brought to SIDE x SIDE pixels.

    Raises:
        UserError: one of them cannot be read, or they are not of one shape.
    """
    image, labels = open_photograph(Path(photo)), read_mask(mask, reader.space, label_order=reader.label_order)
    shapes = (image.width / image.height, labels.shape[1] / labels.shape[0])
    if max(shapes) > SQUARE * min(shapes):
        raise UserError(f"`style_mask` {mask}: {labels.shape[1]} x {labels.shape[0]} pixels do not have the shape of "
                        f"{Path(photo).name} ({image.width} x {image.height}); give the mask of this picture")
    rows, columns = (np.arange(SIDE) * length // SIDE for length in labels.shape)
    small = labels[np.ix_(rows, columns)]
    if reader.network_space is not reader.space:
        small = merge_labels(small, reader.space)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64) / 255, small
