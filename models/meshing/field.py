"""What a mesh is made from: a field that can be asked for density and appearance at any place, and its camera."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from configs.data_configs import CameraPreset


@runtime_checkable
class MeshableField(Protocol):
    """`models.scene.Scene` is one. Places are in world units (see `models.pigan.cameras`); results are on the CPU."""

    preset: CameraPreset

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        ...

    def appearance(self, points: Float[Tensor, "points 3"]
                  ) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points labels"] | None]:
        """Colours in [0, 1], and the logits of the labels; None if the field knows none. Label 0 is the background."""
        ...
