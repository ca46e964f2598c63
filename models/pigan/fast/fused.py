"""Which form of the folded field a scene uses, and the fused one: all layers of a block of points in one GPU kernel.

Precision is that of the hidden layers' products; the first layer, sums, sines, outputs and compositing are always in
float32. What a precision means:

    fp32   24 bits; in the kernel, numbers are sums of two of half precision, which are 22 bits together
    tf32   11 bits, as those of NVIDIA's TF32; half precision has as many, and the field's numbers are in its range
    bf16   8 bits

In the kernel a product of fp32 is three products, so tf32 and bf16 are faster. A CPU always computes in fp32.
"""

import copy
import functools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.kernels import has_triton, multiplies, problem_of
from models.pigan.siren import FilmSiren


class Shape(NamedTuple):
    """How the kernel computes a block of points."""

    features: int  # points times width
    warps: int
    stages: int  # halves of layers whose weights are on the chip at a time


HOPPER = Shape(0, 0, 0)  # that of `hopper_kernel`, which has but one


PRECISIONS = {"fp32": torch.float32, "tf32": torch.float16, "bf16": torch.bfloat16}
MIN_WIDTH, MAX_WIDTH = 32, 256  # of the kernel: narrower fields are padded, wider ones do not fit on the chip
# By whether numbers are split into two: how a block of points is computed, the fastest first. The others are for chips
# with less room.
SHAPES = {False: (HOPPER, Shape(32768, 8, 2), Shape(32768, 8, 1), Shape(16384, 4, 1)),
          True: (Shape(16384, 4, 1), Shape(8192, 4, 1))}
MAX_POINTS = 256
HOPPER_ABOVE = 64  # narrower fields are not for it
TRIAL_POINTS = 40_000  # more blocks than a GPU has processors
TRIAL_BOUND = 0.1  # bfloat16 keeps within half of it; where half of a layer is wrong, it is 0.3 and more


def inference_field(siren: FilmSiren, codes: Codes, precision: str = "fp32") -> "FoldedField | FusedField":
    """`inference_fields` of one scene.

    Raises:
        ValueError: codes of more than one scene, or an unknown precision.
    """
    if len(codes) != 1:
        raise ValueError(f"a field holds one scene, got codes of {len(codes)}")
    return inference_fields(siren, codes, precision)[0]


