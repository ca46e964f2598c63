"""One mask's decoded NeRF. Made once per mask; each view is then cheap.

    scene = net.scene(mask)
    view = scene.render(Camera(yaw=1.3), size=256, samples=24)
    view.rgb, view.depth, view.opacity
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.curriculums import Curriculum
from models.pigan.folded import FoldedField
from models.pigan.generator import Pixels, RayNoise, Workspace, render_block
from models.pigan.siren import FilmSiren
from utils.blocks import map_blocks

# Points per block. On a CPU a block's features should stay in the second-level cache; a GPU wants many at once.
CPU_BLOCK, GPU_BLOCK = 4096, 262_144
MIN_SAMPLES = 3  # importance sampling needs at least one bin between midpoints


@dataclass(frozen=True)
class View:
    """One rendered picture, on the CPU."""

    rgb: Float[Tensor, "3 height width"]  # in [-1, 1]
    depth: Float[Tensor, "height width"]  # expected distance along the ray, world units
    opacity: Float[Tensor, "height width"]  # accumulated weight in [0, 1], before the background takes the rest


class Scene:
    """A NeRF with folded codes.

    Args:
        siren: the decoder's field; it is read once and not kept.
        codes: codes of one scene.
        curriculum: camera and compositing constants the field was trained with.
        max_block: upper bound for the number of points evaluated at a time (bounds the memory).
    """

    def __init__(self, siren: FilmSiren, codes: Codes, curriculum: Curriculum, max_block: int | None = None) -> None:
        self.field = FoldedField(siren, codes)
        self.codes = codes
        self.curriculum = curriculum
        block = CPU_BLOCK if self.field.device.type == "cpu" else GPU_BLOCK
        self.block = min(block, max_block) if max_block else block

    @torch.no_grad()
    def render(
        self,
        camera: Camera | None = None,
        size: int = 256,
        samples: int = 24,
        *,
        noise: RayNoise | None = None,
        generator: torch.Generator | None = None,
        on_rays: Callable[[int], None] | None = None,
    ) -> View:
        """Render one view.

        Args:
            camera: default: frontal, with the model's field of view.
            size: pixels along each side.
            samples: points a ray in the first pass; as many are added where the weights are.
            noise: explicit random numbers, (size * size, samples) each; rays in row-major order.
            generator: draws the noise instead (CPU generator); without either, samples are placed deterministically.
            on_rays: called with the number of rays finished since its last call (for progress bars).

        Raises:
            ValueError: size < 1 or samples < 3.
        """
        if size < 1 or samples < MIN_SAMPLES:
            raise ValueError(f"size must be at least 1 and samples at least {MIN_SAMPLES}, got {size} and {samples}")
        origin, directions = camera_rays(camera or Camera(), size, self.curriculum.fov_deg)
        if generator is not None:
            shape = (size * size, samples)
            noise = RayNoise(torch.rand(shape, generator=generator), torch.rand(shape, generator=generator))
        pixels = self.render_rays(origin, directions, samples, noise=noise, on_rays=on_rays)
        return View(
            rgb=(pixels.rgb * 2 - 1).t().reshape(3, size, size).contiguous(),
            depth=pixels.depth.reshape(size, size),
            opacity=pixels.opacity.reshape(size, size),
        )

    @torch.no_grad()
    def render_rays(
        self,
        origin: Float[Tensor, "3"],
        directions: Float[Tensor, "rays 3"],
        samples: int,
        *,
        noise: RayNoise | None = None,
        on_rays: Callable[[int], None] | None = None,
    ) -> Pixels:
        """Render any rays from one camera position, block by block; results are on the CPU."""
        noise = noise or RayNoise()
        device = self.field.device
        rays = min(max(self.block // samples, 1), len(directions))
        origin = origin.to(device)

        def block(start: int, workspace: Workspace) -> Pixels:
            part = slice(start, start + rays)
            return render_block(
                self.field, origin, directions[part].to(device), workspace,
                near=self.curriculum.ray_start, far=self.curriculum.ray_end,
                last_back=self.curriculum.eval_last_back, clamp=self.curriculum.clamp_mode,
                noise=RayNoise(*(None if value is None else value[part].to(device) for value in noise)),
            )

        blocks = []
        workers = torch.get_num_threads() if device.type == "cpu" else 1
        for pixels in map_blocks(block, range(0, len(directions), rays), workers,
                                 lambda: Workspace(self.field, rays, samples)):
            blocks.append(pixels)
            if on_rays is not None:
                on_rays(len(pixels.depth))
        return Pixels(*(torch.cat(values).cpu() for values in zip(*blocks, strict=True)))

    @torch.no_grad()
    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density (before its clamp to positive values) at world positions; the result is on the CPU."""
        blocks = []
        for part in points.split(self.block):
            part = part.to(self.field.device)
            out = torch.empty(len(part), self.field.width, device=part.device)
            blocks.append(self.field.density(self.field.features(part, out, torch.empty_like(out))).cpu())
        return torch.cat(blocks) if blocks else points.new_zeros(0)
