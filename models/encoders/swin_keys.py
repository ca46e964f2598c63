"""Names of a Swin's weights in files: the authors' names are ours as well; earlier files of this project have timm's.

timm counts the merging of patches to the stage that follows, and its norm before its matrix. mmdetection has names of
its own, another order of the merged patches, and a norm after each stage. All functions but `from_mmdetection` take
state dicts with any prefix before the encoder's names.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# a weight by which a Swin is known: of the authors and timm, of mmdetection
ANCHORS = ("layers.0.blocks.0.attn.qkv.weight", "stages.0.blocks.0.attn.w_msa.qkv.weight")
CONSTANT_BUFFERS = ("attn_mask", "relative_position_index")  # stored by the authors' code, made anew by ours


def has_timm_names(state: Mapping[str, Tensor]) -> bool:
    """Whether the encoder in a state dict has timm's names (also true of a state dict without an encoder)."""
    return not any("layers.0.downsample." in key for key in state)


def to_native_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names for those of either kind; constant buffers are dropped."""
    state = {key: value for key, value in state.items() if key.rpartition(".")[2] not in CONSTANT_BUFFERS}
    return {_renamed(key): value for key, value in state.items()} if has_timm_names(state) else state


def from_mmdetection(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names for a detector's backbone, mmdetection's own or the authors'; others stay as they are.

    The norm after the last stage is the classifier's; those after the stages before have no counterpart there.
    """
    names = (("stages.", "layers."), (".attn.w_msa.", ".attn."), (".ffn.layers.0.0.", ".mlp.fc1."),
             (".ffn.layers.1.", ".mlp.fc2."))
    last = max((key[:5] for key in state if re.match(r"norm\d\.", key)), default=None)
    out = {}
    for key, value in state.items():
        if key.startswith("stages.") and ".downsample." in key and value.shape[-1] % 4 == 0:
            value = _authors_merging_order(value)
        if last is not None and re.match(r"norm\d\.", key):
            if not key.startswith(last):
                continue
            key = "norm." + key.partition(".")[2]
        for theirs, authors in names:
            key = key.replace(theirs, authors)
        out[key] = value
    return out


def _authors_merging_order(value: Tensor) -> Tensor:
    """mmdetection unfolds four neighbours channel by channel, in rows; the authors join whole patches, in columns."""
    by_neighbour = value.unflatten(-1, (-1, 4)).movedim(-1, -2)
    return by_neighbour[..., torch.tensor([0, 2, 1, 3]), :].flatten(-2)


def reorder_timm_optimizer(optimizer: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """An optimiser's states in the order of the authors' parameters.

    Args:
        state: the state dict that the optimiser was stored with, in timm's names; the encoder's parameters come first.
    """
    old, new = optimizer["state"], dict(optimizer["state"])
    merging = [index for index, key in enumerate(state) if ".downsample." in key]  # three parameters each
    for first, second, third in zip(merging[::3], merging[1::3], merging[2::3]):
        for target, source in ((first, third), (second, first), (third, second)):
            new.pop(target, None)
            if source in old:
                new[target] = old[source]
    return {**optimizer, "state": dict(sorted(new.items()))}


def _renamed(key: str) -> str:
    key = key.replace("head.fc.", "head.")
    return re.sub(r"\blayers\.(\d+)\.downsample\.", lambda match: f"layers.{int(match[1]) - 1}.downsample.", key)
