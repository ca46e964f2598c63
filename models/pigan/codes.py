"""FiLM codes: what the encoder predicts, what the mapping network makes, what the field is conditioned on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """Raw frequencies and phase shifts of all FiLM layers of a batch of scenes.

    Both have shape (batch, layers * width): layer `i` owns columns `i * width : (i + 1) * width`. A raw frequency `f`
    modulates with `15 f + 30` (see `models.pigan.siren`).
    """

    frequencies: Float[Tensor, "batch codes"]
    phase_shifts: Float[Tensor, "batch codes"]

    def __len__(self) -> int:
        return self.frequencies.shape[0]

    def __getitem__(self, index: int | slice) -> Codes:
        """The codes of one scene (still with a batch dimension) or of a slice of the batch."""
        if isinstance(index, int):
            index = slice(index, index + 1) if index != -1 else slice(index, None)
        return Codes(self.frequencies[index], self.phase_shifts[index])

    def __add__(self, other: Codes) -> Codes:
        return Codes(self.frequencies + other.frequencies, self.phase_shifts + other.phase_shifts)

    def __sub__(self, other: Codes) -> Codes:
        return Codes(self.frequencies - other.frequencies, self.phase_shifts - other.phase_shifts)

    def to(self, *args, **kwargs) -> Codes:
        return Codes(self.frequencies.to(*args, **kwargs), self.phase_shifts.to(*args, **kwargs))

    def detach(self) -> Codes:
        return Codes(self.frequencies.detach(), self.phase_shifts.detach())

    def expand(self, batch: int) -> Codes:
        """A batch of one, repeated (without a copy) to `batch`."""
        return Codes(self.frequencies.expand(batch, -1), self.phase_shifts.expand(batch, -1))

    def lerp(self, other: Codes, weight: float) -> Codes:
        """`(1 - weight) * self + weight * other`."""
        return Codes(self.frequencies.lerp(other.frequencies.expand_as(self.frequencies), weight),
                     self.phase_shifts.lerp(other.phase_shifts.expand_as(self.phase_shifts), weight))

    def with_layers_from(self, other: Codes, layers: Iterable[int], width: int, alpha: float = 1.0) -> Codes:
        """Take the codes of some layers from `other` (a batch of one or of the same size).

        Args:
            layers: indices of FiLM layers, 0 (nearest to the input) to 8 (colour).
            width: width of the field, i.e. how many columns a layer owns.
            alpha: 1 replaces; less blends, `alpha * other + (1 - alpha) * self`.
        """
        frequencies, phase_shifts = self.frequencies.clone(), self.phase_shifts.clone()
        for layer in layers:
            columns = slice(layer * width, (layer + 1) * width)
            for mine, theirs in ((frequencies, other.frequencies), (phase_shifts, other.phase_shifts)):
                new = theirs[:, columns].expand_as(mine[:, columns])
                mine[:, columns] = new if alpha == 1.0 else alpha * new + (1 - alpha) * mine[:, columns]
        return Codes(frequencies, phase_shifts)
