"""A linear map from the field's activations to labels: the field knows a head's parts, though only colours taught it.

At a point p with the activations x_l(p) of some sine layers l of the density, the label logits are

    logits(p) = b + sum_l W_l x_l(p)

and the probability of label c at a pixel is sum_i w_i softmax(logits(p_i))_c, with the weights w_i that composite the
colours of the samples p_i. Gradients never reach the field; docs/semantic_field.md tells how W and b are found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from configs.label_spaces import LABEL_SPACES, LabelSpace
from models.pigan.siren import DENSITY_LAYERS
from utils.errors import UserError

LAYERS = (1, 3, 5, 7)  # early ones know places, late ones colours


@dataclass(frozen=True)
class SemanticHead:
    """
    Attributes:
        layers: sine layers of the density it reads, ascending, 0 to 7.
        label_space: a key of `configs.label_spaces.LABEL_SPACES`.
        weight: one block of columns for each of the layers, in their order.
    """

    layers: tuple[int, ...]
    label_space: str
    weight: Float[Tensor, "labels features"]
    bias: Float[Tensor, " labels"]

    @property
    def space(self) -> LabelSpace:
        """Names and colours of the labels."""
        return LABEL_SPACES[self.label_space]

    @property
    def width(self) -> int:
        """Of the field it belongs to."""
        return self.weight.shape[1] // len(self.layers)

    @property
    def by_layer(self) -> dict[int, Float[Tensor, "labels width"]]:
        """The part of `weight` that each layer's activations are multiplied with. Each is contiguous: of others oneDNN
        makes products a hundred times as slowly."""
        parts = self.weight.split(self.width, 1)
        return {layer: part.contiguous() for layer, part in zip(self.layers, parts, strict=True)}

    @property
    def sha256(self) -> str:
        """Of all its numbers."""
        digest = hashlib.sha256(repr((self.layers, self.label_space)).encode())
        for value in (self.weight, self.bias):
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> SemanticHead:
        """The same on a device."""
        return SemanticHead(self.layers, self.label_space, self.weight.to(device), self.bias.to(device))

    def state(self) -> dict[str, Any]:
        """Plain values and tensors, as files hold it."""
        return {"layers": list(self.layers), "label_space": self.label_space,
                "weight": self.weight.detach().cpu().clone(), "bias": self.bias.detach().cpu().clone()}

    @classmethod
    def from_state(cls, state: Any, source: str | Path, width: int | None = None) -> SemanticHead:
        """From what `state` gave.

        Args:
            source: file, for messages.
            width: of the field it has to fit, where that is known.

        Raises:
            UserError: an entry is missing or wrong, or the field has another width.
        """
        def refuse(what: str) -> UserError:
            return UserError(f"{source}: its semantic head {what}; train it again with train_semantics.py")

        if not isinstance(state, Mapping) or not {"layers", "label_space", "weight", "bias"} <= set(state):
            raise refuse("lacks layers, label_space, weight or bias")
        layers, space, weight, bias = (state[name] for name in ("layers", "label_space", "weight", "bias"))
        if (not isinstance(layers, (list, tuple)) or not layers or list(layers) != sorted(set(layers))
                or not set(layers) <= set(range(DENSITY_LAYERS))):
            raise refuse(f"names layers {layers}, which should be some of 0 to {DENSITY_LAYERS - 1}, ascending")
        if space not in LABEL_SPACES:
            raise refuse(f"is for label space {space}, which is none of {', '.join(LABEL_SPACES)}")
        labels = len(LABEL_SPACES[space])
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor) or weight.ndim != 2 or \
                weight.shape[0] != labels or bias.shape != (labels,) or weight.shape[1] % len(layers):
            raise refuse(f"has a weight or a bias that does not fit {labels} labels and {len(layers)} layers")
        if not (weight.isfinite().all() and bias.isfinite().all()):
            raise refuse("holds values that are not finite")
        head = cls(tuple(layers), space, weight.float(), bias.float())
        if width is not None and head.width != width:
            raise UserError(f"{source}: its semantic head is for a field of width {head.width}, this one has {width}; "
                            "use the head that was trained with this decoder")
        return head
