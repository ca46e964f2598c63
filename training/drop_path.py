"""Stochastic depth with its random numbers given from outside, one row a sample.

timm's layers draw from a global generator, batch by batch: the numbers a sample gets would depend on how a batch is cut
up among processes, and on everything drawn before.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class GivenDropPath(nn.Module):
    """Drops the branch of a residual block for those samples whose number is below `probability`; scales the others."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.draws: Float[Tensor, " batch"] | None = None

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training or self.draws is None:
            return x
        kept = (self.draws >= self.probability).to(x.dtype) / (1 - self.probability)
        return x * kept.view(-1, *[1] * (x.dim() - 1))


class DropPaths:
    """All stochastic-depth layers of an encoder, replaced by ones that take their numbers from `give`.

    `count` is how many there are. No weight is touched, no state-dict key changes.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.layers: list[GivenDropPath] = []
        for module in list(encoder.modules()):
            for name, child in list(module.named_children()):
                # by name: the encoder may be of another copy of timm than `import timm`, see models.encoders.timm_swin
                if type(child).__name__ == "DropPath":
                    layer = GivenDropPath(child.drop_prob)
                    setattr(module, name, layer.train(child.training))
                    self.layers.append(layer)

    @property
    def count(self) -> int:
        return len(self.layers)

    def give(self, draws: Float[Tensor, "batch layers"] | None) -> None:
        """Numbers in [0, 1) for the next forward pass; None: nothing is dropped."""
        for index, layer in enumerate(self.layers):
            layer.draws = None if draws is None else draws[:, index]