def inference_fields(siren: FilmSiren, codes: Codes, precision: str = "fp32") -> "Sequence[FoldedField | FusedField]":
    """The fastest form of the fields of a batch of scenes on the device that `siren` is on.

    A GPU that cannot do what is asked, and a kernel that does not run, cost a warning of one line, not the image.

    Args:
        precision: a key of PRECISIONS.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    fields = FoldedField.of_each(siren, codes)
    device, kind = fields[0].device, PRECISIONS[precision]
    if device.type == "cpu" or fields[0].layers[0][0].dtype != torch.float32:
        return fields
    if not multiplies(device, kind):
        warnings.warn(f"`precision` {precision}: this GPU, or this version of PyTorch, cannot multiply in it; fp32 is "
                      "used instead", stacklevel=2)
        kind = torch.float32
    shape = _shape_that_runs(device, siren.width, kind)
    if shape is not None:
        return [FusedField(field, kind, shape) for field in fields]
    return fields if kind == torch.float32 else FoldedField.of_each(siren, codes, kind)


class FusedField:
    """Density and colour of a single scene, as those of `FoldedField`, by one kernel. No gradients.

    Args:
        field: in float32; its width must be at most MAX_WIDTH.
        kind: type of the products, a value of PRECISIONS.
        shape: one of SHAPES; by default one that needs no particular GPU.
    """

    channels = 3

    def __init__(self, field: FoldedField, kind: torch.dtype = torch.float32, shape: Shape | None = None) -> None:
        self.width = field.width
        self.split = kind == torch.float32
        self.shape = shape or SHAPES[self.split][-1]
        padded = max(MIN_WIDTH, 1 << (field.width - 1).bit_length())
        if padded > MAX_WIDTH:
            raise ValueError(f"the kernel takes a width of at most {MAX_WIDTH}, got {field.width}")
        (first, first_bias), *hidden = *field.layers, field.colour_layer
        missing = padded - field.width
        outputs, self.output_biases = (torch.cat(both) for both in zip(field.density_output, field.colour_output))
        weights = F.pad(torch.stack([weight for weight, _ in hidden]), (0, missing, 0, missing))
        half = torch.float16 if self.split else kind
        kept = weights.to(half)
        if self.split:
            kept = torch.stack([kept, (weights - kept).to(half)])
        self.first = F.pad(torch.cat([first.t(), first_bias[None]]), (0, missing)).contiguous()
        self.weights, self.outputs = kept.contiguous(), F.pad(outputs, (0, missing)).contiguous()
        self.biases = F.pad(torch.stack([bias for _, bias in hidden]), (0, missing))

    @property
    def device(self) -> torch.device:
        return self.first.device

    def to(self, device: torch.device) -> "FusedField":
        """A copy on another device."""
        other = copy.copy(self)
        for name in ("first", "weights", "biases", "outputs", "output_biases"):
            setattr(other, name, getattr(self, name).to(device))
        return other

    def __call__(self, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "points 3"], Float[Tensor, " points"]]:
        """Colour in (0, 1) for the locked view direction, and density before its clamp to positive values."""
        colour = torch.empty_like(points, memory_format=torch.contiguous_format)
        return colour, self._run(points, colour)

    def density_at(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density before its clamp to positive values."""
        return self._run(points, None)

    def _run(self, points: Tensor, colour: Tensor | None) -> Tensor:
        density = points.new_empty(len(points))
        weights = self.first, self.weights, self.biases, self.outputs, self.output_biases
        if not len(points):
            return density
        if self.shape == HOPPER:
            from models.pigan.fast import hopper_kernel

            hopper_kernel.launch(points.contiguous(), density, colour, weights)
        else:
            from models.pigan.fast import fused_kernel

            features, warps, stages = self.shape
            fused_kernel.launch(points.contiguous(), density, colour, weights, split=self.split, warps=warps,
                                block=min(features // self.first.shape[1], MAX_POINTS), stages=stages)
        return density


@functools.cache
def _shape_that_runs(device: torch.device, width: int, kind: torch.dtype) -> Shape | None:
    """Tried once per device: Triton may be missing, without a C compiler, or the chip too small for the kernel."""
    if device.type != "cuda" or width > MAX_WIDTH or not has_triton():
        return None
    reasons = []
    for shape in SHAPES[kind == torch.float32]:
        if shape == HOPPER and (width <= HOPPER_ABOVE or torch.cuda.get_device_capability(device) != (9, 0)):
            continue
        reason = problem_of(functools.partial(_trial, device, width, kind, shape), TRIAL_BOUND)
        if reason is None:
            return shape
        reasons.append(reason)
    warnings.warn(f"the fused kernel of the field does not run on {device} ({reasons[0]}); PyTorch's operations are "
                  "used instead", stacklevel=2)
    return None


@torch.no_grad()
def _trial(device: torch.device, width: int, kind: torch.dtype, shape: Shape) -> float:
    """The greatest difference from the folded field, of colours or of densities beside the greatest of them."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)  # that of the CPU alone
        siren = FilmSiren(width, 8)
    siren.colour_output.weight.mul_(20)  # colours of all shades, so that no wrong one can be missed
    plain = FoldedField(siren.to(device), siren.mapping_network(torch.ones(1, 8, device=device)))
    points = torch.linspace(-0.1, 0.1, 3 * TRIAL_POINTS, device=device).reshape(-1, 3)
    fused = FusedField(plain, kind, shape)
    right, right_density = plain(points)
    colour, density = fused(points)
    differences = torch.stack([density, fused.density_at(points)]) - right_density
    return max((colour - right).abs().max().item(), (differences.abs().max() / right_density.abs().max()).item())
