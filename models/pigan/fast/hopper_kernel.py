"""The kernel of `fused_kernel` for GPUs of the Hopper generation (H100, H200), in half precision: products and sines at
the same time.

Two groups of warps have 64 points each. While one of them multiplies, the other one computes the sines of what it has
multiplied before; a third group does nothing but fetch weights. A GPU's processor takes one block of points after the
other, so that fetching does not stop between them.

It is written in Gluon, the level of Triton at which a program says itself which warps do what. This file needs Triton
3.6 or newer. `models.pigan.fast.fused` decides when it is used.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOperatorIssue=false
# (Triton compiles what follows; to Python's types it does not keep)
import functools
from typing import Any, no_type_check

import torch
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_init,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

POINTS = 64  # of a group of warps, the rows of a product
BLOCK = 2 * POINTS
OUTPUTS = 128  # of a layer, whose weights are fetched together
CHIP = 3 * 2**16  # bytes of weights that are kept there
WARPS = 4  # of a group
REGISTERS = (240, 24)  # of a thread of the second group that computes (the first one gets as many), and of the third


def fits(width: int) -> bool:
    """Whether a field of this (padded) width can be computed."""
    return width in (OUTPUTS, 2 * OUTPUTS)


@gluon.jit
@no_type_check
def _sine(angle):
    """By the hardware, whose error grows with the angle; but less than that of an angle in half precision does."""
    return gl.inline_asm_elementwise("sin.approx.ftz.f32 $0, $1;", "=f,f", [angle], dtype=gl.float32, is_pure=True,
                                     pack=1)


@gluon.jit
@no_type_check
def _factor(angle, layout: gl.constexpr, kind: gl.constexpr):
    """Sines as the left factor of the next product."""
    return gl.convert_layout(_sine(angle).to(kind), gl.DotOperandLayout(0, layout, 2))


@gluon.jit
@no_type_check
def _fetch(weights, buffers, full, empty, blocks, DEPTH: gl.constexpr, OUTPUTS: gl.constexpr, WIDTH: gl.constexpr,
           SLOTS: gl.constexpr):
    """The weights of all layers, once for each block of points."""
    number = 0
    for _ in range(gl.program_id(0), blocks, gl.num_programs(0)):
        for part in range(DEPTH * (WIDTH // OUTPUTS)):
            slot = number % SLOTS
            mbarrier.wait(empty.index(slot), (number // SLOTS & 1) ^ 1)
            mbarrier.expect(full.index(slot), OUTPUTS * WIDTH * 2)
            tma.async_copy_global_to_shared(weights, [part * OUTPUTS, 0], full.index(slot), buffers.index(slot))
            number += 1


@gluon.jit
@no_type_check
def _layer(features, biases, done, buffers, full, empty, turn, others_turn, GROUP: gl.constexpr, OUTPUTS: gl.constexpr,
           PARTS: gl.constexpr, SLOTS: gl.constexpr, POINTS: gl.constexpr, layout: gl.constexpr, kind: gl.constexpr):
    """A hidden layer of one group's points.

    Args:
        features: PARTS of them, OUTPUTS columns each.
        done: how many layers this group has computed.
    """
    mbarrier.wait(turn, (done & 1) ^ (1 - GROUP))
    nothing = gl.zeros([POINTS, OUTPUTS], gl.float32, layout)
    products = ()
    for part in gl.static_range(PARTS):
        number = done * PARTS + part
        mbarrier.wait(full.index(number % SLOTS), number // SLOTS & 1)
        product = warpgroup_mma_init(nothing)
        for k in gl.static_range(PARTS):
            right = buffers.index(number % SLOTS).slice(k * OUTPUTS, OUTPUTS, dim=1).permute((1, 0))
            product = warpgroup_mma(features[k], right, product, use_acc=k > 0, is_async=True)
        products = products + (product,)  # noqa: RUF005 - Triton has no stars
    mbarrier.arrive(others_turn, count=1)
    columns = gl.arange(0, OUTPUTS, layout=gl.SliceLayout(0, layout))
    result = ()
    for part in gl.static_range(PARTS):
        product = warpgroup_mma_wait((PARTS - 1 - part) * PARTS, deps=(products[part],))
        mbarrier.arrive(empty.index((done * PARTS + part) % SLOTS), count=1)
        angle = product + gl.load(biases + part * OUTPUTS + columns)[None, :]
        result = result + (_factor(angle, layout, kind),)  # noqa: RUF005 - Triton has no stars
    return result


@gluon.jit
@no_type_check
def _output(features, weights, bias, OUTPUTS: gl.constexpr, PARTS: gl.constexpr, layout: gl.constexpr):
    """One output of a point: features times a row of weights, in float32."""
    columns = gl.arange(0, OUTPUTS, layout=gl.SliceLayout(0, layout))
    value = gl.load(bias)
    for part in gl.static_range(PARTS):
        x = gl.convert_layout(features[part].to(gl.float32), layout)
        value += gl.sum(x * gl.load(weights + part * OUTPUTS + columns)[None, :], 1)
    return value


@gluon.jit
@no_type_check
def _compute(points, density, colour, count, first, biases, outputs, output_biases, buffers, full, empty, turn,
             others_turn, blocks, GROUP: gl.constexpr, LAYERS: gl.constexpr, WIDTH: gl.constexpr, COLOUR: gl.constexpr,
             OUTPUTS: gl.constexpr, SLOTS: gl.constexpr, POINTS: gl.constexpr, WARPS: gl.constexpr,
             kind: gl.constexpr):
    """What one group of warps does: half of the points of every block."""
    PARTS: gl.constexpr = WIDTH // OUTPUTS
    layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [WARPS, 1], [16, OUTPUTS, 16])
    columns = gl.arange(0, OUTPUTS, layout=gl.SliceLayout(0, layout))
    done = 0
    for block in range(gl.program_id(0), blocks, gl.num_programs(0)):
        at = (block.to(gl.int64) * 2 + GROUP) * POINTS + gl.arange(0, POINTS, layout=gl.SliceLayout(1, layout))
        inside = at < count
        x = gl.load(points + at * 3, mask=inside, other=0.0)
        y = gl.load(points + at * 3 + 1, mask=inside, other=0.0)
        z = gl.load(points + at * 3 + 2, mask=inside, other=0.0)
        features = ()
        for part in gl.static_range(PARTS):
            row = first + part * OUTPUTS + columns
            angle = x[:, None] * gl.load(row)[None, :] + gl.load(row + 3 * WIDTH)[None, :]
            angle += y[:, None] * gl.load(row + WIDTH)[None, :]
            angle += z[:, None] * gl.load(row + 2 * WIDTH)[None, :]
            features = features + (_factor(angle, layout, kind),)  # noqa: RUF005 - Triton has no stars
        for layer in range(LAYERS - 1):
            features = _layer(features, biases + layer * WIDTH, done, buffers, full, empty, turn, others_turn, GROUP,
                              OUTPUTS, PARTS, SLOTS, POINTS, layout, kind)
            done += 1
        gl.store(density + at, _output(features, outputs, output_biases, OUTPUTS, PARTS, layout), mask=inside)
        if COLOUR:
            features = _layer(features, biases + (LAYERS - 1) * WIDTH, done, buffers, full, empty, turn, others_turn,
                              GROUP, OUTPUTS, PARTS, SLOTS, POINTS, layout, kind)
            done += 1
            for channel in gl.static_range(3):
                value = _output(features, outputs + (channel + 1) * WIDTH, output_biases + channel + 1, OUTPUTS, PARTS,
                                layout)
                gl.store(colour + at * 3 + channel, 1 / (1 + gl.exp(-value)), mask=inside)


@gluon.jit
@no_type_check
def _field(points, density, colour, count, first, weights, biases, outputs, output_biases, LAYERS: gl.constexpr,
           WIDTH: gl.constexpr, COLOUR: gl.constexpr, OUTPUTS: gl.constexpr, SLOTS: gl.constexpr, POINTS: gl.constexpr,
           WARPS: gl.constexpr, REGISTERS: gl.constexpr):
    """As `fused_kernel.field_kernel`, but for `weights`: a descriptor of all hidden layers' below one another."""
    kind: gl.constexpr = weights.dtype
    DEPTH: gl.constexpr = LAYERS if COLOUR else LAYERS - 1
    blocks = gl.cdiv(count, 2 * POINTS)
    buffers = gl.allocate_shared_memory(kind, [SLOTS, OUTPUTS, WIDTH], weights.layout)
    full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    turns = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(SLOTS):
        mbarrier.init(full.index(slot), 1)
        mbarrier.init(empty.index(slot), 2)  # both groups have to be done with it
    for group in gl.static_range(2):
        mbarrier.init(turns.index(group), 1)
    fence_async_shared()
    gl.thread_barrier()
    gl.warp_specialize([
        (_compute, (points, density, colour, count, first, biases, outputs, output_biases, buffers, full, empty,
                    turns.index(0), turns.index(1), blocks, 0, LAYERS, WIDTH, COLOUR, OUTPUTS, SLOTS, POINTS, WARPS,
                    kind)),
        (_compute, (points, density, colour, count, first, biases, outputs, output_biases, buffers, full, empty,
                    turns.index(1), turns.index(0), blocks, 1, LAYERS, WIDTH, COLOUR, OUTPUTS, SLOTS, POINTS, WARPS,
                    kind)),
        (_fetch, (weights, buffers, full, empty, blocks, DEPTH, OUTPUTS, WIDTH, SLOTS)),
    ], [WARPS, 1], [REGISTERS[0], REGISTERS[1]])


def launch(points: Tensor, density: Tensor, colour: Tensor | None, weights: tuple[Tensor, ...]) -> None:
    """As `fused_kernel.launch` without `split`.

    Raises:
        ValueError: a width that does not fit.
    """
    first, hidden, *others = weights
    layers, width = hidden.shape[0], hidden.shape[-1]
    if not fits(width):
        raise ValueError(f"the kernel for Hopper takes fields of width {OUTPUTS} or {2 * OUTPUTS}, got {width}")
    layout = gl.NVMMASharedLayout(128, 16, rank=2)
    rows = TensorDescriptor.from_tensor(hidden.view(-1, width), [OUTPUTS, width], layout)
    slots = CHIP // (2 * OUTPUTS * width)
    blocks = -(-len(points) // BLOCK)
    kernel: Any = _field[(min(blocks, _processors(points.device)),)]
    with torch.cuda.device(points.device):
        kernel(points, density, density if colour is None else colour, len(points), first, rows, *others,
               LAYERS=layers, WIDTH=width, COLOUR=colour is not None, OUTPUTS=OUTPUTS, SLOTS=slots, POINTS=POINTS,
               WARPS=WARPS, REGISTERS=REGISTERS, num_warps=WARPS)


@functools.cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
