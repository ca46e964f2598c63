"""Pretrained parts that a training starts from: a pi-GAN generator as decoder, a Swin classifier as encoder.

    load_siren(net.siren, "pretrained_models/pigan-celeba-pretrained.pth")
    state = read_swin_weights("pretrained_models/swin_tiny_patch4_window7_224.pth")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from models.encoders import swin_keys
from models.pigan.siren import FilmSiren
from models.weight_files import described, find_weights, read_file
from utils.errors import UserError


def read_pigan_weights(path: str | Path) -> dict[str, Tensor]:
    """A pretrained pi-GAN generator -> state dict with `siren.*` names.

    That is a state dict, bare or as an entry of a checkpoint; or what pi-GAN's own training writes: the pickled module
    (generator.pth), of which only the tensors are taken, or torch_ema's average of its weights (ema.pth).

    Raises:
        UserError: see `models.weight_files.read_file`; or it holds no field.
    """
    contents = read_file(path, objects=True)
    found = find_weights(contents, "siren.final_layer.weight")
    state = _averaged(contents) if found is None else found[1]
    if state is None:
        raise UserError(f"{path}: holds no pi-GAN generator, which should hold tensors by name, such as "
                        f"siren.final_layer.weight; it holds {described(contents)}. pretrained_models/README.md says "
                        "which files there are")
    return {key: value for key, value in state.items() if key.startswith("siren.")}


def _averaged(contents: Any) -> dict[str, Tensor] | None:
    """torch_ema keeps the averages of a generator's weights without names, in the order of its parameters."""
    if not isinstance(contents, dict):
        return None
    values = contents.get("shadow_params")
    if not isinstance(values, list):
        return next(filter(None, map(_averaged, contents.values())), None)
    names = [name for name, _ in FilmSiren(1, 1).named_parameters()]
    if len(values) != len(names) or not all(isinstance(value, Tensor) for value in values):
        return None
    by_name = dict(zip(names, values, strict=True))
    layer, mapping = by_name["network.0.layer.weight"], by_name["mapping_network.network.0.weight"]
    if not layer.ndim == mapping.ndim == 2:
        return None
    expected = FilmSiren(len(layer), mapping.shape[1]).state_dict()
    fits = all(value.shape == expected[name].shape for name, value in by_name.items())
    return {f"siren.{name}": value for name, value in by_name.items()} if fits else None


def load_siren(siren: FilmSiren, path: str | Path) -> None:
    """Give a field the weights of a pretrained one (`pigan_weights`).

    Raises:
        UserError: see `read_pigan_weights`; or the sizes are others.
    """
    state = {key.removeprefix("siren."): value.float() for key, value in read_pigan_weights(path).items()}
    own = siren.state_dict()
    for key, value in own.items():
        if key not in state or state[key].shape != value.shape:
            there = f"shape {tuple(state[key].shape)}" if key in state else "missing"
            raise UserError(f"`pigan_weights` {path}: weight {key} is {there}, but `pigan_hidden_dim` {siren.width} "
                            f"and a z of length {siren.z_dim} call for {tuple(value.shape)}; give the "
                            "sizes of this file")
    siren.load_state_dict({key: state[key] for key in own})


def read_swin_weights(path: str | Path) -> dict[str, Tensor]:
    """A Swin classifier or a detector's backbone, without patch embedding and head (mask channels and codes differ).

    The authors' files, timm's and mmdetection's are read, under whatever entry and prefix they keep it.

    Raises:
        UserError: see `models.weight_files.read_file`; or it holds no Swin.
    """
    contents = read_file(path)
    for anchor in swin_keys.ANCHORS:
        if (found := find_weights(contents, anchor)) is not None:
            state = swin_keys.to_native_names(swin_keys.from_mmdetection(found[1]))
            return {key: value for key, value in state.items() if not key.startswith(("patch_embed.", "head."))}
    raise UserError(f"{path}: holds no Swin transformer with the names of its authors, timm or mmdetection (it holds "
                    f"{described(contents)}); expected is swin_tiny_patch4_window7_224.pth or another Swin-T (see "
                    "pretrained_models/README.md)")
