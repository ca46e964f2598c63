"""Files beside the row of views of a mask: label maps, distances, views without their background.

    <stem>_labels.png          the row, and below each view its labels in their colours
    <stem>_labels_0.png ...    the labels of view 0: a mask file, as `datasets.masks.map_files.save_map` writes it
    <stem>_depth_0.png ...     distances of view 0: 16 bits, steps of `DEPTH_UNIT` world units, 0 for the background
    <stem>_alpha_0.png ...     view 0 with a transparent background
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16

from configs.label_spaces import LabelSpace, shown_palette
from datasets.inference_set import MaskItem
from datasets.layout import DEPTH_UNIT
from datasets.masks.map_files import save_map
from models.sem2nerf import Sem2NeRF
from models.view import View
from utils.images import colour_labels, resize_labels, save_png, stack_rows

SOLID = 0.5  # opacity, or 1 - probability of the background, from which a pixel has a distance


@dataclass(frozen=True)
class ExtraSettings:
    """Which of these files are written."""

    labels: bool = False
    depth: bool = False
    alpha: bool = False

    @property
    def needs_labels(self) -> bool:
        """Whether views have to be rendered with labels."""
        return self.labels or self.alpha


def write_extras(wanted: ExtraSettings, folder: Path, stem: str, views: Sequence[View],
                 images: Sequence[UInt8[np.ndarray, "_ _ 3"]], mask: MaskItem, net: Sem2NeRF) -> Iterator[Path]:
    """Write the files of a row; gives their paths.

    Args:
        images: the row: the views as they are saved, of the size of `mask.painted`.
        net: that has made the views.

    Raises:
        UserError: a file cannot be written.
    """
    space = None if net.semantic_head is None else net.semantic_head.space
    if wanted.labels and space is not None:
        size = len(mask.painted)
        own = shown(mask.planes.label, net.input.network_space, size)
        maps = [own, *(painted(view, space, size) for view in views)]
        yield save_png(folder / f"{stem}_labels.png", stack_rows([[mask.painted, *images], maps]))
    for index, view in enumerate(views):
        if wanted.labels and view.labels is not None and space is not None:
            yield save_map(folder / f"{stem}_labels_{index}.png", view.labels.numpy(), space, net.input.space)
        if wanted.depth:
            yield save_png(folder / f"{stem}_depth_{index}.png", depth_pixels(view))
        if wanted.alpha:
            yield save_png(folder / f"{stem}_alpha_{index}.png", rgba_pixels(view))


def painted(view: View, space: LabelSpace, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The labels of a view in their colours, `size` pixels along each side."""
    assert view.labels is not None, "the view was rendered without labels"
    return shown(view.labels.numpy(), space, size)


def shown(labels: UInt8[np.ndarray, "height width"], space: LabelSpace, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A label map in its colours, `size` pixels along each side."""
    return colour_labels(resize_labels(labels, size), shown_palette(space))


def depth_pixels(view: View) -> UInt16[np.ndarray, "height width"]:
    """Distances in steps of DEPTH_UNIT; 0 where the field is see-through or, if labels are known, shows background."""
    solid = view.opacity if view.label_probabilities is None else 1 - view.label_probabilities[0]
    steps = (view.depth / DEPTH_UNIT).round().clamp(1, 65535)
    return (steps * (solid >= SOLID)).numpy().astype(np.uint16)


def rgba_pixels(view: View) -> UInt8[np.ndarray, "height width 4"]:
    """Red, green, blue and alpha: 255 where no background is seen. Colours are those of the head alone."""
    assert view.rgba is not None, "the view was rendered without labels"
    return (view.rgba.clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).contiguous().numpy()
