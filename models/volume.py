"""A scene as a small volume of bytes, which any graphics processor can draw from any side without the network.

    for volume in bake(scene, sizes=(24, 72, 96)):      # coarse to fine, each complete in itself
        show(volume)

A volume of 72 texels along each side looks like the scene's own image to about 36 dB, one of 96 to about 40.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor
from torch.nn import functional as F

from models.pigan.cameras import FRONTAL, Camera, camera_rays
from models.pigan.fast.blocks import Field, points_at_a_time, workers
from models.pigan.fast.labelled import LabelledField
from models.scene import Scene
from models.viewing import Viewing
from utils.parallel import thread_map

SIZES = (24, 72, 96)
FIRST_BACKGROUND, BACKGROUND = 16, 32  # texels along each side of a first, coarse stage's, and of all others'
ZERO = 128  # the byte of density 0
ROOM_ABOVE = 1.05  # densities go up to this, in parts of the greatest of the first stage
MIN_SCALE = 1.0  # of a field without density
# A texel is refined where light of at least this share reaches its surroundings from anywhere, and where density may
# be positive: it may exceed that of the surroundings by a part of their range.
MIN_LIGHT, OVERSHOOT = 0.01, 0.25
YAWS, PITCHES, RAYS = 5, 3, 48  # cameras that look for what light reaches, and rays along each side of their images
BACKGROUND_YAWS, BACKGROUND_PITCHES, BACKGROUND_RAYS = 15, 11, 16  # the same for the ends of rays
STEPS_PER_TEXEL = 1.25
CPU_BLOCK = 4096  # points between two looks at `cancelled`: about 10 ms


class Cancelled(Exception):
    """Nobody wants the volume any more."""


@dataclass(frozen=True)
class Volume:
    """Bytes, indexed [z, y, x]; texel i of n has its centre at ((i + 0.5) / n * 2 - 1) * half along its axis.

    Density before its clamp to positive values is (rgba[..., 3] - 128) * density_scale / 127: 128 is exactly 0.
    """

    rgba: UInt8[np.ndarray, "size size size 4"]
    half: float                                        # of the cube's side, world units
    density_scale: float                               # density of byte 255
    background: UInt8[np.ndarray, "back back back 3"]  # colour of what is left of the light at a ray's far end
    background_half: float
    # the most probable label of each texel, of the scene's `semantic_head.space`; None: it has no semantic head
    labels: UInt8[np.ndarray, "size size size"] | None = None

    @property
    def size(self) -> int:
        """Texels along each side."""
        return len(self.rgba)


@torch.no_grad()
def bake(scene: Scene, sizes: Sequence[int] = SIZES, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Volume]:
    """Volumes of a scene, coarse to fine, made on the device of its field as they are asked for.

    The first is evaluated everywhere. Finer ones are evaluated where light reaches, and interpolated elsewhere.

    Args:
        sizes: texels along each side; all others are multiples of the first.
        cancelled: asked before every block of points, from several threads.

    Raises:
        Cancelled: `cancelled` said so.
        ValueError: a size is no multiple of the first.
    """
    first, *finer = sizes
    if any(size % first for size in finer):
        raise ValueError(f"sizes must be multiples of the first, got {tuple(sizes)}")
    viewing, device = Viewing.of(scene.preset), scene.field.device
    field = scene.field if scene.semantic_head is None else scene.labelled_field
    coarse = evaluate(scene, field, centres(first, viewing.half, device), cancelled).reshape(first, first, first, -1)
    scale = max(float(coarse[..., 3].max()), MIN_SCALE) * ROOM_ABOVE

    def finished(texels: Tensor, background: np.ndarray) -> Volume:
        labels = texels[..., 4].byte().cpu().numpy() if texels.shape[-1] > 4 else None
        return Volume(to_bytes(texels[..., :4], scale), viewing.half, scale, background, viewing.background_half,
                      labels)

    background = bake_background(scene, viewing, FIRST_BACKGROUND if finer else BACKGROUND, cancelled)
    yield finished(coarse, background)
    if not finer:
        return
    cells = visible_cells(coarse[..., 3].contiguous(), viewing)
    background = bake_background(scene, viewing, BACKGROUND, cancelled)
    for size in finer:
        chosen = repeated(cells, size).reshape(-1).nonzero()[:, 0]
        texels = torch.cat([enlarge(coarse[..., :4], size), repeated(coarse[..., 4:], size)], -1)
        points = centres(size, viewing.half, device)[chosen]
        texels.view(size**3, -1)[chosen] = evaluate(scene, field, points, cancelled)
        yield finished(texels, background)


def evaluate(scene: Scene, field: Field, points: Float[Tensor, "points 3"], cancelled: Callable[[], bool]
             ) -> Float[Tensor, "points channels"]:
    """Colour in [0, 1], density before relu, and the label if the field knows labels; block by block."""
    size = points_at_a_time(field, scene.max_block)
    if points.device.type == "cpu":
        size = min(size, CPU_BLOCK)

    def block(part: Tensor) -> Tensor:
        if cancelled():
            raise Cancelled
        labels = []
        if isinstance(field, LabelledField):
            density, rgb, logits = field.evaluate(part)
            labels.append(logits.argmax(1, keepdim=True).to(rgb))
        else:
            rgb, density = field(part)
        if scene.preset.clamp_mode == "softplus":
            density = F.softplus(density)  # positive, so that the viewer's relu leaves it as it is
        return torch.cat([rgb, density[:, None], *labels], 1)

    return torch.cat(list(thread_map(block, points.split(size), workers(field))))


def bake_background(scene: Scene, viewing: Viewing, size: int, cancelled: Callable[[], bool]
                    ) -> UInt8[np.ndarray, "size size size 3"]:
    """Colours at the far ends of rays, as the renderer's last sample takes them; 0 where no ray ends."""
    device = scene.field.device
    chosen = background_texels(viewing, size).to(device)
    values = evaluate(scene, scene.field, centres(size, viewing.background_half, device)[chosen], cancelled)
    colours = torch.zeros(size**3, 3, device=device)
    # what lies behind the last sample is opaque if there is density, else left dark unless the preset fills it
    colours[chosen] = values[:, :3] if scene.preset.eval_last_back else values[:, :3] * (values[:, 3:] > 0)
    return _byte(colours * 255).reshape(size, size, size, 3).cpu().numpy()


