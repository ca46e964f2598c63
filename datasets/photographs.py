"""Photographs as cameras and data sets have them: turned by a tag, of 16 bits, in folders of a thousand."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from datasets.masks.oddities import SQUARE_ENOUGH
from utils.errors import UserError, warn

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # Pillow's ways to say so


def list_photographs(folder: Path) -> list[Path]:
    """The images of a folder and of the folders in it, sorted as text.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in SUFFIXES and path.is_file():
            found.append(path)
        elif path.is_dir():
            found += list_photographs(path)
    return found


def open_photograph(path: Path, least: int | None = None) -> Image.Image:
    """One photograph as RGB, upright, 8 bits per channel.

    Args:
        least: pixels that its shorter side needs; a larger JPEG need not be decoded whole.

    Raises:
        UserError: the file is no image, or is damaged.
    """
    try:
        with Image.open(path) as file:
            if least is not None:
                file.draft("RGB", (least, least))
            if file.mode.startswith("I"):  # 16-bit grey, which Pillow would cut off at 255
                file = Image.fromarray((np.asarray(file).clip(0, 65535) / 257 + 0.5).astype(np.uint8))
            return ImageOps.exif_transpose(file).convert("RGB")
    except _DAMAGED as error:
        raise UserError(f"{path}: this photograph cannot be read ({error}); get it again, or take it out of the data "
                        "set (its mask off the list)") from error


def check_photograph(path: Path) -> None:
    """See quickly, from its first and last bytes, that an image file is there to its end; decode it if it is not.

    Raises:
        UserError: it cannot be decoded.

    Warns:
        UserWarning: it is not square.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, path.stat().st_size - 4096))
            tail = file.read()
        whole = (head.startswith(b"\xff\xd8") and b"\xff\xd9" in tail) or (head[1:4] == b"PNG" and b"IEND" in tail)
        with Image.open(path) as image:
            width, height = image.size
    except _DAMAGED:
        whole = False
    if not whole:
        open_photograph(path)  # says what is wrong
    elif max(width, height) > SQUARE_ENOUGH * min(width, height):
        warn(f"{path}: {width} x {height} pixels are squeezed into a square, and fit only a mask of the same shape; "
             "cut out a square around the head, of both")
