"""An edit made true by optimisation: codes whose view shows the edited labels, while everything else stays.

Each step renders a few hundred rays of the edited view (`editing.descent`). Losses: the negative log-likelihood of the
wanted labels in the region, in the margin around it (without which a part grows over its outline), and outside, where
colours are held as well; and the length of the step. Many steps that look at few rays each get farther in the same time
than a few that look at many.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from configs.data_configs import CameraPreset
from editing.descent import DescentSettings, SoftView, descend
from editing.directions import CodeDirections
from editing.region import EditRegion
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import FilmSiren
from models.view import View

LEAST_PROBABILITY = 1e-4  # a label less likely than this is not more wrong


@dataclass(frozen=True)
class RefineSettings(DescentSettings):
    """How many rays a step has, and what its losses weigh relative to the labels in the region."""

    even: int = 7
    around: int = 5
    inside: int = 64       # rays per step in the edited region ...
    margin: int = 32       # ... in its margin ...
    outside: int = 96      # ... and elsewhere
    probed: int = 64
    rate: float = 0.04
    step_weight: float = 0.1
    # Hardly softer than the true surface: the encoder has begun the part that is wanted, and under a softer one the
    # codes give up what is right already.
    softness: tuple[float, float] = (0.03, 0.01)
    margin_weight: float = 0.5    # of the labels in the margin
    outside_weight: float = 1.0   # of the labels outside
    colour_weight: float = 25.0   # of the mean change of colours in [0, 1] outside, beyond ...
    tolerated: float = 0.01       # ... what nobody sees


# The first steps, for an answer at once: as few rays as still show what is missing, and the longest steps that do not
# overshoot.
QUICK = RefineSettings(even=5, around=3, inside=48, margin=24, outside=80, rate=0.12, warm_up=1, softness=(0.03, 0.03))
QUICK_STEPS = 4


class Refiner:
    """Optimises the codes of one edit.

    Args:
        before: the view before the edit.
        wanted: labels of the edited view, as the semantic head numbers them.
    """

    def __init__(
        self, siren: FilmSiren, preset: CameraPreset, head: SemanticHead, directions: CodeDirections, camera: Camera,
        before: View, wanted: UInt8[np.ndarray, "size size"], region: EditRegion,
        settings: RefineSettings = RefineSettings(),
    ) -> None:
        self.moves, self.settings = directions, settings
        self.view = SoftView(siren, preset, head, camera, before.depth, settings)
        device = self.view.rays.device
        self.rgb = (before.rgb.flatten(1).t().to(device) + 1) / 2
        self.wanted = torch.from_numpy(wanted.astype(np.int64)).flatten().to(device)
        self.pixels = [torch.from_numpy(np.flatnonzero(part)) for part in region]

    def run(self, codes: Codes, steps: int, on_step: Callable[[int], None] | None = None) -> Codes:
        """From the codes of a batch of one, `steps` steps; `on_step` is told before each how many are done."""
        return descend(codes, self.moves, self._loss, self.view, steps, on_step)

    def _loss(self, codes: Codes, softness: float, generator: torch.Generator) -> Tensor:
        ours = self.settings
        chosen = [pixels[torch.randint(max(len(pixels), 1), (count if len(pixels) else 0,), generator=generator)]
                  for pixels, count in zip(self.pixels, (ours.inside, ours.margin, ours.outside), strict=True)]
        counts, rays = [len(part) for part in chosen], torch.cat(chosen).to(self.wanted.device)
        seen = self.view.render(codes, rays, softness, generator)
        likely = seen.probabilities.gather(1, self.wanted[rays, None])[:, 0].clamp_min(LEAST_PROBABILITY)
        inside, margin, outside = (part.sum() / max(len(part), 1) for part in (-likely.log()).split(counts))
        moved = (seen.rgb - self.rgb[rays])[len(rays) - counts[-1]:].abs().sum() / (3 * max(counts[-1], 1))
        return (inside + ours.margin_weight * margin + ours.outside_weight * outside
                + ours.colour_weight * (moved - ours.tolerated).clamp_min(0))
