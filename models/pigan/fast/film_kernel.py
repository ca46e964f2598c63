"""What a FiLM layer does to each of its numbers, forward and backward, in one GPU kernel each, in Triton.

With PyTorch's operations the backward pass of a layer goes through the features of all points eleven times, which takes
longer than its products; here it reads two tensors and writes one.

(`no_type_check` keeps the shape checks of the tests away from functions that Triton reads as source.)

This file needs Triton. `models.pigan.fast.film` decides when it is used.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.pigan.fast.hardware_sine import cosine_of, sine_of

TILE = 4096  # numbers that a program works on at a time
PROGRAMS = 1024  # most of them in the backward pass; each writes sums of its own


@triton.jit(do_not_specialize=["count"])
@no_type_check
def sine_kernel(z, frequency, phase, out, count, width, WIDTH: tl.constexpr, ROWS: tl.constexpr,
                HARDWARE: tl.constexpr):
    """out = sin(frequency * z + phase) of (count, width) numbers; WIDTH is a power of two."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDTH)
    at = rows[:, None] * width + columns[None, :]
    inside = (rows < count)[:, None] & (columns < width)[None, :]
    f = tl.load(frequency + columns, columns < width, 0.0)[None, :]
    p = tl.load(phase + columns, columns < width, 0.0)[None, :]
    angle = f * tl.load(z + at, inside, 0.0) + p
    tl.store(out + at, sine_of(angle, True, HARDWARE).to(out.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["count"])
@no_type_check
def gradient_kernel(z, grad_x, frequency, phase, out, sums, count, width, WIDTH: tl.constexpr, ROWS: tl.constexpr,
                    HARDWARE: tl.constexpr):
    """out = cos(frequency * z + phase) * grad_x, the gradient of the angle; and for each program the sums over its rows
    of that times z, and of that: (programs, 2, width)."""
    columns = tl.arange(0, WIDTH)
    known = columns < width
    f = tl.load(frequency + columns, known, 0.0)[None, :]
    p = tl.load(phase + columns, known, 0.0)[None, :]
    grad_f = tl.zeros([ROWS, WIDTH], tl.float32)
    grad_p = tl.zeros([ROWS, WIDTH], tl.float32)
    for first in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        rows = first + tl.arange(0, ROWS)
        at = rows.to(tl.int64)[:, None] * width + columns[None, :]
        inside = (rows < count)[:, None] & known[None, :]
        value = tl.load(z + at, inside, 0.0)
        angle = f * value + p
        gradient = cosine_of(angle, HARDWARE) * tl.load(grad_x + at, inside, 0.0)
        tl.store(out + at, gradient.to(out.dtype.element_ty), inside)
        grad_f += gradient * value
        grad_p += gradient
    at = sums + tl.program_id(0) * 2 * width + columns
    tl.store(at, tl.sum(grad_f, 0), known)
    tl.store(at + width, tl.sum(grad_p, 0), known)


def sine(z: Tensor, frequency: Tensor, phase: Tensor, kind: torch.dtype) -> Tensor:
    """See `models.pigan.fast.film.sine`."""
    out = torch.empty_like(z, dtype=kind)
    padded, rows = _sizes(z)
    with torch.cuda.device(z.device if z.is_cuda else -1):  # Triton launches on the current one
        sine_kernel[(triton.cdiv(len(z), rows),)](z, frequency, phase, out, len(z), z.shape[1], WIDTH=padded, ROWS=rows,
                                                  HARDWARE=z.is_cuda)
    return out


def gradient(z: Tensor, grad_x: Tensor, frequency: Tensor, phase: Tensor, sums: Tensor, kind: torch.dtype) -> Tensor:
    """See `models.pigan.fast.film.gradient`."""
    out = torch.empty_like(z, dtype=kind)
    padded, rows = _sizes(z)
    programs = min(triton.cdiv(len(z), rows), PROGRAMS)
    parts = z.new_empty(programs, 2, z.shape[1])
    with torch.cuda.device(z.device if z.is_cuda else -1):
        gradient_kernel[(programs,)](z, grad_x, frequency, phase, out, parts, len(z), z.shape[1], WIDTH=padded,
                                     ROWS=rows, HARDWARE=z.is_cuda)
    torch.sum(parts, 0, out=sums)
    return out


def _sizes(z: Tensor) -> tuple[int, int]:
    """Columns and rows of a tile: powers of two."""
    padded = max(16, 1 << (z.shape[1] - 1).bit_length())
    return padded, max(1, TILE // padded)
