"""An edit made true by optimisation: codes whose view shows the edited labels, while everything else stays.

Each step renders a few hundred rays of the edited view through a softened surface (`models.pigan.fast.soft_rays`) and
moves the codes along the directions in which the mapping network's codes vary. Losses: the negative log-likelihood of
the wanted labels in the region, in the margin around it (without which a part grows over its outline), and outside,
where colours are held as well; and the length of the step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from configs.data_configs import CameraPreset
from editing.directions import CodeDirections
from editing.region import EditRegion
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.fold import field_weights
from models.pigan.fast.soft_rays import SoftPixels, render_soft_rays
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import FilmSiren
from models.view import View

LEAST_PROBABILITY = 1e-4  # a label less likely than this is not more wrong
# The softness of the surface falls from the first to the second, times the size of the density in empty space: at the
# first, a part can grow out of nothing; at the second, the surface is nearly the true one.
SOFTNESS = (0.22, 0.017)


@dataclass(frozen=True)
class RefineSettings:
    """How many rays and samples a step has, and what its losses weigh."""

    inside: int = 256      # rays per step in the edited region ...
    margin: int = 192      # ... in its margin ...
    outside: int = 320     # ... and elsewhere
    even: int = 12         # samples per ray between near and far ...
    around: int = 10       # ... and around the surface before the edit
    thickness: float = 0.02  # world units, of the layer in which the latter lie
    rate: float = 0.06     # of Adam, in standard deviations of the codes
    warm_up: int = 5       # steps in which the rate rises
    outside_weight: float = 2.0   # of the labels outside, relative to those in the region
    colour_weight: float = 10.0   # of the mean change of colours in [0, 1] outside
    step_weight: float = 0.48     # of the mean square of the step, in standard deviations
    seed: int = 0


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
        self.siren, self.preset, self.head, self.moves, self.settings = siren, preset, head, directions, settings
        device = siren.final_layer.weight.device
        self.weights = field_weights(siren).frozen()
        self.origin, self.rays = camera_rays(camera, len(wanted), preset.fov_deg, device)
        self.depth, self.rgb = before.depth.flatten().to(device), (before.rgb.flatten(1).t().to(device) + 1) / 2
        self.wanted = torch.from_numpy(wanted.astype(np.int64)).flatten().to(device)
        self.pixels = [torch.from_numpy(np.flatnonzero(part)) for part in region]

    def run(self, codes: Codes, steps: int, on_step: Callable[[int], None] | None = None) -> Codes:
        """From the codes of a batch of one, `steps` steps of Adam; `on_step` is told before each how many are done."""
        ours, device = self.settings, self.wanted.device
        generator = torch.Generator().manual_seed(ours.seed)
        amounts = torch.zeros(1, len(self.moves.frequencies), device=device, requires_grad=True)
        optimizer = torch.optim.Adam([amounts], ours.rate, betas=(0.9, 0.95))
        empty, least = self._empty_density(codes), 1.0 if self.preset.clamp_mode == "softplus" else 0.0
        for step in range(steps):
            if on_step is not None:
                on_step(step)
            done = step / steps
            optimizer.param_groups[0]["lr"] = ours.rate * min(1, (step + 1) / ours.warm_up) * (1 - 0.8 * done)
            softness = max(empty * (SOFTNESS[0] * (1 - done) + SOFTNESS[1] * done), least)
            with torch.enable_grad():
                loss = self._loss(codes + self.moves.step(amounts), softness, generator)
                loss = loss + ours.step_weight * amounts.square().mean()
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
        return codes + self.moves.step(amounts.detach())

    def _loss(self, codes: Codes, softness: float, generator: torch.Generator) -> Tensor:
        ours = self.settings
        chosen = [pixels[torch.randint(max(len(pixels), 1), (count if len(pixels) else 0,), generator=generator)]
                  for pixels, count in zip(self.pixels, (ours.inside, ours.margin, ours.outside), strict=True)]
        counts, rays = [len(part) for part in chosen], torch.cat(chosen).to(self.wanted.device)
        seen = self._render(codes, rays, softness, generator)
        likely = seen.probabilities.gather(1, self.wanted[rays, None])[:, 0].clamp_min(LEAST_PROBABILITY)
        inside, margin, outside = (part.sum() / max(len(part), 1) for part in (-likely.log()).split(counts))
        moved = (seen.rgb - self.rgb[rays])[len(rays) - counts[-1]:].abs().sum() / (3 * max(counts[-1], 1))
        return inside + margin + ours.outside_weight * outside + ours.colour_weight * moved

    def _render(self, codes: Codes, rays: Int[Tensor, " rays"], softness: float, generator: torch.Generator
                ) -> SoftPixels:
        ours, near, far = self.settings, self.preset.ray_start, self.preset.ray_end
        even, around = (torch.rand(len(rays), count, generator=generator).to(rays.device)
                        for count in (ours.even, ours.around))
        strata = near + (far - near) * (torch.arange(ours.even, device=rays.device) + even) / ours.even
        layer = self.depth[rays, None] + ours.thickness * (around - 0.4)  # a little more of it behind the surface
        depths = torch.cat([strata, layer, torch.full_like(strata[:, :1], far)], 1).clamp(near, far).sort(1).values
        frequency, phase = self.siren.modulation(codes)
        return render_soft_rays(self.weights, self.head, (frequency[0], phase[0]), self.origin, self.rays[rays],
                                depths, softness, self.preset.eval_last_back)

    @torch.no_grad()
    def _empty_density(self, codes: Codes) -> float:
        """How far below zero the density of empty space is: the median of what is negative on some of the rays."""
        ours, near, far = self.settings, self.preset.ray_start, self.preset.ray_end
        rays = self.rays[:: max(len(self.rays) // ours.inside, 1)]
        depths = torch.linspace(near, far, ours.even, device=rays.device)
        density = self.siren((self.origin + rays[:, None] * depths[:, None]).reshape(1, -1, 3), codes)[1]
        empty = -density[density < 0]
        return (empty if len(empty) else density.abs()).median().item()
