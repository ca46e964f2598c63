"""Masks that a page loads: the bundled samples, and files that it sends. Read as inference reads them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from configs.data_configs import DATA_CONFIGS
from configs.label_spaces import LABEL_ORDERS, LabelSpace, order_table
from datasets.masks import oddities
from datasets.masks.files import Encoding, read_mask
from datasets.masks.lists import SAMPLES, list_folder
from datasets.masks.mask_input import MaskInput
from utils.errors import UserError, listed_warnings
from utils.files import in_project

LONGEST_SIDE = 1024  # pixels of a mask that is painted; larger files are scaled down, without smoothing
# what the settings that messages name are called on the page
WORDS = {"label_order": "the label order", "mask_encoding": "the encoding", "dataset_type": "the kind of head",
         "use_merged_labels": "merged labels", "style_mask": "the mask", "style_image": "the picture",
         "style_parts": "parts", "face_segmenter": "the face segmenter", "edit": "the drawing"}

_reading = threading.Lock()  # warnings are collected in one list at a time


@dataclass(frozen=True)
class LoadedMask:
    """Labels to paint on, and what is odd about the file."""

    labels: UInt8[np.ndarray, "height width"]
    warnings: list[str]


@contextmanager
def gathered_warnings(path: str = "") -> Iterator[list[str]]:
    """While inside, warnings about masks are gathered; afterwards they are sentences for the page (see `for_page`)."""
    with _reading, listed_warnings() as found:
        yield found
    found[:] = list(dict.fromkeys(for_page(text, path) for text in found))


def for_page(text: str | UserError, path: str = "") -> str:
    """A message as the page shows it: one line, settings in plain words, without the path of the server's own file."""
    words = str(UserError(str(text)).with_settings(lambda setting: WORDS.get(setting, setting)))
    words = words.removeprefix(f"{path or 'mask'}: ")  # arrays are called that
    return " ".join((words.replace(path, "the file") if path else words).split())


class MaskReader:
    """Reads masks of one label space.

    Args:
        space: the labels of mask files.
        label_order: how the model's own files number the parts, the default for files that are loaded.
        samples: folder of masks; these files alone can be asked for by name.

    `sample_files` is where each of them lies, by name.
    """

    def __init__(self, space: LabelSpace, label_order: str, samples: Path | None) -> None:
        self.space, self.label_order = space, label_order
        self.sample_files = {path.stem: path for path in (list_folder(samples) if samples else [])}

    @classmethod
    def of(cls, mask_input: MaskInput) -> MaskReader:
        """For a model, with the samples of its kind of heads."""
        data = next(config for config in DATA_CONFIGS.values() if config.label_space.name == mask_input.label_space)
        folder = in_project(data.data_root / SAMPLES)
        return cls(mask_input.space, mask_input.label_order, folder if folder.is_dir() else None)

    @property
    def samples(self) -> list[str]:
        """Names of the bundled samples."""
        return list(self.sample_files)

    @property
    def orders(self) -> list[str]:
        """Names of the orders that files of this space may be in; the first is the default."""
        known = [name for name in LABEL_ORDERS if len(self.space) == len(LABEL_ORDERS["celebamask"])] or ["celebamask"]
        return list(dict.fromkeys([self.label_order, *known]))

    def sample(self, name: str) -> LoadedMask:
        """A bundled sample.

        Raises:
            KeyError: there is none of that name.
        """
        return self._read(self.sample_files[name], "auto", "celebamask")

    def upload(self, data: bytes, encoding: Encoding, label_order: str) -> LoadedMask:
        """A file that a page has sent.

        Raises:
            UserError: it is no mask of this label space, or there is no such order.
        """
        order_table(label_order, self.space)
        with tempfile.TemporaryDirectory(prefix="sem2nerf-mask-") as folder:
            path = Path(folder) / "mask"
            path.write_bytes(data)
            return self._read(path, encoding, label_order)

    def _read(self, path: Path, encoding: Encoding, label_order: str) -> LoadedMask:
        try:
            with gathered_warnings(str(path)) as warnings:
                labels = read_mask(path, self.space, encoding, label_order, require_face=False)
        except UserError as error:
            raise UserError(for_page(error, str(path))) from error
        if max(labels.shape) > LONGEST_SIDE:
            height, width = labels.shape
            rows, columns = (np.linspace(0, length - 1, max(1, round(length * LONGEST_SIDE / max(labels.shape))))
                             .round().astype(int) for length in labels.shape)
            labels = labels[np.ix_(rows, columns)]
            warnings.append(f"its {width} x {height} pixels were scaled down to {labels.shape[1]} x {labels.shape[0]}")
        if odd := oddities.shape(labels, self.space):
            warnings.append(odd)
        return LoadedMask(labels, warnings)


def check_size(width: int, height: int) -> None:
    """Refuse sizes that no page paints.

    Raises:
        UserError: a side is shorter than a pixel or longer than LONGEST_SIDE.
    """
    if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
        raise UserError(f"a mask of {width} x {height} pixels: give 1 to {LONGEST_SIDE} pixels along each side")


