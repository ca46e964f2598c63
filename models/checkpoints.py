"""Checkpoint files: reading them safely, and the two layouts they come in.

native    state_dict with `encoder.*` and `decoder.siren.*`, plus `format: sem2nerf` and `input`, which says how masks
          are read (datasets/masks/mask_input.py; earlier files leave it to `opts`)
official  as the 2022 release writes them: also the encoder's constant buffers, `encoder.module.*` from multi-GPU runs

The names of the weights and everything else in a file (opts, latent_avg, global_step, optimiser states ...) are the
same in both. Earlier native files name the encoder's weights as timm does; they are read as well.
"""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.masks.mask_input import MaskInput
from models.config import ModelConfig
from models.encoders import swin_keys
from models.encoders.swin import WINDOW
from models.encoders.swin_encoder import SWIN_SIZES, SwinEncoder
from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren
from utils.errors import UserError
from utils.files import atomic_path

FORMAT = "sem2nerf"
# options that name data and places of the training
LOCAL_PATH_OPTIONS = frozenset({
    "exp_dir", "dataset_type", "data_root", "train_paths_conf", "test_paths_conf", "map_cache", "checkpoint_path",
    "pigan_weights", "swin_weights", "lpips_weights", "pigan_steps_conf", "dist_url"})
# numpy scalars (a validation loss, say) are harmless and do occur in published files; numpy 1 and 2 name differently
# what rebuilds them
_NUMPY_SCALARS: list[Any] = [
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType,
]
STATE_DICTS = ("state_dict", "train_state_dict")  # the second one where the first is an average of the weights


def read_file(path: str | Path) -> Any:
    """Load a file that holds tensors and plain values only; nothing in it is executed.

    Raises:
        UserError: missing, truncated, not a PyTorch file, or it holds code or foreign objects.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file; see pretrained_models/README.md for where to get weights")
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols: whether the file can be read is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):  # the file names a class or function
            raise UserError(f"{path}: refused, since loading it would run code stored in the file; a checkpoint must "
                            "hold only tensors and plain values. Get it again from its source") from error
        raise UserError(f"{path}: not a PyTorch checkpoint; get the file again") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged or incomplete, it cannot be read as a PyTorch checkpoint; "
                        "get the file again") from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a Sem2NeRF checkpoint of either layout and give it in the native one (float32 weights).

    Raises:
        UserError: see `read_contents`.
    """
    contents = to_native(read_contents(path))
    contents["state_dict"] = {key: value.float() if value.is_floating_point() else value
                              for key, value in contents["state_dict"].items()}
    return contents


def read_contents(path: str | Path) -> dict[str, Any]:
    """Load a Sem2NeRF checkpoint as it is stored.

    Raises:
        UserError: see `read_file`; or the file is something else than a Sem2NeRF checkpoint.
    """
    contents = read_file(path)
    if not isinstance(contents, dict) or not isinstance(contents.get("state_dict"), dict):
        raise UserError(f"{path}: holds no 'state_dict', so it is not a Sem2NeRF checkpoint; if it is a pi-GAN or Swin "
                        "weight file, give it to train3d.py with `pigan_weights` or `swin_weights`")
    if not isinstance(contents.get("opts"), dict):
        raise UserError(f"{path}: holds no 'opts', so its architecture is unknown; save it again with train3d.py")
    for name in STATE_DICTS:
        _check_weights(contents.get(name, {}), f"{path}: '{name}'")
    return contents


