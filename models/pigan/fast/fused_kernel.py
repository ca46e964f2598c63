"""The folded field in one GPU kernel, in Triton: a block of points goes through all layers without leaving the chip.

A layer by layer evaluation writes and reads a point's features 17 times; here only positions are read and densities and
colours are written, and the weights (1 MB in half precision) stay in the GPU's cache.

(`no_type_check` keeps the shape checks of the tests away from functions that Triton reads as source.)

This file needs Triton. `models.pigan.fast.fused` decides when it is used.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.pigan.fast.hardware_sine import sine_of


@triton.jit
@no_type_check
def _first(x, y, z, weights, out, WIDTH: tl.constexpr, HALF: tl.constexpr, SPLIT: tl.constexpr,
           HARDWARE: tl.constexpr):
    """Half of the first layer's sines, in float32. `weights`: three rows of weights and one of biases."""
    at = weights + out * HALF + tl.arange(0, HALF)
    angle = x[:, None] * tl.load(at)[None, :] + tl.load(at + 3 * WIDTH)[None, :]
    angle += y[:, None] * tl.load(at + WIDTH)[None, :]
    angle += z[:, None] * tl.load(at + 2 * WIDTH)[None, :]
    return sine_of(angle, SPLIT, HARDWARE)


@triton.jit
@no_type_check
def _products(left, right, at, HALF: tl.constexpr, HARDWARE: tl.constexpr, angle):
    upper = tl.load(at)
    lower = tl.load(at + HALF)
    if not HARDWARE:  # the interpreter cannot multiply in bfloat16; the numbers are the same
        left = left.to(tl.float32)
        right = right.to(tl.float32)
        upper = upper.to(tl.float32)
        lower = lower.to(tl.float32)
    angle = tl.dot(left, upper, angle)
    return tl.dot(right, lower, angle)


@triton.jit
@no_type_check
def _parts(value, kind: tl.constexpr, SPLIT: tl.constexpr):
    """A float32 number in half precision, and what is left of it."""
    part = value.to(kind)
    if SPLIT:
        rest = (value - part.to(tl.float32)).to(kind)
    else:
        rest = part
    return part, rest


@triton.jit
@no_type_check
def _half(left, right, left_rest, right_rest, weights, biases, half, LAYERS: tl.constexpr, WIDTH: tl.constexpr,
          BLOCK: tl.constexpr, SPLIT: tl.constexpr, HARDWARE: tl.constexpr):
    """Half of a hidden layer's outputs. Products of half precision, sums and sines in float32.

    With SPLIT a number is the sum of two of half precision, together of 21 bits, and a product that of three.

    Args:
        half: twice the number of the layer, and one more for the upper half.
    """
    HALF: tl.constexpr = WIDTH // 2
    line = tl.arange(0, HALF)
    row = half * HALF + line
    at = weights + row[None, :] * WIDTH + line[:, None]
    angle = tl.zeros([BLOCK, HALF], tl.float32) + tl.load(biases + row)[None, :]
    if SPLIT:
        angle = _products(left_rest, right_rest, at, HALF, HARDWARE, angle)
        angle = _products(left, right, at + LAYERS * WIDTH * WIDTH, HALF, HARDWARE, angle)
    angle = _products(left, right, at, HALF, HARDWARE, angle)
    return _parts(sine_of(angle, SPLIT, HARDWARE), weights.dtype.element_ty, SPLIT)


@triton.jit
@no_type_check
def _layers(left, right, left_rest, right_rest, weights, biases, FROM: tl.constexpr, TO: tl.constexpr,
            LAYERS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, SPLIT: tl.constexpr,
            HARDWARE: tl.constexpr, STAGES: tl.constexpr):
    """The hidden layers FROM to TO - 1."""
    # A layer at a time. With one stage nothing is gained by halves, and ptxas 12.8 leaves one of the colour layer's out
    # on Hopper.
    if SPLIT or STAGES == 1:
        for layer in tl.range(FROM, TO, num_stages=1):
            first, first_rest = _half(left, right, left_rest, right_rest, weights, biases, 2 * layer, LAYERS, WIDTH,
                                      BLOCK, SPLIT, HARDWARE)
            right, right_rest = _half(left, right, left_rest, right_rest, weights, biases, 2 * layer + 1, LAYERS, WIDTH,
                                      BLOCK, SPLIT, HARDWARE)
            left, left_rest = first, first_rest
    else:  # half a layer at a time: the weights of the next half are on their way while one is computed
        first = left
        for half in tl.range(2 * FROM, 2 * TO, num_stages=STAGES):
            part, _ = _half(left, right, left, right, weights, biases, half, LAYERS, WIDTH, BLOCK, SPLIT, HARDWARE)
            second = half % 2 == 1
            left = tl.where(second, first, left)
            right = tl.where(second, part, right)
            first = part
    return left, right, left_rest, right_rest


