"""One mask's decoded NeRF. Made once per mask; each view is then cheap.

    scene = net.scene(mask)
    view = scene.render(Camera(yaw=1.3), size=256, samples=24)
    view.rgb, view.depth, view.opacity
"""

import copy
import functools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from configs.data_configs import CameraPreset
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.bricks import BrickMap
from models.pigan.fast.density_grid import WIDEST_FOV_DEG, DensityGrid
from models.pigan.fast.exact import Pixels, render_block
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import FusedField, inference_field
from models.pigan.fast.grid_at_once import render_with_grid_at_once
from models.pigan.fast.grid_sampling import Budget, render_block_with_grid
from models.pigan.fast.kernels import block_size
from models.pigan.sampling import RayNoise
from models.pigan.siren import FilmSiren
from utils.parallel import thread_map

# A grid that stands in for more samples per ray and pass (S) is finer, and its rays take more colours.
GRID_TOLERANCE = 30.0  # `DensityGrid.tolerance` is this / S^1.5
FINE_GRID_SAMPLES = 48  # from this S on a coarse cell of the grid is divided into 6 along each side, else into 4
GRID_DEPTH_PER_SAMPLE = 0.085  # `Budget.depth_per_sample`, world units, is this / S
GRID_MAX_SAMPLES = 2.0  # `Budget.max_samples` is this * sqrt(S)
FUSED_BLOCK = 2**24  # points evaluated at a time by the fused kernel, which keeps nothing of them but the results
GRID_RAYS, GRID_RAYS_GPU = 1 << 10, 1 << 18  # rays per block when samples are placed by a grid
SAMPLERS = ("exact", "grid", "auto")
# `auto` takes the grid if a view has enough evaluations for a grid to pay, and if every fourth pixel of a
# small frontal view agrees well with a converged exact render, and hardly less than exact samples do.
MIN_GRID_EVALUATIONS = 400_000
PROBE_SIZE, PROBE_STRIDE = 64, 4
CONVERGED_FACTOR, MIN_CONVERGED_SAMPLES = 3, 96  # the converged render has this * S samples, or the latter if more
PROBE_PSNR, PROBE_MEAN = 40.0, 0.5 / 255  # least PSNR (dB) and greatest mean error of colours in [0, 1]
PROBE_RATIO = 2.0  # greatest squared error, relative to that of the exact samples
MIN_SAMPLES = 3  # importance sampling needs at least one bin between midpoints


@dataclass(frozen=True)
class View:
    """One rendered image, on the CPU. Rows run from top to bottom."""

    rgb: Float[Tensor, "3 height width"]  # in [-1, 1]
    depth: Float[Tensor, "height width"]  # expected distance from the camera along the pixel's unit ray, world units
    opacity: Float[Tensor, "height width"]  # accumulated weight in [0, 1], before the background takes the rest
    evaluations: float  # of the field, per ray; those that made the grid are in `DensityGrid.evaluations`