def save_checkpoint(path: str | Path, contents: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: an older file of the same name stays whole until the new one is complete.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    with atomic_path(path) as temporary:
        try:
            torch.save(dict(contents), temporary)
        except RuntimeError as error:  # how torch reports a failed write
            raise UserError(f"{path}: writing the checkpoint failed ({str(error).splitlines()[0]}); "
                            "is the disk full?") from error


def is_official(contents: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's contents are in the official layout."""
    return contents.get("format") != FORMAT


def for_release(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Only what using a model needs, in the native layout: no optimisers, no random states, half-precision weights.

    The layers of the field stay in single precision: their sines turn small differences into large ones, and their
    density weights exceed what half precision holds.
    """
    native = to_native(contents)

    def stored(key: str, value: Tensor) -> Tensor:
        whole = key.startswith("decoder.siren.") and ".mapping_network." not in key
        return value if whole or not value.is_floating_point() else value.half()

    kept = {key: native[key] for key in ("format", "latent_avg", "global_step", "best_val_loss") if key in native}
    opts = {key: value for key, value in native["opts"].items() if key not in LOCAL_PATH_OPTIONS}
    weights = {key: stored(key, value) for key, value in native["state_dict"].items()}
    return {**kept, "input": MaskInput.of_checkpoint(native).to_dict(), "opts": opts, "state_dict": weights}


def to_native(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of either layout, or of an earlier native one -> native layout. Tensors are shared, not copied."""
    out = {**contents, "format": FORMAT}
    if is_official(contents):
        out["input"] = MaskInput.of_checkpoint(contents).to_dict()
    for name in STATE_DICTS:
        if name in out:
            out[name] = swin_keys.to_native_names(_plain(out[name]))
    if "optimizer" in out and swin_keys.has_timm_names(contents["state_dict"]):
        out["optimizer"] = swin_keys.reorder_timm_optimizer(out["optimizer"], contents["state_dict"])
    return out


def to_official(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of either layout -> official layout (without DDP prefixes), complete with its constant buffers.

    `input` stays only if it says something else than `opts`, from which it follows for official files.

    Raises:
        UserError: the windows do not fit the input size, for which the official code has no layout.
    """
    out = to_native(contents)
    config = ModelConfig.from_contents(out)
    fitting = WINDOW * SWIN_SIZES[config.encoder_type].total_stride
    if config.input_size % fitting:
        raise UserError(f"`src_input_size` {config.input_size}: the official layout needs windows that fit, a multiple "
                        f"of {fitting}; keep this model in its own layout")
    encoder = SwinEncoder(config.encoder_type, config.input_nc, config.input_size, config.code_dim)
    state, official = out["state_dict"], {}
    for name, module in encoder.named_modules(prefix="encoder"):  # for the official order
        official.update((key, state[key]) for key, _ in module.named_parameters(name, recurse=False) if key in state)
        official.update(module.named_buffers(name, recurse=False))
    out["state_dict"] = {**official, **state}
    del out["format"]
    if config.input == MaskInput.from_opts(out["opts"]):
        out.pop("input", None)
    return out


def latent_avg_of(contents: Mapping[str, Any], source: str | Path, length: int | None = None) -> Codes | None:
    """The mean code of a checkpoint: a list or tuple of two tensors, or None where the file has none.

    Args:
        length: how many frequencies the field has, where that is known.

    Raises:
        UserError: it has another form.
    """
    value = contents.get("latent_avg")
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(v, Tensor) for v in value):
        raise UserError(f"{source}: 'latent_avg' should be two tensors (frequencies, phase shifts); get the file again")
    frequencies, phase_shifts = (v.float().reshape(1, -1) for v in value)
    if frequencies.shape != phase_shifts.shape or (length and frequencies.shape[1] != length):
        raise UserError(f"{source}: 'latent_avg' holds {frequencies.shape[1]} frequencies and {phase_shifts.shape[1]} "
                        "phase shifts, which does not fit its weights; get the file again")
    return Codes(frequencies, phase_shifts)


def read_pigan_weights(path: str | Path) -> dict[str, Tensor]:
    """A pretrained pi-GAN generator -> state dict with `siren.*` names.

    Raises:
        UserError: see `read_file`; or it holds no field.
    """
    state = read_file(path)
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    _check_weights(state, path)
    state = {key.removeprefix("module.").removeprefix("decoder."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if key.startswith("siren.")}
    if not state:
        raise UserError(f"{path}: holds no `siren.*` weights; expected a pi-GAN generator's state dict such as "
                        "pigan-celeba-pretrained.pth (see pretrained_models/README.md)")
    return state


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
    """A Swin classifier, without patch embedding and head (mask channels and codes differ).

    Raises:
        UserError: see `read_file`; or it holds no Swin.
    """
    state = read_file(path)
    state = state.get("model", state) if isinstance(state, dict) else {}
    if "layers.0.blocks.0.attn.qkv.weight" not in state:
        raise UserError(f"{path}: holds no Swin transformer; expected swin_tiny_patch4_window7_224.pth "
                        "(see pretrained_models/README.md)")
    _check_weights(state, path)
    state = swin_keys.to_native_names(state)
    return {key: value for key, value in state.items() if not key.startswith(("patch_embed.", "head."))}


def _check_weights(state: Any, source: str | Path) -> None:
    """
    Raises:
        UserError: `state` is not a dictionary of tensors by name.
    """
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(f"{source} should hold tensors by name, and nothing else; get the file again")


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the `module.` that DDP puts behind encoder and decoder."""
    return {re.sub(r"^([^.]*\.)module\.", r"\1", key): value for key, value in state.items()}
