"""A scene as a small volume of bytes, which any graphics processor can draw from any side without the network.

    for volume in bake(scene, sizes=(24, 72, 96)):      # coarse to fine, each complete in itself
        show(volume)

A volume of 72 texels along each side looks like the scene's own image to about 36 dB, one of 96 to about 40.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from models.pigan.fast.blocks import Field, points_at_a_time, workers
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.labelled import LabelledField
from models.scene import Scene
from utils.parallel import thread_map
from web.volume.viewing import Viewing
from web.volume.visibility import background_texels, nearest, visible

SIZES = (24, 72, 96)
# Texels along each side of the background, in parts of the first volume's: while that one is shown, and from then on.
FIRST_BACKGROUND, BACKGROUND = 0.5, 1
ZERO = 128  # the byte of density 0
ROOM_ABOVE = 1.05  # densities go up to this, in parts of the greatest of the first stage
MIN_SCALE = 1.0  # of a field without density
# Between the first volume and finer ones there is another, which nobody sees: it tells more precisely where light goes.
MIDDLE = 1.5     # its texels along each side, in parts of the first one's
OVERSHOOT = 0.25  # see `visible`: of the first volume, beside whose texels there may be thin things
CPU_BLOCK = 2048  # points between two looks at `cancelled`: about 10 ms


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
def bake(scene: Scene, sizes: Sequence[int] = SIZES, cancelled: Callable[[], bool] = lambda: False,
         threads: int | None = None) -> Iterator[Volume]:
    """Volumes of a scene, coarse to fine, made on the device of its field as they are asked for.

    The first is evaluated everywhere. Finer ones are evaluated where something can be seen, and interpolated elsewhere.

    Args:
        sizes: texels along each side; all others are multiples of the first.
        cancelled: asked before every block of points, from several threads.
        threads: that blocks are shared among on a CPU; None: as many as PyTorch uses.

    Raises:
        Cancelled: `cancelled` said so.
        ValueError: a size is no multiple of the first.
    """
    first, *finer = sizes
    if any(size % first for size in finer):
        raise ValueError(f"sizes must be multiples of the first, got {tuple(sizes)}")
    field = Evaluator(scene, cancelled, threads)
    viewing = field.viewing
    coarse = field.texels(field.centres(first)).reshape(first, first, first, -1)
    scale = max(float(coarse[..., 3].max()), MIN_SCALE) * ROOM_ABOVE

    def finished(texels: Tensor, background: np.ndarray) -> Volume:
        labels = texels[..., 4].byte().cpu().numpy() if texels.shape[-1] > 4 else None
        return Volume(to_bytes(texels[..., :4], scale), viewing.half, scale, background, viewing.background_half,
                      labels)

    yield finished(coarse, field.background(int(first * (FIRST_BACKGROUND if finer else BACKGROUND))))
    if not finer:
        return
    seen = field.seen(coarse[..., 3].contiguous())
    background = field.background(first * BACKGROUND)
    for size in finer:
        chosen = nearest(seen, size).reshape(-1).nonzero()[:, 0]
        texels = torch.cat([enlarge(coarse[..., :4], size), nearest(coarse[..., 4:], size)], -1)
        texels.view(size**3, -1)[chosen] = field.texels(field.centres(size)[chosen])
        yield finished(texels, background)


class Evaluator:
    """A scene's field at the texels of volumes, block by block; arguments as those of `bake`."""

    def __init__(self, scene: Scene, cancelled: Callable[[], bool], threads: int | None) -> None:
        self.preset, self.cancelled, self.viewing = scene.preset, cancelled, Viewing.of(scene.preset)
        self.field: Field = quick(scene.field)
        self.labelled: Field = self.field if scene.semantic_head is None else quick(scene.labelled_field)
        self.device, on_cpu = scene.field.device, scene.field.device.type == "cpu"
        self.threads = threads if threads and on_cpu else workers(scene.field)
        self.block = points_at_a_time(scene.field, scene.max_block)
        if on_cpu:
            self.block = min(self.block, CPU_BLOCK)

    def centres(self, size: int) -> Float[Tensor, "points 3"]:
        """World positions of all texels in the order of their bytes."""
        return centres(size, self.viewing.half, self.device)

    def texels(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """Colour in [0, 1], density as the viewer takes it, and the label if the scene knows labels."""
        def of(part: Tensor) -> Tensor:
            if isinstance(self.labelled, LabelledField):
                density, rgb, logits = self.labelled.evaluate(part)
                return torch.cat([rgb, self.clamped(density)[:, None], logits.argmax(1, keepdim=True).to(rgb)], 1)
            return self.coloured(part)

        return self.in_blocks(of, points)

    def seen(self, density: Float[Tensor, "size size size"]) -> Tensor:
        """Which texels of a middle volume can be seen, after the density of a coarse one."""
        size = int(len(density) * MIDDLE)
        chosen = nearest(visible(density, self.viewing, OVERSHOOT), size).reshape(-1).nonzero()[:, 0]
        middle = enlarge(density[..., None], size).reshape(-1)
        middle[chosen] = self.in_blocks(lambda part: self.clamped(self.field.density_at(part)),
                                        self.centres(size)[chosen])
        return visible(middle.reshape(size, size, size), self.viewing)

    def background(self, size: int) -> UInt8[np.ndarray, "size size size 3"]:
        """Colours at the far ends of rays, as the renderer's last sample takes them; 0 where no ray ends."""
        chosen = background_texels(self.viewing, size).to(self.device)
        values = self.in_blocks(self.coloured, centres(size, self.viewing.background_half, self.device)[chosen])
        colours = torch.zeros(size**3, 3, device=self.device)
        # what lies behind the last sample is opaque if there is density, else left dark unless the preset fills it
        colours[chosen] = values[:, :3] if self.preset.eval_last_back else values[:, :3] * (values[:, 3:] > 0)
        return _byte(colours * 255).reshape(size, size, size, 3).cpu().numpy()

    def coloured(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 4"]:
        """Colour and density of one block."""
        rgb, density = self.field(points)
        return torch.cat([rgb, self.clamped(density)[:, None]], 1)

    def clamped(self, density: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """Softplus where the preset has it: positive, so that the viewer's relu leaves it as it is."""
        return F.softplus(density) if self.preset.clamp_mode == "softplus" else density

    def in_blocks(self, compute: Callable[[Tensor], Tensor], points: Float[Tensor, "points 3"]) -> Tensor:
        """
        Raises:
            Cancelled: nobody wants it any more.
        """
        def block(part: Tensor) -> Tensor:
            if self.cancelled():
                raise Cancelled
            return compute(part)

        return torch.cat(list(thread_map(block, points.split(self.block), self.threads)))


def quick(field: Field) -> Field:
    """The same field with a sine that is good enough for bytes, on a CPU."""
    return field.quick() if isinstance(field, FoldedField) and field.device.type == "cpu" else field


def centres(size: int, half: float, device: torch.device) -> Float[Tensor, "points 3"]:
    """World positions of all texels in the order of their bytes."""
    line = ((torch.arange(size, device=device) + 0.5) / size * 2 - 1) * half
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], -1).reshape(-1, 3)


def enlarge(texels: Float[Tensor, "size size size channels"], size: int) -> Float[Tensor, "new new new channels"]:
    """Interpolated as graphics processors do: between texel centres, clamped at the edges."""
    x = texels.permute(3, 0, 1, 2)[None]
    return F.interpolate(x, size=(size, size, size), mode="trilinear")[0].permute(1, 2, 3, 0).contiguous()


def to_bytes(texels: Float[Tensor, "size size size 4"], scale: float) -> UInt8[np.ndarray, "size size size 4"]:
    """Colours in 0..255, and density around ZERO."""
    rgb, density = texels.split([3, 1], -1)
    return torch.cat([_byte(rgb * 255), _byte(ZERO + density * ((255 - ZERO) / scale))], -1).cpu().numpy()


def _byte(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    return values.round().clamp(0, 255).byte()
