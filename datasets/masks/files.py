"""Mask file -> array of labels, with an error that helps for everything that is not a mask."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from configs.label_spaces import LabelSpace, order_table
from datasets.masks.colours import decode_colours, decode_palette, exchanged_red_and_blue
from datasets.masks.oddities import smoothing
from datasets.masks.order import suspicious_order
from utils.errors import UserError, warn

Encoding = Literal["auto", "index", "colour"]
Labels = UInt8[np.ndarray, "height width"]

MIN_FACE = 0.02  # smallest share of the image that counts as a face; real ones have a fifth and more
MOST_LABELS = 64  # an image with more grey values than this is a photo
VOID = 255       # what many data sets write where nothing was labelled
_LOSSLESS = ("PNG", "BMP", "TIFF", "PPM")
_SAVE_AS = "save the labels as an 8-bit single-channel PNG"


class MaskWarning(UserWarning):
    """A mask that can be read, but is probably not what its owner thinks."""


class NoFaceError(UserError):
    """A mask that shows no head, or hardly any."""


def read_mask(path: str | Path, space: LabelSpace, encoding: Encoding = "auto", label_order: str = "celebamask",
              require_face: bool = True) -> Labels:
    """Read one mask.

    Args:
        path: an 8-bit PNG (or another lossless image). Single-channel (mode L) and grey RGB: pixel value = label.
            Palette (mode P): the index is the label, unless the colours are those of the space's table and say
            something else. RGB: a mask painted in the colours of the space's table.
        space: the label table of the file.
        encoding: 'index' or 'colour' says which reading is meant where 'auto', as above, would choose wrongly.
        label_order: how the file numbers the parts, see `configs.label_spaces.order_table`; for a painted mask: which
            number's colour they have.
        require_face: refuse a mask that shows no head.

    Returns:
        Labels 0 .. len(space) - 1 in the order of `space`.

    Raises:
        UserError: the file is no mask of this space, or (with `require_face`) shows no face.

    Warns:
        MaskWarning: the parts do not lie as on a head in this order, or the file was smoothed, has unlabelled pixels
            (255, read as background), or seems to have red and blue exchanged.
    """
    pixels, palette = _open(Path(path))
    if pixels.ndim == 3 and encoding != "colour" and bool((pixels == pixels[..., :1]).all()):
        pixels = pixels[..., 0]  # a single-channel mask that an editor saved as RGB
    values = None
    if encoding == "colour" or (encoding == "auto" and pixels.ndim == 3):
        values = decode_colours(path, pixels, palette, space)
        if pixels.ndim == 3 and exchanged_red_and_blue(pixels, values, space):
            _warn(path, "the hair lies above the skin only if red and blue are exchanged, as OpenCV stores them; if "
                        "so, save the mask with the two exchanged")
    elif pixels.ndim == 3:
        raise UserError(f"{path}: an RGB image holds colours, not label numbers; leave out `mask_encoding` index, or "
                        f"{_SAVE_AS}")
    elif encoding == "auto" and palette is not None:
        values = decode_palette(path, pixels, palette, space)
    return _labels(path, pixels if values is None else values, space, label_order, require_face)


def check_labels(labels: Integer[np.ndarray, "height width"], space: LabelSpace, label_order: str = "celebamask"
                 ) -> Labels:
    """The same for an array of label numbers, such as a file holds.

    Raises:
        UserError: the numbers are no labels of this space, or the mask shows no face.

    Warns:
        MaskWarning: see `read_mask`.
    """
    if labels.size == 0 or labels.min() < 0 or labels.max() > 255:
        raise UserError("mask: this array holds no labels, which are numbers from 0 to "
                        f"{len(order_table(label_order, space)) - 1}")
    return _labels("mask", labels.astype(np.uint8), space, label_order, require_face=True)


def check_face(path: str | Path, labels: Labels, space: LabelSpace, where: str = "") -> None:
    """Refuse a mask without a head. `where` says which part of the image the labels are, e.g. ' in the crop'.

    Raises:
        UserError: all pixels are background, or the face part covers less than MIN_FACE of the image.
    """
    if not labels.any():
        raise NoFaceError(f"{path}: the mask is empty{where} (every pixel is background); paint the parts of a "
                          f"{'cat' if space.face == 'head' else 'face'} into it")
    face = space.index(space.face)
    if (labels == face).mean() < MIN_FACE:
        found = ", ".join(space.labels[label] for label in np.unique(labels) if label)
        raise NoFaceError(f"{path}: the mask shows no face{where} (label {face}, {space.face}, is less than "
                        f"{MIN_FACE:.0%} of it; found: {found}); choose a mask with one, and check `label_order` and "
                        "`dataset_type`")


def _open(path: Path) -> tuple[UInt8[np.ndarray, "height width *rgb"], UInt8[np.ndarray, "colours 3"] | None]:
    """Pixels of an 8-bit grey, palette or RGB PNG, and the palette if it has one."""
    try:
        with Image.open(path) as image:
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError  # Pillow only warns up to twice this size
            if image.format not in _LOSSLESS:
                raise UserError(f"{path}: this is a {image.format} image, and masks are PNG files (a photo is no "
                                f"mask, and lossy formats blur the labels); {_SAVE_AS}")
            mode = image.mode
            bits = _png_bit_depth(path) if image.format == "PNG" else 16 if mode.startswith("I") else 8
            if bits == 16:
                raise UserError(f"{path}: this image has 16 bits per channel; {_SAVE_AS}")
            if mode not in ("1", "L", "P", "RGB"):
                raise UserError(f"{path}: this image is {mode}, with an alpha channel; {_SAVE_AS}, without "
                                "transparency")
            pixels = np.asarray(image).astype(np.uint8)
            palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3) if mode == "P" else None
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such mask; check the folder and the name") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: this mask has too many pixels; scale it down, without smoothing") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's ways to say that a file is damaged
        raise UserError(f"{path}: this mask cannot be read ({error}); the file is damaged or is no image, copy or "
                        "make it again") from error
    if mode == "L" and bits < 8:
        pixels = pixels // (255 // (2**bits - 1))  # Pillow stretches 2- and 4-bit values to 0..255
    return pixels, palette


def _png_bit_depth(path: Path) -> int:
    """Bits per channel, from the PNG header (Pillow reads 16-bit RGB as 8-bit without saying so)."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _labels(path: str | Path, values: Labels, space: LabelSpace, label_order: str, require_face: bool) -> Labels:
    """File values -> labels of the space.

    Raises, warns:
        see `read_mask`.
    """
    table = order_table(label_order, space)
    found = np.flatnonzero(np.bincount(values.ravel()))
    if found[-1] == VOID and len(found) > 2 and found[-2] < len(table):
        void = values == VOID
        values = np.where(void, 0, values).astype(np.uint8)
        _warn(path, f"value {VOID} on {void.mean():.1%} of its pixels is read as background; where it stands "
                    "for parts of the head that nobody has labelled, labels belong there")
    elif found[-1] >= len(table):
        smoothed = smoothing(values) if len(found) <= MOST_LABELS else None
        raise UserError(f"{path}: {smoothed or _out_of_range(found, label_order, table, space)}")
    for oddity in (suspicious_order(values, label_order, space), smoothing(values)):
        if oddity:
            _warn(path, oddity)
    labels = np.array(table, np.uint8)[values]
    if require_face:
        check_face(path, labels, space)
    return labels


def _out_of_range(found: Integer[np.ndarray, " values"], label_order: str, table: tuple[int, ...], space: LabelSpace
                  ) -> str:
    what = (f"{len(found)} grey values, as in a photo" if len(found) > MOST_LABELS else
            f"labels out of range ({', '.join(str(v) for v in found[found >= len(table)][:5])})")
    if label_order == "celebamask":
        return (f"{what}; {space.name} masks have labels 0 to {len(table) - 1}: give a mask of this data set, not a "
                "photo, a part of a mask or another data set's (`label_order` reads those of some others)")
    return f"{what}; `label_order` as given has values 0 to {len(table) - 1} only: give the order of this file"


def _warn(path: str | Path, text: str) -> None:
    warn(f"{path}: {text}", MaskWarning, stacklevel=5)
