"""Semantic heads in files of their own, for checkpoints that hold none: which decoder they belong to is in them.

    save_semantic_head("semantic_head.pt", head, net.siren)
    net.semantic_head = load_semantic_head("semantic_head.pt", net.siren)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.checkpoints import save_checkpoint, to_native
from models.config import ModelConfig
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import FilmSiren
from models.weight_files import read_file
from utils.errors import UserError

SEMANTIC_FORMAT = "sem2nerf semantic head"


def decoder_sha256(siren: FilmSiren) -> str:
    """Of the field's weights in float32, in the order of their names, without the mapping network: a head reads
    activations, wherever codes come from, and files to share hold the mapping network in half precision."""
    digest = hashlib.sha256()
    for name, value in sorted(siren.state_dict().items()):
        if not name.startswith("mapping_network."):
            digest.update(name.encode())
            digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_semantic_head(path: str | Path, head: SemanticHead, siren: FilmSiren) -> None:
    """Write a head with the name of its decoder, atomically.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    save_checkpoint(path, {"format": SEMANTIC_FORMAT, "semantic": head.state(),
                           "decoder_sha256": decoder_sha256(siren)})


def load_semantic_head(path: str | Path, siren: FilmSiren) -> SemanticHead:
    """The head in a file that `save_semantic_head`, or a training of a head, has written.

    Raises:
        UserError: the file cannot be read, holds no head, or one of another decoder.
    """
    contents = read_file(path)
    if not isinstance(contents, dict) or "semantic" not in contents:
        raise UserError(f"`semantic_head` {path}: holds no semantic head; train_semantics.py writes such files")
    head = SemanticHead.from_state(contents["semantic"], path, siren.width)
    belongs_to = contents.get("decoder_sha256")
    if belongs_to != decoder_sha256(siren):
        told = f"of sha256 {belongs_to[:12]}..." if isinstance(belongs_to, str) else "that it does not name"
        raise UserError(f"`semantic_head` {path}: was trained with another decoder ({told}; the checkpoint's is "
                        f"{decoder_sha256(siren)[:12]}...); train one for this checkpoint with train_semantics.py")
    return head


def head_of(contents: Mapping[str, Any], source: str | Path, path: str | Path | None = None) -> SemanticHead | None:
    """The head of a checkpoint: that of a file, if one is given, else what the checkpoint holds, or None.

    Args:
        contents: of the checkpoint, of either layout.
        source: its file, for messages.

    Raises:
        UserError: as `load_semantic_head`; or what the checkpoint holds is damaged.
    """
    config = ModelConfig.from_contents(contents)
    if path is None:
        return None if contents.get("semantic") is None else SemanticHead.from_state(contents["semantic"], source,
                                                                                     config.width)
    siren, prefix = FilmSiren(config.width, config.z_dim), "decoder.siren."
    siren.load_state_dict({key.removeprefix(prefix): value for key, value in to_native(contents)["state_dict"].items()
                           if key.startswith(prefix)})
    return load_semantic_head(path, siren)
