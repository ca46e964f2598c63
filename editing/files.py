"""Codes of a scene as a file, so that it can be rendered or edited again."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints import save_checkpoint
from models.pigan.codes import Codes
from models.pigan.siren import FILM_LAYERS, FilmSiren
from models.semantic_files import decoder_sha256
from models.weight_files import read_file
from utils.errors import UserError

CODES_FORMAT = "sem2nerf codes"


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
