"""Codes moved until a view of their scene looks as it should: what edits and fits to photographs have in common.

    view = SoftView(siren, preset, head, camera, size=64, depth=before.depth)
    codes = descend(codes, directions, lambda codes, softness, generator: ..., view, steps=20)

Rays of the view are rendered through a softened surface (`models.pigan.fast.soft_rays`), so that a part can grow out of
nothing; the codes move along the directions in which the mapping network's codes vary, by Adam, since every step looks
at other rays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from configs.data_configs import CameraPreset
from editing.directions import CodeDirections
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.fold import field_weights
from models.pigan.fast.soft_rays import SoftPixels, render_soft_rays
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import FilmSiren

# codes, softness of the surface, random numbers -> what shall become small, without the length of the step
StepLoss = Callable[[Codes, float, torch.Generator], Tensor]


@dataclass(frozen=True)
class DescentSettings:
    """How samples lie on a ray, and how far and how fast the codes move."""

    even: int = 12         # samples per ray between near and far ...
    around: int = 10       # ... and around the surface that was there before
    thickness: float = 0.02  # world units, of the layer in which the latter lie
    rate: float = 0.06     # of Adam, in standard deviations of the codes
    warm_up: int = 5       # steps in which the rate rises
    step_weight: float = 0.48     # of the mean square of the step, in standard deviations
    # The softness of the surface falls from the first to the second, times the size of the density in empty space: at
    # the first, a part can grow out of nothing; at the second, the surface is nearly the true one.
    softness: tuple[float, float] = (0.22, 0.017)
    probed: int = 256      # rays on which the density of empty space is looked at
    seed: int = 0


class SoftView:
    """The rays of one view of a scene whose codes change.

    Args:
        head: of the labels of pixels; None: only colours are asked for.
        depth: of the surface before, one for each pixel.
    """

    def __init__(self, siren: FilmSiren, preset: CameraPreset, head: SemanticHead | None, camera: Camera,
                 depth: Float[Tensor, "size size"], settings: DescentSettings) -> None:
        self.siren, self.preset, self.head, self.settings = siren, preset, head, settings
        device = siren.final_layer.weight.device
        self.weights = field_weights(siren).frozen()
        self.origin, self.rays = camera_rays(camera, len(depth), preset.fov_deg, device)
        self.depth = depth.flatten().to(device)

    def render(self, codes: Codes, rays: Int[Tensor, " rays"], softness: float, generator: torch.Generator
               ) -> SoftPixels:
        """Some of its pixels, at samples that are drawn anew; differentiable in the codes."""
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
    def empty_density(self, codes: Codes) -> float:
        """How far below zero the density of empty space is: the median of what is negative on some of the rays."""
        ours, near, far = self.settings, self.preset.ray_start, self.preset.ray_end
        rays = self.rays[:: max(len(self.rays) // ours.probed, 1)]
        depths = torch.linspace(near, far, ours.even, device=rays.device)
        density = self.siren((self.origin + rays[:, None] * depths[:, None]).reshape(1, -1, 3), codes)[1]
        empty = -density[density < 0]
        return (empty if len(empty) else density.abs()).median().item()


def descend(codes: Codes, directions: CodeDirections, loss: StepLoss, view: SoftView, steps: int,
            on_step: Callable[[int], None] | None = None) -> Codes:
    """From the codes of a batch of one, `steps` steps of Adam; `on_step` is told before each how many are done."""
    ours, device = view.settings, view.rays.device
    generator = torch.Generator().manual_seed(ours.seed)
    amounts = torch.zeros(1, len(directions.frequencies), device=device, requires_grad=True)
    optimizer = torch.optim.Adam([amounts], ours.rate, betas=(0.9, 0.95))
    empty, least = view.empty_density(codes), 1.0 if view.preset.clamp_mode == "softplus" else 0.0
    for step in range(steps):
        if on_step is not None:
            on_step(step)
        done = step / steps
        optimizer.param_groups[0]["lr"] = ours.rate * min(1, (step + 1) / ours.warm_up) * (1 - 0.8 * done)
        softness = max(empty * (ours.softness[0] * (1 - done) + ours.softness[1] * done), least)
        with torch.enable_grad():
            value = loss(codes + directions.step(amounts), softness, generator)
            value = value + ours.step_weight * amounts.square().mean()
            optimizer.zero_grad()
            value.backward()
        optimizer.step()
    return codes + directions.step(amounts.detach())
