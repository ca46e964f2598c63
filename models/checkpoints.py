"""Checkpoint files: reading them safely, and the two layouts they come in.

native    state_dict with `encoder.*` and `decoder.siren.*`, plus `format: sem2nerf` and `input`, which says how masks
          are read (datasets/masks/mask_input.py; earlier files leave it to `opts`)
official  as the 2022 release writes them: also the encoder's constant buffers, `encoder.module.*` from multi-GPU runs

The names of the weights and everything else in a file (opts, latent_avg, global_step, optimiser states ...) are the
same in both. Earlier native files name the encoder's weights as timm does; they are read as well.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.masks.mask_input import MaskInput
from models.config import ModelConfig
from models.encoders import swin_keys
from models.encoders.swin import SWIN_SIZES, WINDOW, SwinEncoder
from models.pigan.codes import Codes
from models.weight_files import WRAPPERS, described, find_weights, read_file, unwrapped
from utils.errors import UserError
from utils.files import atomic_path

FORMAT = "sem2nerf"
# options that name data and places of the training
LOCAL_PATH_OPTIONS = frozenset({
    "exp_dir", "dataset_type", "data_root", "train_paths_conf", "test_paths_conf", "map_cache", "checkpoint_path",
    "pigan_weights", "swin_weights", "lpips_weights", "pigan_steps_conf", "dist_url"})
KEPT_FOR_RELEASE = ("format", "latent_avg", "semantic", "global_step", "best_val_loss")  # beside input, opts, weights
STATE_DICTS = ("state_dict", "train_state_dict")  # the second one where the first is an average of the weights
NEEDED_BY_THE_RELEASE = ("encoder_type", "input_nc", "label_nc", "start_from_latent_avg", "distributed_train")
ANCHOR = "encoder.patch_embed.proj.weight"  # a weight that every Sem2NeRF has


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
        contents = _with_state_dict(path, contents)
    if not isinstance(contents.get("opts"), dict):
        raise UserError(f"{path}: holds no 'opts', so its architecture is unknown; save it again with train3d.py")
    for name in STATE_DICTS:
        state = contents.get(name, {})
        named = isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
        if not named:
            raise UserError(f"{path}: '{name}' should hold tensors by name, and nothing else; get the file again")
    return contents


def _with_state_dict(path: str | Path, contents: Any) -> dict[str, Any]:
    """Contents that keep their weights under another name.

    Raises:
        UserError: there are none, or they are all that there is.

    Warns:
        UserWarning: which weights are taken.
    """
    found = find_weights(contents, ANCHOR)
    if found is None:
        raise UserError(f"{path}: holds no 'state_dict', so it is not a Sem2NeRF checkpoint (it holds "
                        f"{described(contents)}); if it is a pi-GAN or Swin weight file, give it to train3d.py with "
                        "`pigan_weights` or `swin_weights`")
    name, state = found
    if not name or not isinstance(contents.get("opts"), dict):
        what = f"the weights of a Sem2NeRF under '{name}'" if name else "the bare weights of a Sem2NeRF"
        raise UserError(f"{path}: holds {what}, and no 'opts', so how it was built and trained is unknown; save both "
                        "in one file: torch.save({'state_dict': weights, 'opts': options}, FILE), the options as in "
                        "the opt.json of the run")
    warnings.warn(f"{path}: has no 'state_dict'; its weights are those under '{name}'", stacklevel=3)
    return {**contents, "state_dict": state}


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

    kept = {key: native[key] for key in KEPT_FOR_RELEASE if key in native}
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
            state = unwrapped(out[name], {*WRAPPERS, "backbone"})
            before = next((key.removesuffix(ANCHOR) for key in state if key.endswith(f".{ANCHOR}")), "")
            out[name] = swin_keys.to_native_names({key.removeprefix(before): value for key, value in state.items()})
    if "optimizer" in out and swin_keys.has_timm_names(unwrapped(contents["state_dict"])):
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


def release_obstacles(contents: Mapping[str, Any]) -> list[str]:
    """Why the code of the 2022 release cannot load a model, in its official layout either; none for its own kind."""
    config, opts = ModelConfig.from_contents(contents), contents["opts"]
    found = [f"its {what} is {value}, there it is always {fixed}" for what, value, fixed in (
        ("encoder", config.encoder_type, "SwinEncoder"), ("field's width", config.width, 256),
        ("length of z", config.z_dim, 256), ("network input", config.input_size, 224)) if value != fixed]
    if config.encoder_predicts_z:
        found.append("its encoder predicts z, there it predicts codes")
    if config.camera_preset not in ("CelebAMask_HQ", "CatMask"):
        found.append(f"its camera preset {config.camera_preset} is not known there")
    lacking = [name for name in NEEDED_BY_THE_RELEASE if name not in opts]
    return found + [f"its options lack {', '.join(lacking)}"] * bool(lacking)


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