@functools.lru_cache(maxsize=8)
def background_texels(viewing: Viewing, size: int) -> Int[Tensor, " chosen"]:
    """Numbers of the texels that the far ends of rays touch, from any of the allowed poses."""
    ends = torch.zeros(size**3)
    for camera in cameras_of(viewing, BACKGROUND_YAWS, BACKGROUND_PITCHES):
        origin, directions = camera_rays(camera, BACKGROUND_RAYS, viewing.fov)
        ends[texel_of(origin + directions * viewing.ray_end, size, viewing.background_half)] = 1
    return (_grown(ends.reshape(size, size, size)) > 0).reshape(-1).nonzero()[:, 0]


def visible_cells(density: Float[Tensor, "size size size"], viewing: Viewing) -> Bool[Tensor, "size size size"]:
    """Which texels hold, or are beside, what light reaches from any of the allowed poses."""
    size, device = len(density), density.device
    steps = math.ceil((viewing.ray_end - viewing.ray_start) / (2 * viewing.half / size) * STEPS_PER_TEXEL)
    step = (viewing.ray_end - viewing.ray_start) / steps
    depths = viewing.ray_start + (torch.arange(steps, device=device) + 0.5) * step
    absorbed = density.relu().reshape(-1) * step

    def light_of(camera: Camera) -> Tensor:
        origin, directions = camera_rays(camera, RAYS, viewing.fov, device)
        points = origin + directions[:, None] * depths[:, None]
        inside = (points.abs() < viewing.half).all(-1)
        index = texel_of(points, size, viewing.half)
        passed = absorbed[index] * inside
        arriving = torch.exp(passed - passed.cumsum(1)) * inside
        return torch.zeros(size**3, device=device).scatter_reduce_(0, index.reshape(-1), arriving.reshape(-1), "amax")

    # each in one thread: of such small tensors several threads would only make more work
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    lights = list(thread_map(light_of, cameras_of(viewing, YAWS, PITCHES), threads))
    light = torch.stack(lights).amax(0).reshape(size, size, size)
    high, low = _grown(density), -_grown(-density)
    return (_grown(light) > MIN_LIGHT) & (high + (high - low) * OVERSHOOT > 0)


def cameras_of(viewing: Viewing, yaws: int, pitches: int) -> list[Camera]:
    """Cameras spread over all allowed poses, with the widest field of view."""
    return [Camera(FRONTAL + float(yaw), FRONTAL + float(pitch), viewing.fov_range[1])
            for yaw in np.linspace(*viewing.yaw_range, yaws) for pitch in np.linspace(*viewing.pitch_range, pitches)]


def centres(size: int, half: float, device: torch.device) -> Float[Tensor, "points 3"]:
    """World positions of all texels in the order of their bytes."""
    line = ((torch.arange(size, device=device) + 0.5) / size * 2 - 1) * half
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], -1).reshape(-1, 3)


def texel_of(points: Float[Tensor, "*points 3"], size: int, half: float) -> Int[Tensor, "*points"]:
    """Number of the texel in which a point lies; of the nearest one for points outside."""
    x, y, z = ((points / half + 1) / 2 * size).long().clamp_(0, size - 1).unbind(-1)
    return (z * size + y) * size + x


def enlarge(texels: Float[Tensor, "size size size channels"], size: int) -> Float[Tensor, "new new new channels"]:
    """Interpolated as graphics processors do: between texel centres, clamped at the edges."""
    x = texels.permute(3, 0, 1, 2)[None]
    return F.interpolate(x, size=(size, size, size), mode="trilinear")[0].permute(1, 2, 3, 0).contiguous()


def repeated(texels: Shaped[Tensor, "size size size *channels"], size: int) -> Shaped[Tensor, "new new new *channels"]:
    """Each texel as a cube of equal ones."""
    for axis in range(3):
        texels = texels.repeat_interleave(size // texels.shape[axis], axis)
    return texels


def to_bytes(texels: Float[Tensor, "size size size 4"], scale: float) -> UInt8[np.ndarray, "size size size 4"]:
    """Colours in 0..255, and density around ZERO."""
    rgb, density = texels.split([3, 1], -1)
    return torch.cat([_byte(rgb * 255), _byte(ZERO + density * ((255 - ZERO) / scale))], -1).cpu().numpy()


def _byte(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    return values.round().clamp(0, 255).byte()


def _grown(texels: Float[Tensor, "size size size"]) -> Float[Tensor, "size size size"]:
    """The greatest of each texel and its 26 neighbours."""
    return F.max_pool3d(texels[None, None], 3, 1, 1)[0, 0]
