"""The folded field with a semantic head: label logits are added up while the layers are computed.

Where a field is asked for colours, this one gives them, the same colours times the probability of not being background,
and the probability of each label, side by side: whatever composites the first composites all with the same weights.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.pigan.fast.fold import FoldedField
from models.pigan.fast.kernels import affine, sine_, whole_rows
from models.pigan.semantic_head import SemanticHead


class LabelledPoints(NamedTuple):
    """What the field says of points."""

    density: Float[Tensor, " points"]  # before its clamp to positive values
    rgb: Float[Tensor, "points 3"]  # in (0, 1), for the locked view direction
    logits: Float[Tensor, "points labels"]  # of the semantic head


class Features(NamedTuple):
    """Of a block of points."""

    last: Float[Tensor, "points width"]      # activations of the last density layer
    logits: Float[Tensor, "points labels"]


class LabelledField(FoldedField):
    """A folded field that also says what a point is a part of. No gradients.

    Args:
        field: its layers are shared, not copied.
        head: of the same decoder.
    """

    def __init__(self, field: FoldedField, head: SemanticHead) -> None:
        vars(self).update(vars(field))
        self.channels = 6 + len(head.bias)
        self.head = head.to(field.device)
        self._of_layer = self.head.by_layer

    def to(self, device: torch.device) -> "LabelledField":
        """A copy on another device."""
        other = cast(LabelledField, super().to(device))  # a copy already
        other.head = self.head.to(device)
        other._of_layer = other.head.by_layer
        return other

    def __call__(self, points: Float[Tensor, "points 3"]
                ) -> tuple[Float[Tensor, "points channels"], Float[Tensor, " points"]]:
        """What `colour` gives, and density before its clamp to positive values."""
        x, logits = self._activations(whole_rows(points))
        return self._shade(x, logits)[: len(points)], super().density(x)[: len(points)]

    @torch.no_grad()
    def _activations(self, x: Tensor) -> "Features":
        """Of whole rows. Logits of all points, not only of those that are coloured: while a layer's activations are in
        the cache they take less time than fetching those of the others' half."""
        logits = None
        for index, (weight, bias) in enumerate(self.layers):
            x = self.sine_(affine(x, weight, bias))
            if index in self._of_layer:
                part = self._of_layer[index]
                logits = affine(x, part, self.head.bias) if logits is None else logits.add_(affine(x, part))
        assert logits is not None
        return Features(x, logits)

    def _shade(self, x: Tensor, logits: Tensor) -> Tensor:
        """See `colour`."""
        rgb, chances = super().colour(x), logits.softmax(1)
        return torch.cat([rgb, rgb * (1 - chances[:, :1]), chances], 1)

    def features(self, points: Float[Tensor, "points 3"]) -> "Features":  # type: ignore[override]
        """What density, colours and labels are computed of."""
        return Features(*(values[: len(points)] for values in self._activations(whole_rows(points))))

    def density(self, features: "Features") -> Float[Tensor, " points"]:  # type: ignore[override]
        """Density before its clamp to positive values."""
        return super().density(features.last)

    def density_at(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        return super().density(super().features(points))

    def colour(  # type: ignore[override]
        self, features: "Features", chosen: Int[Tensor, " chosen"] | None = None
    ) -> Float[Tensor, "chosen channels"]:
        """Colour in (0, 1), colour times 1 - the background's probability, and the probability of each label, of all
        points or of these."""
        if chosen is None:
            return self._shade(*features)
        rows = whole_rows(chosen)
        return self._shade(*(values.index_select(0, rows) for values in features))[: len(chosen)]

    def evaluate(self, points: Float[Tensor, "points 3"]) -> LabelledPoints:
        """Density, colour and label logits at world positions."""
        x, logits = self._activations(whole_rows(points))
        count = len(points)
        return LabelledPoints(super().density(x)[:count], super().colour(x)[:count], logits[:count])


@torch.no_grad()
def layer_features(field: FoldedField, points: Float[Tensor, "points 3"], layers: Sequence[int]
                  ) -> Float[Tensor, "points features"]:
    """Activations of some sine layers of the density, side by side, in their order: what a semantic head reads."""
    x, found = whole_rows(points), {}
    for index, (weight, bias) in enumerate(field.layers):
        x = sine_(affine(x, weight, bias))
        if index in layers:
            found[index] = x
    return torch.cat([found[index] for index in layers], 1)[: len(points)]
