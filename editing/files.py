"""Files of edits: label maps to draw on, and codes that can be rendered or edited again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from configs.label_spaces import LabelSpace
from datasets.masks.files import read_mask
from datasets.masks.relabel import merged_to, unmerged_to
from models.checkpoints import save_checkpoint
from models.pigan.codes import Codes
from models.pigan.siren import FILM_LAYERS, FilmSiren
from models.semantic_files import decoder_sha256
from models.weight_files import read_file
from utils.errors import UserError
from utils.files import atomic_path

CODES_FORMAT = "sem2nerf codes"

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
    _check_spaces(source, target)
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
    _check_spaces(target, source)
    return merged_to(read_mask(path, source, require_face=False), source, target)


def save_codes(path: str | Path, codes: Codes, siren: FilmSiren) -> Path:
    """Write the codes of one scene, with the name of their decoder, atomically.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    save_checkpoint(path, {"format": CODES_FORMAT, "frequencies": codes.frequencies.detach().cpu().clone(),
                           "phase_shifts": codes.phase_shifts.detach().cpu().clone(),
                           "decoder_sha256": decoder_sha256(siren)})
    return Path(path)


def load_codes(path: str | Path, siren: FilmSiren) -> Codes:
    """The codes in a file that `save_codes` has written, on the decoder's device.

    Raises:
        UserError: the file cannot be read, holds no codes, or those of another decoder.
    """
    contents = read_file(path)
    if not isinstance(contents, dict) or contents.get("format") != CODES_FORMAT:
        raise UserError(f"`codes` {path}: holds no codes of a scene; edit3d.py writes such files")
    if contents.get("decoder_sha256") != decoder_sha256(siren):
        raise UserError(f"`codes` {path}: these are codes of another decoder than the checkpoint's; give the "
                        "checkpoint with which they were made")
    values = [value for name in ("frequencies", "phase_shifts") if isinstance(value := contents.get(name), Tensor)
              and value.shape == (1, FILM_LAYERS * siren.width) and torch.isfinite(value).all()]
    if len(values) != 2:
        raise UserError(f"`codes` {path}: holds no frequencies and phase shifts of one scene; make the file again")
    return Codes(*values).to(siren.final_layer.weight.device)


def _check_spaces(head: LabelSpace, files: LabelSpace) -> None:
    if head not in (files, files.merged):
        raise UserError(f"the semantic head knows the labels of {head.name}, mask files have those of {files.name}; "
                        "train a `semantic_head` with these masks")
