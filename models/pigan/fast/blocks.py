"""Points and rays of a scene block by block, on all cores of a CPU."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.fast.exact import Pixels
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import FusedField
from models.pigan.fast.kernels import block_size
from models.pigan.fast.labelled import LabelledField
from utils.parallel import thread_map

Field = FoldedField | FusedField
FUSED_BLOCK = 2**24  # points evaluated at a time by the fused kernel, which keeps nothing of them but the results


def points_at_a_time(field: Field, most: int | None) -> int:
    """As many as suit the field and its device, and no more than `most`, if that is given."""
    block = FUSED_BLOCK if isinstance(field, FusedField) else block_size(field.device, field.width)
    return min(block, most) if most else block


def workers(field: Field) -> int:
    """Threads that blocks are shared among."""
    return torch.get_num_threads() if field.device.type == "cpu" else 1


def density_of(field: Field, points: Float[Tensor, "points 3"], most: int | None) -> Float[Tensor, " points"]:
    """Density (before its clamp to positive values) at world positions; for `most` see `points_at_a_time`."""
    blocks = points.split(points_at_a_time(field, most))
    return torch.cat(list(thread_map(field.density_at, blocks, workers(field))))


def appearance_of(field: Field, points: Float[Tensor, "points 3"], most: int | None) -> tuple[Tensor, Tensor | None]:
    """Colours, and label logits if the field has a semantic head, at world positions; see `Scene.appearance`."""
    def of(part: Tensor) -> tuple[Tensor, ...]:
        return field.evaluate(part)[1:] if isinstance(field, LabelledField) else field(part)[:1]

    found = thread_map(of, points.split(points_at_a_time(field, most)), workers(field))
    rgb, *logits = (torch.cat(values) for values in zip(*found, strict=True))
    return rgb, logits[0] if logits else None


def pixels_of(render: Callable[[slice], Pixels], rays: int, at_a_time: int, threads: int,
              on_rays: Callable[[int], None] | None) -> Pixels:
    """Pixels of all rays.

    Args:
        render: some of the rays.
        on_rays: called with the number of rays finished since its last call.
    """
    blocks = []
    starts = range(0, rays, at_a_time)
    for pixels in thread_map(lambda start: render(slice(start, start + at_a_time)), starts, threads):
        blocks.append(pixels)
        if on_rays is not None:
            on_rays(len(pixels.depth))
    return Pixels(*(torch.cat(values) for values in zip(*blocks, strict=True)))
