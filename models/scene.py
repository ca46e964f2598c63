"""One mask's decoded NeRF. Made once per mask; each view is then cheap.

    scene = net.scene(mask)
    view = scene.render(Camera(yaw=1.3), size=256, samples=24, labels=True)
    view.rgb, view.depth, view.opacity, view.labels
"""

import copy
import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from configs.data_configs import CameraPreset
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.blocks import Field, appearance_of, density_of, pixels_of, points_at_a_time, workers
from models.pigan.fast.bricks import BrickMap
from models.pigan.fast.density_grid import WIDEST_FOV_DEG, DensityGrid
from models.pigan.fast.exact import Pixels, render_block
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import inference_field
from models.pigan.fast.grid_at_once import render_with_grid_at_once
from models.pigan.fast.grid_sampling import Budget, render_block_with_grid
from models.pigan.fast.labelled import LabelledField
from models.pigan.sampling import RayNoise
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import FilmSiren
from models.view import View
from utils.errors import UserError

if TYPE_CHECKING:
    from models.meshing.extract import Mesh

# A grid that stands in for more samples per ray and pass (S) is finer, and its rays take more colours.
GRID_TOLERANCE = 30.0  # `DensityGrid.tolerance` is this / S^1.5
FINE_GRID_SAMPLES = 48  # from this S on a coarse cell of the grid is divided into 6 along each side, else into 4
GRID_DEPTH_PER_SAMPLE = 0.085  # `Budget.depth_per_sample`, world units, is this / S
GRID_MAX_SAMPLES = 2.0  # `Budget.max_samples` is this * sqrt(S)
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


