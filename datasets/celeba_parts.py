"""CelebAMask-HQ as it is downloaded (one image for every part of every face) -> one label mask for every face.

Parts lie at `<0..14>/<id, five digits>_<part>.png`, white on black. No torch here: the workers start quickly.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from configs.label_spaces import LABEL_SPACES
from datasets.split import FULL_SET
from utils.errors import UserError
from utils.files import atomic_path

FOLDERS = 15     # of the download, with 2,000 faces each

PART_LABELS = {part: label for label, part in enumerate(LABEL_SPACES["CelebAMask_HQ"].labels) if label}


def find_parts(folder: Path) -> dict[int, dict[int, Path]]:
    """Image id -> {label: part image}, for the images in `folder` and in its folders, sorted by id.

    Raises:
        UserError: the folder is missing or holds no parts, a part has an unknown name, or one lies there twice.
    """
    if not folder.is_dir():
        raise UserError(f"`in_dir` {folder}: there is no such folder; give CelebAMask-HQ-mask-anno of the downloaded "
                        "data set")
    parts: dict[int, dict[int, Path]] = {}
    for place in (folder, *sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())):
        for entry in os.scandir(place):
            if not entry.name.lower().endswith(".png") or entry.name.startswith("."):
                continue
            match = re.fullmatch(r"([0-9]+)_(\w+)\.png", entry.name, flags=re.IGNORECASE)
            if match is None or match[2] not in PART_LABELS:
                raise UserError(f"{entry.path}: this is no part of a face, as in 00419_hair.png (parts: "
                                f"{', '.join(PART_LABELS)}); move it elsewhere")
            labels, label = parts.setdefault(int(match[1]), {}), PART_LABELS[match[2]]
            if label in labels:
                raise UserError(f"{entry.path}: {labels[label]} is the same part of the same face; keep one")
            labels[label] = Path(entry.path)
    if not parts:
        raise UserError(f"`in_dir` {folder}: no part images such as 0/00000_skin.png; give CelebAMask-HQ-mask-anno "
                        "of the downloaded data set")
    return dict(sorted(parts.items()))


def what_is_missing(folder: Path, faces: int) -> str | None:
    """What of the whole data set is not there, in words."""
    if faces >= FULL_SET:
        return None
    missing = [str(number) for number in range(FOLDERS) if not (folder / str(number)).is_dir()]
    return (f"{faces} of CelebAMask-HQ's {FULL_SET} faces are in {folder}"
            + (f" (there are no folders {', '.join(missing)})" if missing else "")
            + ": the set is not whole; run this again when the others are there")


def is_stale(parts: Mapping[int, Path], mask: Path) -> bool:
    """Whether a part came to the disk after the mask was made."""
    made = mask.stat().st_mtime
    return any(path.stat().st_ctime > made for path in parts.values())


def combine_parts(parts: Mapping[int, Path]) -> UInt8[np.ndarray, "height width"]:
    """One label mask from part images {label: file}; where parts overlap, the largest label wins.

    Raises:
        UserError: a image is damaged, or the sizes differ.
    """
    insides = {label: _read_part(path) for label, path in sorted(parts.items())}
    labels: np.ndarray = np.zeros_like(next(iter(insides.values())), np.uint8)
    for label, inside in insides.items():
        if inside.shape != labels.shape:
            raise UserError(f"{parts[label]}: {inside.shape[1]}x{inside.shape[0]} pixels, where other parts of this "
                            f"face have {labels.shape[1]}x{labels.shape[0]}; extract the data set again")
        labels[inside] = label
    return labels


def build_mask(job: tuple[Mapping[int, Path], Path]) -> None:
    """Combine `job[0]` (see `combine_parts`) into the file `job[1]`, which appears whole or not at all."""
    parts, path = job
    labels = combine_parts(parts)
    with atomic_path(path) as temporary:
        Image.fromarray(labels).save(temporary)  # mode L: every reader gets the labels, none a palette's colours


def _read_part(path: Path) -> Bool[np.ndarray, "height width"]:
    """Where a part image of any kind (RGB, palette, grey, bilevel) is not black."""
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "LA", "RGBA", "PA"):  # what counts is the colour, not its number or its alpha
                image = image.convert("RGB")
            pixels = np.asarray(image) != 0
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: this part cannot be read ({error}); extract the data set again") from error
    return pixels.any(axis=-1) if pixels.ndim == 3 else pixels
