"""Masks painted in the colours of a label table -> labels."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt32

from configs.label_spaces import LabelSpace
from datasets.masks.order import hair_on_top
from utils.errors import UserError

_PHOTO_COLOURS = 256  # an image with more colours than this was never a painted mask
_UNKNOWN = 255        # instead of a label: the colour is not in the table


def decode_palette(path: str | Path, pixels: UInt8[np.ndarray, "height width"],
                   palette: UInt8[np.ndarray, "colours 3"], space: LabelSpace,
                   ) -> UInt8[np.ndarray, "height width"] | None:
    """Labels of a palette PNG in the table's colours, but sorted otherwise, as image editors do.

    None where the indices are already the labels, or the colours are not the table's (a grey or random palette).
    """
    used = np.unique(pixels)
    if used[-1] >= len(palette):
        return None
    colours = [tuple(int(value) for value in palette[index]) for index in used]
    if all(index < len(space) and space.palette[index] == colour for index, colour in zip(used, colours)):
        return None
    if len(colours) < 2 or len(set(colours)) < len(colours) or not set(colours) <= set(space.palette):
        return None
    return decode_colours(path, pixels, palette, space)


def decode_colours(path: str | Path, pixels: UInt8[np.ndarray, "height width *rgb"],
                   palette: UInt8[np.ndarray, "colours 3"] | None, space: LabelSpace,
                   ) -> UInt8[np.ndarray, "height width"]:
    """Labels of an RGB image, or of palette indices, through the colours of `space`.

    Raises:
        UserError: a colour is not in the table, or stands for more than one label.
    """
    if pixels.ndim == 2:
        if palette is None:
            raise UserError(f"{path}: a single-channel mask has no colours; leave out `mask_encoding` colour")
        if pixels.max() >= len(palette):
            raise UserError(f"{path}: its palette has {len(palette)} colours, but a pixel uses number {pixels.max()}; "
                            "save the mask again")
        pixels = palette[pixels]
    found, decoded = _decode(pixels, space)
    unknown = decoded == _UNKNOWN
    if len(found) > _PHOTO_COLOURS:
        raise UserError(f"{path}: {len(found)} colours, as a photo has, or a painted mask whose edges were smoothed; "
                        f"give label numbers in a single-channel PNG, or the colours of {space.name} alone")
    if unknown.any() and _UNKNOWN not in _decode(pixels[..., ::-1], space)[1]:
        raise UserError(f"{path}: its colours are those of {space.name} with red and blue exchanged, as OpenCV stores "
                        "them; save it again with the two exchanged (cv2.cvtColor(mask, cv2.COLOR_BGR2RGB))")
    if unknown.any():
        packed = _pack(pixels)
        others = np.unique(packed[unknown])
        row, column = np.argwhere(packed == others[0])[0]
        raise UserError(f"{path}: the colour {tuple(pixels[row, column].tolist())} at x={column}, y={row} is not in "
                        f"the table of {space.name} ({len(others)} of {len(found)} colours are not); repaint without "
                        "smoothing or blending, or save label numbers in a single-channel PNG")
    for colour, labels in space.ambiguous_colours.items():
        if _pack(np.array(colour, np.uint8)) in found:
            names = " and ".join(f"{label} ({space.labels[label]})" for label in labels)
            raise UserError(f"{path}: the colour {colour} is ambiguous, {space.name} paints labels {names} alike, so "
                            "the mask cannot be decoded; save label numbers in a single-channel PNG")
    return decoded


def exchanged_red_and_blue(pixels: UInt8[np.ndarray, "height width 3"], labels: UInt8[np.ndarray, "height width"],
                           space: LabelSpace) -> bool:
    """Whether a painted mask shows hair above a face only with red and blue exchanged; skin and hair change places.

    Most colours of the table are in it one way only. This is for the masks of few parts that can be read both ways.
    """
    if hair_on_top(labels, space):
        return False
    exchanged = _decode(pixels[..., ::-1], space)[1]
    return _UNKNOWN not in exchanged and hair_on_top(exchanged, space)


def _decode(pixels: UInt8[np.ndarray, "height width 3"], space: LabelSpace
            ) -> tuple[UInt32[np.ndarray, " colours"], UInt8[np.ndarray, "height width"]]:
    """The colours (each as one number), and each pixel's label or _UNKNOWN."""
    table = {int(value): label for label, value in enumerate(_pack(np.array(space.palette, np.uint8)))}
    found, inverse = np.unique(_pack(pixels), return_inverse=True)
    labels = np.array([table.get(int(value), _UNKNOWN) for value in found], np.uint8)
    return found, labels[inverse.reshape(pixels.shape[:2])]


def _pack(rgb: UInt8[np.ndarray, "*shape 3"]) -> UInt32[np.ndarray, "*shape"]:
    """One number a colour."""
    rgb = rgb.astype(np.uint32)
    return np.asarray(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])
