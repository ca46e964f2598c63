"""Label maps that a model has rendered as mask files: PNGs that can be drawn on and read again.

    check_tables(head.space, net.input.space)
    save_map("map.png", labels, head.space, net.input.space)
    labels = read_map("drawn.png", net.input.space, head.space)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from configs.label_spaces import LabelSpace
from datasets.masks.files import read_mask
from datasets.masks.relabel import merged_to, unmerged_to
from utils.errors import UserError
from utils.files import atomic_path

Labels = UInt8[np.ndarray, "height width"]


def save_map(path: str | Path, labels: Labels, source: LabelSpace, target: LabelSpace) -> Path:
    """Write a label map as a mask file: a PNG with a palette, in numbers and colours of the masks' own table, so that
    it can be drawn on with those colours (or numbers) and read again.

    Args:
        source: what the labels are of.
        target: the table of mask files; where it tells left and right apart and `source` does not, both are the first.

    Raises:
        UserError: the tables do not go together, or the file cannot be written.
    """
    check_tables(source, target)
    image = Image.fromarray(unmerged_to(labels, source, target), mode="P")
    image.putpalette([value for colour in target.palette for value in colour])
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
    return Path(path)


def read_map(path: str | Path, source: LabelSpace, target: LabelSpace) -> Labels:
    """The labels of a map that `save_map` wrote and somebody drew on, whether it has numbers, a palette or colours.

    Args:
        source: the table of mask files.
        target: what the labels shall be of.

    Raises:
        UserError: the file is no such map.

    Warns:
        MaskWarning: see `datasets.masks.files.read_mask`.
    """
    check_tables(target, source)
    return merged_to(read_mask(path, source, require_face=False), source, target)


def check_tables(head: LabelSpace, files: LabelSpace) -> None:
    """
    Raises:
        UserError: label maps of a semantic head cannot be mask files of this table.
    """
    if head not in (files, files.merged):
        raise UserError(f"the semantic head knows the labels of {head.name}, mask files have those of {files.name}; "
                        "train a `semantic_head` with these masks")
