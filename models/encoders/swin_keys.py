"""Names of a Swin's weights in files: the authors' names are ours as well; earlier files of this project have timm's.

timm counts the merging of patches to the stage that follows, and its norm before its matrix. All functions take state
dicts with any prefix before the encoder's names.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

CONSTANT_BUFFERS = ("attn_mask", "relative_position_index")  # stored by the authors' code, made anew by ours


def has_timm_names(state: Mapping[str, Tensor]) -> bool:
    """Whether the encoder in a state dict has timm's names (also true of a state dict without an encoder)."""
    return not any("layers.0.downsample." in key for key in state)


def to_native_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names for those of either kind; constant buffers are dropped."""
    state = {key: value for key, value in state.items() if key.rpartition(".")[2] not in CONSTANT_BUFFERS}
    return {_renamed(key): value for key, value in state.items()} if has_timm_names(state) else state


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