class Scene:
    """A NeRF with folded codes. World units: the camera is at distance 1 from the origin, around which the head is.

    Any number of threads may render one scene. With a grid, an image depends to a small degree on which views the
    scene was prepared for or rendered from before, unless `prepare` has been called with all of them.

    Args:
        siren: the decoder's field; it is read once and not kept.
        codes: FiLM codes of one scene.
        camera_preset: camera and compositing constants the field was trained with.
        max_block: upper bound for the number of points evaluated at a time (bounds the memory); None: what suits the
            device.
        precision: of the hidden layers' products on a GPU, a key of `models.pigan.fast.fused.PRECISIONS`.

    Raises:
        ValueError: codes of more than one scene, or an unknown precision.
    """

    def __init__(self, siren: FilmSiren, codes: Codes, camera_preset: CameraPreset, max_block: int | None = None,
                 precision: str = "fp32") -> None:
        self.field = inference_field(siren, codes, precision)
        self.codes = codes
        self.preset = camera_preset
        self.max_block = max_block
        self.grids: dict[int, DensityGrid] = {}  # by the number of samples per ray and pass that they stand in for
        self._reliable: dict[int, bool] = {}
        self._lock = threading.RLock()

    @torch.no_grad()
    def render(
        self,
        camera: Camera | None = None,
        size: int = 256,
        samples: int = 24,
        *,
        sampler: str = "exact",
        noise: RayNoise | None = None,
        generator: torch.Generator | None = None,
        on_rays: Callable[[int], None] | None = None,
    ) -> View:
        """Render one view.

        Args:
            camera: default: frontal, with the model's field of view.
            size: pixels along each side.
            samples: points per ray in the first pass; as many are added where the weights are.
            sampler: 'exact' evaluates the field at all of these; 'grid' places fewer by a density grid, which is made
                with the first view, grows with others, and is the finer the more `samples` it stands in for; 'auto' is
                'grid' if the view is large and a few rays of the frontal view come out as well as with 'exact', and
                'exact' otherwise.
            noise: explicit random numbers, (size * size, samples) each; rays in row-major order.
            generator: draws the noise instead (CPU generator); without either, samples are placed deterministically.
            on_rays: called with the number of rays finished since its last call (for progress bars).

        Raises:
            ValueError: size < 1, samples < 3, an unknown sampler, or a grid with random numbers or a clamp other than
                relu.
        """
        if size < 1 or samples < MIN_SAMPLES:
            raise ValueError(f"size must be at least 1 and samples at least {MIN_SAMPLES}, got {size} and {samples}")
        random = noise is not None or generator is not None
        if sampler == "grid" and random:
            raise ValueError("a grid places samples without random numbers; use sampler='exact'")
        camera = camera or Camera()
        origin, directions = camera_rays(camera, size, self.preset.fov_deg, self.field.device)
        by_grid = self._takes_grid(size, samples, "exact" if random and sampler == "auto" else sampler)
        if by_grid:
            pixels, evaluations = self._render_with_grid(camera, directions, samples, on_rays)
        else:
            if generator is not None:
                shape = (size * size, samples)
                noise = RayNoise(torch.rand(shape, generator=generator), torch.rand(shape, generator=generator))
            pixels = self._render_exactly(origin, directions, samples, noise, on_rays)
            evaluations = 2 * samples * size**2
        finished = torch.cat([(pixels.rgb * 2 - 1).t(), pixels.depth[None], pixels.opacity[None]])
        finished = finished.cpu().reshape(5, size, size)
        return View(finished[:3], finished[3], finished[4], evaluations / size**2)

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
        device = self.field.device
        pixels = self._render_exactly(origin.to(device), directions.to(device), samples, noise, on_rays)
        return Pixels(*(value.cpu() for value in pixels))

    def _render_exactly(
        self,
        origin: Float[Tensor, "3"],
        directions: Float[Tensor, "rays 3"],
        samples: int,
        noise: RayNoise | None,
        on_rays: Callable[[int], None] | None,
    ) -> Pixels:
        noise = noise or RayNoise()
        rays = min(max(self.block // samples, 1), len(directions))

        def block(start: int) -> Pixels:
            part = slice(start, start + rays)
            return render_block(
                self.field, origin, directions[part], samples=samples,
                near=self.preset.ray_start, far=self.preset.ray_end,
                last_back=self.preset.eval_last_back, clamp=self.preset.clamp_mode,
                noise=RayNoise(*(None if value is None else value[part] for value in noise)).to(self.field.device),
            )

        blocks = []
        for pixels in thread_map(block, range(0, len(directions), rays), self._workers):
            blocks.append(pixels)
            if on_rays is not None:
                on_rays(len(pixels.depth))
        return Pixels(*(torch.cat(values) for values in zip(*blocks, strict=True)))

    @torch.no_grad()
    def prepare(self, cameras: Sequence[Camera], size: int, samples: int, sampler: str = "grid") -> None:
        """Make the grid for all these cameras, if `render` will use one; then no view depends on those before it."""
        if self._takes_grid(size, samples, sampler):
            self._bricks(cameras, samples)

    def sampler_for(self, size: int, samples: int, sampler: str) -> str:
        """'exact' or 'grid': what a view of this scene is rendered with where `sampler` is asked for."""
        return "grid" if self._takes_grid(size, samples, sampler) else "exact"

    def on(self, device: torch.device) -> "Scene":
        """The same scene with its field on another device; both share their grids."""
        other = copy.copy(self)
        other.field = self.field.to(device)
        return other

    @torch.no_grad()
    def grid_is_reliable(self, samples: int) -> bool:
        """Whether the grid for `samples` per ray and pass is as good as they are, by the frontal view."""
        with self._lock:
            if samples not in self._reliable:
                camera = Camera()
                origin, directions = camera_rays(camera, PROBE_SIZE, self.preset.fov_deg, self.field.device)
                directions = directions.reshape(PROBE_SIZE, PROBE_SIZE, 3)[::PROBE_STRIDE, ::PROBE_STRIDE].flatten(0, 1)
                converged = self.render_rays(origin, directions, max(CONVERGED_FACTOR * samples,
                                                                     MIN_CONVERGED_SAMPLES)).rgb
                own = (self.render_rays(origin, directions, samples).rgb - converged).square().mean()
                difference = self._render_with_grid(camera, directions, samples)[0].rgb.cpu() - converged
                error = difference.square().mean()
                self._reliable[samples] = bool(error <= min(PROBE_RATIO * own, 10 ** (-PROBE_PSNR / 10))
                                               and difference.abs().mean() <= PROBE_MEAN)
            return self._reliable[samples]

    def _takes_grid(self, size: int, samples: int, sampler: str) -> bool:
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
        possible = self.preset.clamp_mode == "relu"
        if sampler == "grid" and not possible:
            raise ValueError("a grid needs a field clamped by relu; use sampler='exact'")
        worth_it = 2 * samples * size**2 >= MIN_GRID_EVALUATIONS
        return sampler == "grid" or (sampler == "auto" and possible and worth_it and self.grid_is_reliable(samples))

    def _bricks(self, cameras: Sequence[Camera], samples: int) -> BrickMap:
        """Density as the grid for `samples` per ray and pass has it once it is filled in for these cameras."""
        preset = self.preset
        fov_deg = max(camera.field_of_view(preset.fov_deg) for camera in cameras)
        with self._lock:
            grid = self.grids.get(samples)
            if grid is None or fov_deg > grid.fov_deg:
                # the scene itself, in a cycle, would keep the memory of both until Python looks for cycles
                density = functools.partial(density_of, self.field, block=self.block)
                grid = self.grids[samples] = DensityGrid(
                    density, preset.ray_start, preset.ray_end, GRID_TOLERANCE / samples**1.5,
                    6 if samples >= FINE_GRID_SAMPLES else 4,
                    max(fov_deg, WIDEST_FOV_DEG), self.field.device)
            grid.cover(cameras, preset.fov_deg)
            return grid.bricks_on(self.field.device)

    def _render_with_grid(
        self,
        camera: Camera,
        directions: Float[Tensor, "rays 3"],
        samples: int,
        on_rays: Callable[[int], None] | None = None,
    ) -> tuple[Pixels, int]:
        """Pixels and the number of field evaluations, without those of the grid."""
        bricks, on_cpu = self._bricks([camera], samples), self.field.device.type == "cpu"
        budget = Budget(GRID_DEPTH_PER_SAMPLE / samples, round(GRID_MAX_SAMPLES * math.sqrt(samples)))
        origin = camera_rays(camera, 1, self.preset.fov_deg, self.field.device)[0]
        starts, ends = bricks.segments(camera, self.preset.fov_deg, directions)
        rays, render = (GRID_RAYS, render_block_with_grid) if on_cpu else (GRID_RAYS_GPU, render_with_grid_at_once)

        def block(start: int) -> tuple[Pixels, int]:
            part = slice(start, start + rays)
            return render(self.field, bricks, origin, directions[part], starts[part], ends[part],
                          budget=budget, block=self.block, last_back=self.preset.eval_last_back)

        blocks, evaluations = [], 0
        for pixels, count in thread_map(block, range(0, len(directions), rays), self._workers):
            blocks.append(pixels)
            evaluations += count
            if on_rays is not None:
                on_rays(len(pixels.depth))
        return Pixels(*(torch.cat(values) for values in zip(*blocks, strict=True))), evaluations

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density (before its clamp to positive values) at world positions; the result is on the CPU."""
        return density_of(self.field, points.to(self.field.device), self.block).cpu()

    @property
    def block(self) -> int:
        """Points evaluated at a time."""
        block = FUSED_BLOCK if isinstance(self.field, FusedField) else block_size(self.field.device, self.field.width)
        return min(block, self.max_block) if self.max_block else block

    @property
    def _workers(self) -> int:
        return _workers(self.field)


@torch.no_grad()
def density_of(
    field: FoldedField | FusedField, points: Float[Tensor, "points 3"], block: int
) -> Float[Tensor, " points"]:
    """Density (before its clamp to positive values) at world positions, `block` points at a time."""
    blocks = list(thread_map(field.density_at, points.split(block), _workers(field)))
    return torch.cat(blocks) if blocks else points.new_zeros(0)


def _workers(field: FoldedField | FusedField) -> int:
    return torch.get_num_threads() if field.device.type == "cpu" else 1