@triton.jit
@no_type_check
def _output(left, right, left_rest, right_rest, weights, HALF: tl.constexpr, SPLIT: tl.constexpr):
    """One output of a point: features times a row of weights, in float32."""
    upper = left.to(tl.float32)
    lower = right.to(tl.float32)
    if SPLIT:
        upper += left_rest.to(tl.float32)
        lower += right_rest.to(tl.float32)
    at = weights + tl.arange(0, HALF)
    return tl.sum(upper * tl.load(at)[None, :], 1) + tl.sum(lower * tl.load(at + HALF)[None, :], 1)


@triton.jit
@no_type_check
def field_kernel(
    points, density, colour, count, first, weights, biases, outputs, output_biases,
    LAYERS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, COLOUR: tl.constexpr, SPLIT: tl.constexpr,
    HARDWARE: tl.constexpr, STAGES: tl.constexpr,
):
    """Density before its clamp, and colour in (0, 1) with COLOUR, of one block of points.

    Args:
        points: (count, 3) float32; density (count) and colour (count, 3) are written.
        first: (4, WIDTH), see `_first`; weights (LAYERS, WIDTH outputs, WIDTH inputs) and biases (LAYERS, WIDTH) of the
            hidden layers, the last of which is the colour layer.
        outputs: (4, WIDTH), density and three colours; output_biases (4).
        SPLIT: behind the weights lies what rounding them to half precision left over, see `_half`. Angles are then so
            exact that whole turns are taken away before the hardware's sine.
        HARDWARE: sines by the GPU's special function unit; without (in Triton's interpreter), those of the host.
        STAGES: how many halves of layers have their weights on the chip at a time.
    """
    HALF: tl.constexpr = WIDTH // 2
    kind: tl.constexpr = weights.dtype.element_ty
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(points + at * 3, inside, 0.0)
    y = tl.load(points + at * 3 + 1, inside, 0.0)
    z = tl.load(points + at * 3 + 2, inside, 0.0)
    left, left_rest = _parts(_first(x, y, z, first, 0, WIDTH, HALF, SPLIT, HARDWARE), kind, SPLIT)
    right, right_rest = _parts(_first(x, y, z, first, 1, WIDTH, HALF, SPLIT, HARDWARE), kind, SPLIT)
    left, right, left_rest, right_rest = _layers(left, right, left_rest, right_rest, weights, biases, 0, LAYERS - 1,
                                                 LAYERS, WIDTH, BLOCK, SPLIT, HARDWARE, STAGES)
    value = _output(left, right, left_rest, right_rest, outputs, HALF, SPLIT) + tl.load(output_biases)
    tl.store(density + at, value, inside)
    if COLOUR:
        left, right, left_rest, right_rest = _layers(left, right, left_rest, right_rest, weights, biases, LAYERS - 1,
                                                     LAYERS, LAYERS, WIDTH, BLOCK, SPLIT, HARDWARE, STAGES)
        for channel in tl.static_range(3):
            value = _output(left, right, left_rest, right_rest, outputs + (channel + 1) * WIDTH, HALF, SPLIT)
            value += tl.load(output_biases + channel + 1)
            tl.store(colour + at * 3 + channel, 1 / (1 + tl.exp(-value)), inside)


def launch(
    points: Tensor, density: Tensor, colour: Tensor | None, weights: tuple[Tensor, ...], *, split: bool, block: int,
    warps: int = 8, stages: int = 2,
) -> None:
    """Write the density, and with `colour` that too, of all points. `weights`: see `field_kernel`, in its order."""
    first, hidden = weights[:2]
    kernel: Any = field_kernel[(triton.cdiv(len(points), block),)]
    with torch.cuda.device(points.device if points.is_cuda else -1):  # Triton launches on the current one
        kernel(points, density, density if colour is None else colour, len(points), *weights, LAYERS=hidden.shape[-3],
               WIDTH=first.shape[1], BLOCK=block, COLOUR=colour is not None, SPLIT=split, HARDWARE=points.is_cuda,
               STAGES=stages, num_warps=warps)
