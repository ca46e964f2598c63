"""The few operations that rendering and training spend their time in, and how many points to give them at a time."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

CPU_BLOCKS = (1024, 2048, 4096, 8192)  # points
GPU_BLOCK, LEAST_GPU_BLOCK = 1 << 22, 1 << 16
GPU_BLOCK_MEMORY = 0.25  # of what is free: most that the features of a block may take
BYTES_PER_FEATURE = 12  # in float32: what goes into a layer and what comes out, and a copy in another type
CALIBRATION_ROUNDS = 3
ROWS = 256
UNIT_RADII: Any = None  # for OpenCV: none are radii of 1, which its types do not know


def affine(x: Float[Tensor, "points inputs"], weight: Float[Tensor, "outputs inputs"],
           bias: Float[Tensor, " outputs"] | None = None) -> Float[Tensor, "points outputs"]:
    """x weight^T + bias, without gradients.

    PyTorch hands matrix products to MKL, which does not use the wide vector units of AMD's processors. oneDNN, a part
    of PyTorch as well, uses them (on an EPYC of 2024 it is 2.2 times as fast), but PyTorch calls it only for
    convolutions and compiled models. So it is called directly where that works.

    Weights in bfloat16 or half precision are multiplied with float32 features rounded to it; sums, bias and result stay
    in float32, since the sine of a large argument needs its digits.
    """
    if weight.dtype.itemsize == 2:
        x = x.to(weight.dtype)
        if x.device.type == "cuda":
            product = torch.mm(x, weight.t(), out_dtype=torch.float32)
            return product if bias is None else product.add_(bias)
        return F.linear(x.float(), weight.float(), bias)
    if x.device.type == "cpu" and x.dtype == torch.float32 and _has_onednn():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def whole_rows(x: Shaped[Tensor, "points ..."]) -> Shaped[Tensor, "padded ..."]:
    """Zeros behind the rows up to a multiple of ROWS, on a CPU: oneDNN compiles a product for every number of rows that
    it meets and keeps it. When each block had another number of rows, that took a third of the time and 400 MB."""
    missing = -len(x) % ROWS if x.device.type == "cpu" else 0
    return F.pad(x, (0,) * (2 * x.dim() - 1) + (missing,)) if missing else x


def sine_(x: Float[Tensor, "points width"]) -> Float[Tensor, "points width"]:
    """Sine in place. NumPy's is vectorised on every processor (2.6 times as fast there), errors stay below 1e-7."""
    if x.device.type != "cpu":
        return x.sin_()
    values = x.numpy()
    np.sin(values, out=values)
    return x


@functools.cache
def quick_sine_() -> Callable[[Tensor], Tensor]:
    """The fastest sine in place on this CPU, found once per process by timing: `sine_` or OpenCV's.

    Since version 5 that takes half the time of NumPy's on processors with AVX2 alone, before it took twice the time.
    Errors stay below 3e-7; last digits are not those of `sine_`.
    """
    x = torch.linspace(-30, 30, 1 << 17).reshape(1024, 128)

    def seconds(sine: Callable[[Tensor], Tensor]) -> float:
        values = x.clone()
        start = time.perf_counter()
        sine(values)
        return time.perf_counter() - start

    rounds = [(seconds(sine_), seconds(_opencv_sine_)) for _ in range(CALIBRATION_ROUNDS + 1)]
    ours, theirs = (min(times) for times in zip(*rounds[1:], strict=True))
    return _opencv_sine_ if theirs < ours else sine_


def _opencv_sine_(x: Float[Tensor, "points width"]) -> Float[Tensor, "points width"]:
    values = x.numpy()
    cv2.polarToCart(UNIT_RADII, values, None, values)
    return x


def cosine_(x: Float[Tensor, "points width"]) -> Float[Tensor, "points width"]:
    """Cosine in place, as `sine_`."""
    if x.device.type != "cpu":
        return x.cos_()
    values = x.numpy()
    np.cos(values, out=values)
    return x


@functools.cache
def block_size(device: torch.device, width: int) -> int:
    """Points to evaluate at a time, found once per process: on a CPU by timing a layer, on a GPU from its free memory.

    Images do not depend on it.
    """
    if device.type != "cpu":
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        fits = int(free * GPU_BLOCK_MEMORY) // (BYTES_PER_FEATURE * width)
        return min(max(fits, LEAST_GPU_BLOCK), GPU_BLOCK)
    weight, bias = torch.rand(width, width), torch.rand(width)
    features = {block: torch.rand(block, width) for block in CPU_BLOCKS}

    def seconds_per_point(block: int) -> float:
        start = time.perf_counter()
        sine_(affine(features[block], weight, bias))
        return (time.perf_counter() - start) / block

    rounds = [[seconds_per_point(block) for block in CPU_BLOCKS] for _ in range(CALIBRATION_ROUNDS + 1)]
    best = [min(times) for times in zip(*rounds[1:], strict=True)]
    return CPU_BLOCKS[best.index(min(best))]


@contextlib.contextmanager
def multiplying_in(precision: str) -> Iterator[torch.dtype | None]:
    """While inside, products of float32 matrices on a GPU are of this precision.

    Args:
        precision: `fp32`, `tf32` (factors rounded to ten binary digits), or `bf16` (to seven); sums stay in float32.

    Yields:
        the type that weights need to have for that; None: their own.
    """
    before = torch.get_float32_matmul_precision()
    if precision == "tf32":
        torch.set_float32_matmul_precision("high")
    try:
        yield torch.bfloat16 if precision == "bf16" else None
    finally:
        if precision == "tf32":
            torch.set_float32_matmul_precision(before)


@functools.lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
            ) -> Float[Tensor, " values"]:
    """These numbers on a device, without waiting for it. Kept for the next call: do not change them in place."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def to_cpu(value: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """A copy on the CPU, once it is there. From a GPU it goes to pinned memory, which is several times as fast."""
    if not value.is_cuda:
        return value.cpu()
    copy = value.to("cpu", non_blocking=True)
    torch.cuda.current_stream(value.device).synchronize()
    return copy


@functools.cache
def multiplies(device: torch.device, kind: torch.dtype) -> bool:
    """Whether `affine` can multiply in this type there: always in float32; in bfloat16 only GPUs of compute capability
    8 or more."""
    if kind == torch.float32:
        return True
    if device.type != "cuda" or (kind == torch.bfloat16 and torch.cuda.get_device_capability(device) < (8, 0)):
        return False
    x = torch.zeros(16, 16, device=device, dtype=kind)
    try:
        torch.mm(x, x, out_dtype=torch.float32)
    except (RuntimeError, TypeError):
        return False
    return True


def has_triton() -> bool:
    """It comes with PyTorch for CUDA."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


def problem_of(trial: Callable[[], float], bound: float) -> str | None:
    """What is wrong with a kernel, in a few words: its trial fails, or gives an error of `bound` or more."""
    try:
        error = trial()
    except Exception as failure:  # Triton raises many kinds, and none is worth losing the image
        return (str(failure).strip() or type(failure).__name__).splitlines()[0]
    return None if error < bound else f"it is off by {error:.2g}"


@functools.cache
def _has_onednn() -> bool:
    """Tried once: the operation is private to PyTorch, and its arguments may change."""
    try:
        product = torch.ops.mkldnn._linear_pointwise(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4), "none", [], "")
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return torch.backends.mkldnn.is_available() and torch.equal(product, torch.full((2, 4), 4.0))
