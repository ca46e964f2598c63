"""A reference picture with its labels, wherever these come from.

    picture, labels = read_reference("photo.jpg", "photo_mask.png", net.input)
    mask = mask_beside("data/mine/images/3.jpg")        # data/mine/mask/3.png, if it is there
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from datasets.masks.files import read_mask
from datasets.masks.maps import merge_labels
from datasets.masks.mask_input import MaskInput
from datasets.photographs import open_photograph
from utils.errors import UserError

SIDE = 256                          # pixels at which colours are compared
MASK_FOLDERS = ("mask", "masks")
SQUARE = 1.05                       # longest side by shortest, of pictures that are said to have one shape


def mask_beside(photo: str | Path) -> Path | None:
    """The mask of a picture in a data set's layout: data/mine/images/3.jpg -> data/mine/mask/3.png; None if there is
    none."""
    photo = Path(photo)
    places = (folder / name / f"{photo.stem}.png" for folder in (photo.parent.parent, photo.parent)
              for name in MASK_FOLDERS)
    return next((place for place in places if place.is_file()), None)


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
