"""Sine and cosine by a GPU's special function unit, for Triton's kernels.

It takes any angle, but its error grows with the angle: below 5e-7 within half a turn around zero, 4e-5 at fifty turns.
With REDUCE whole turns are taken away before. Without HARDWARE (in Triton's interpreter) they are those of the host.

(`no_type_check` keeps the shape checks of the tests away from functions that Triton reads as source.)
"""

from typing import no_type_check

import triton
import triton.language as tl

ROUND = tl.constexpr(12582912.0)  # 1.5 * 2^23: adding it to a float32 below 2^22 and taking it away again rounds
TURNS = tl.constexpr(0.15915494309189535)  # per radian
# 2 pi in two parts, the first of few digits, so that whole turns are taken away without an error
TURN, TURN_REST = tl.constexpr(6.28125), tl.constexpr(0.0019353071795864769)


@triton.jit
@no_type_check
def _within_a_turn(angle):
    turns = (angle * TURNS + ROUND) - ROUND
    return (angle - turns * TURN) - turns * TURN_REST


@triton.jit
@no_type_check
def sine_of(angle, REDUCE: tl.constexpr, HARDWARE: tl.constexpr):
    """sin(angle), in radians."""
    if not HARDWARE:
        return tl.sin(angle)
    if REDUCE:
        angle = _within_a_turn(angle)
    return tl.inline_asm_elementwise("sin.approx.ftz.f32 $0, $1;", "=f,f", [angle], dtype=tl.float32, is_pure=True,
                                     pack=1)


@triton.jit
@no_type_check
def cosine_of(angle, HARDWARE: tl.constexpr):
    """cos(angle), in radians; whole turns are taken away."""
    if not HARDWARE:
        return tl.cos(angle)
    return tl.inline_asm_elementwise("cos.approx.ftz.f32 $0, $1;", "=f,f", [_within_a_turn(angle)], dtype=tl.float32,
                                     is_pure=True, pack=1)