class Scene:
    """A NeRF with folded codes. World units: the camera is at distance 1 from the origin, around which the head is.

    Any number of threads may render one scene. With a grid, an image depends to a small degree on which views the
    scene was prepared for or rendered from before, unless `prepare` has been called with all of them.

    Args:
        siren: the decoder's field; it is read once and not kept.
        codes: FiLM codes of one scene.
        camera_preset: camera and compositing constants the field was trained with.
        max_block: most points that are evaluated at a time (bounds the memory); None: what suits the device.
        precision: of the hidden layers' products on a GPU, a key of `models.pigan.fast.fused.PRECISIONS`.
        semantic_head: of this decoder, for views with labels.

    Raises:
        ValueError: codes of more than one scene, or an unknown precision.
    """

    def __init__(self, siren: FilmSiren, codes: Codes, camera_preset: CameraPreset, max_block: int | None = None,
                 precision: str = "fp32", semantic_head: SemanticHead | None = None) -> None:
        self.field = inference_field(siren, codes, precision)
        self.semantic_head, self._labelled = semantic_head, None
        if semantic_head is not None:
            folded = self.field if isinstance(self.field, FoldedField) else FoldedField(siren, codes)
            self._labelled = LabelledField(folded, semantic_head)
        self.codes = codes
        self.preset = camera_preset
        self.max_block = max_block
        self.grids: dict[int, DensityGrid] = {}  # by the number of samples per ray and pass that they stand in for
        self._reliable: dict[int, bool] = {}
        self._lock = threading.RLock()

    @torch.no_grad()
    def render(self, camera: Camera | None = None, size: int = 256, samples: int = 24, *, sampler: str = "exact",
               labels: bool = False, noise: RayNoise | None = None, generator: torch.Generator | None = None,
               on_rays: Callable[[int], None] | None = None) -> View:
        """Render one view.

        Args:
            camera: default: frontal, with the model's field of view.
            size: pixels along each side.
            samples: points per ray in the first pass; as many are added where the weights are.
            sampler: 'exact' evaluates the field at all of these; 'grid' places fewer by a density grid, which is made
                with the first view, grows with others, and is the finer the more `samples` it stands in for; 'auto' is
                'grid' if the view is large and a few rays of the frontal view come out as well as with 'exact', and
                'exact' otherwise.
            labels: also the probability of each label at every pixel.
            noise: explicit random numbers, (size * size, samples) each; rays in row-major order.
            generator: draws the noise instead (CPU generator); without either, samples are placed deterministically.
            on_rays: called with the number of rays finished since its last call (for progress bars).

        Raises:
            ValueError: size < 1, samples < 3, an unknown sampler, or a grid with random numbers or a clamp other than
                relu.
            UserError: labels of a scene without a semantic head.
        """
        if size < 1 or samples < MIN_SAMPLES:
            raise ValueError(f"size must be at least 1 and samples at least {MIN_SAMPLES}, got {size} and {samples}")
        random = noise is not None or generator is not None
        if sampler == "grid" and random:
            raise ValueError("a grid places samples without random numbers; use sampler='exact'")
        camera = camera or Camera()
        origin, directions = camera_rays(camera, size, self.preset.fov_deg, self.field.device)
        field = self.labelled_field if labels else self.field
        if self._takes_grid(size, samples, "exact" if random and sampler == "auto" else sampler):
            pixels, evaluations = self._render_with_grid(field, camera, directions, samples, on_rays)
        else:
            if generator is not None:
                shape = (size * size, samples)
                noise = RayNoise(torch.rand(shape, generator=generator), torch.rand(shape, generator=generator))
            pixels = self._render_exactly(field, origin, directions, samples, noise, on_rays)
            evaluations = 2 * samples * size**2
        return View.of(pixels, size, evaluations)

    @torch.no_grad()
    def render_rays(self, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"], samples: int, *,
                    labels: bool = False) -> Pixels:
        """Render any rays from one camera position, block by block; results are on the CPU. With `labels`, `channels`
        are those of `LabelledField.colour`."""
        device, field = self.field.device, self.labelled_field if labels else self.field
        pixels = self._render_exactly(field, origin.to(device), directions.to(device), samples)
        return Pixels(*(value.cpu() for value in pixels))

    def _render_exactly(self, field: Field, origin: Float[Tensor, "3"], directions: Float[Tensor, "rays 3"],
                        samples: int, noise: RayNoise | None = None, on_rays: Callable[[int], None] | None = None
                       ) -> Pixels:
        noise, preset = noise or RayNoise(), self.preset
        rays = min(max(points_at_a_time(field, self.max_block) // samples, 1), len(directions))

        def render(part: slice) -> Pixels:
            own = RayNoise(*(None if value is None else value[part] for value in noise)).to(field.device)
            return render_block(field, origin, directions[part], samples=samples, near=preset.ray_start,
                                far=preset.ray_end, last_back=preset.eval_last_back, clamp=preset.clamp_mode, noise=own)

        return pixels_of(render, len(directions), rays, workers(field), on_rays)

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
        other._labelled = None if self._labelled is None else self._labelled.to(device)
        return other

    @torch.no_grad()
    def grid_is_reliable(self, samples: int) -> bool:
        """Whether the grid for `samples` per ray and pass is as good as they are, by the frontal view."""
        with self._lock:
            if samples not in self._reliable:
                camera = Camera()
                origin, directions = camera_rays(camera, PROBE_SIZE, self.preset.fov_deg, self.field.device)
                directions = directions.reshape(PROBE_SIZE, PROBE_SIZE, 3)[::PROBE_STRIDE, ::PROBE_STRIDE].flatten(0, 1)
                enough = max(CONVERGED_FACTOR * samples, MIN_CONVERGED_SAMPLES)
                converged = self.render_rays(origin, directions, enough).rgb
                own = (self.render_rays(origin, directions, samples).rgb - converged).square().mean()
                difference = self._render_with_grid(self.field, camera, directions, samples)[0].rgb.cpu() - converged
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
                density = functools.partial(density_of, self.field, most=self.max_block)
                grid = self.grids[samples] = DensityGrid(
                    density, preset.ray_start, preset.ray_end, GRID_TOLERANCE / samples**1.5,
                    6 if samples >= FINE_GRID_SAMPLES else 4, max(fov_deg, WIDEST_FOV_DEG), self.field.device)
            grid.cover(cameras, preset.fov_deg)
            return grid.bricks_on(self.field.device)

    def _render_with_grid(self, field: Field, camera: Camera, directions: Float[Tensor, "rays 3"], samples: int,
                          on_rays: Callable[[int], None] | None = None) -> tuple[Pixels, int]:
        """Pixels and the number of field evaluations, without those of the grid."""
        bricks, on_cpu = self._bricks([camera], samples), field.device.type == "cpu"
        budget = Budget(GRID_DEPTH_PER_SAMPLE / samples, round(GRID_MAX_SAMPLES * math.sqrt(samples)))
        origin = camera_rays(camera, 1, self.preset.fov_deg, field.device)[0]
        starts, ends = bricks.segments(camera, self.preset.fov_deg, directions)
        rays, render = (GRID_RAYS, render_block_with_grid) if on_cpu else (GRID_RAYS_GPU, render_with_grid_at_once)
        at_once, evaluations = points_at_a_time(field, self.max_block), []

        def block(part: slice) -> Pixels:
            pixels, count = render(field, bricks, origin, directions[part], starts[part], ends[part], budget=budget,
                                   block=at_once, last_back=self.preset.eval_last_back)
            evaluations.append(count)
            return pixels

        return pixels_of(block, len(directions), rays, workers(field), on_rays), sum(evaluations)

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density (before its clamp to positive values) at world positions; the result is on the CPU."""
        return density_of(self.field, points.to(self.field.device), self.max_block).cpu()

    @property
    def labelled_field(self) -> LabelledField:
        """The field with its semantic head.

        Raises:
            UserError: the scene has none.
        """
        if self._labelled is None:
            raise UserError("these weights have no semantic head, which labels are read with; give one with "
                            "`semantic_head`, or train it with train_semantics.py")
        return self._labelled

    def appearance(self, points: Float[Tensor, "points 3"]) -> tuple[Tensor, Tensor | None]:
        """Colours (points, 3) in (0, 1) and, with a semantic head, label logits (points, labels); on the CPU."""
        rgb, logits = appearance_of(self._labelled or self.field, points.to(self.field.device), self.max_block)
        return rgb.cpu(), None if logits is None else logits.cpu()

    def mesh(self, resolution: int = 160, level: float | None = None) -> "Mesh":
        """A closed triangle mesh with colours and labels: `models.meshing.extract.mesh_of`."""
        from models.meshing.extract import mesh_of  # pictures need none of it

        return mesh_of(self, resolution, level)

    @property
    def block(self) -> int:
        """Points evaluated at a time."""
        return points_at_a_time(self.field, self.max_block)
