"""The part of a FiLM layer that is no product, without autograd: sin(frequency * z + phase), and its gradient.

On a GPU it is one kernel each, where Triton is there; elsewhere PyTorch's operations. Numbers are float32 or float64,
and what goes into the next product is of the product's own type.
"""

import functools
import warnings
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.fast.kernels import cosine_, has_triton, problem_of, sine_


def sine(z: Float[Tensor, "points width"], frequency: Float[Tensor, " width"], phase: Float[Tensor, " width"],
         kind: torch.dtype) -> Float[Tensor, "points width"]:
    """sin(frequency * z + phase), of type `kind`."""
    if kernels := _kernels(z):
        return kernels.sine(z, frequency, phase, kind)
    return sine_(torch.addcmul(phase, frequency, z)).to(kind)


def gradient(z: Float[Tensor, "points width"], grad_x: Float[Tensor, "points width"],
             frequency: Float[Tensor, " width"], phase: Float[Tensor, " width"], sums: Float[Tensor, "2 width"],
             kind: torch.dtype) -> Float[Tensor, "points width"]:
    """From the gradient of the sine that of its angle, d = cos(frequency * z + phase) * grad_x, of type `kind`.

    Args:
        z: its values are lost.
        sums: to be filled with the gradients of frequency and phase, the sums over the points of d z and of d.
    """
    if kernels := _kernels(z):
        return kernels.gradient(z, grad_x, frequency, phase, sums, kind)
    grad = cosine_(torch.addcmul(phase, frequency, z)).mul_(grad_x)
    torch.sum(grad, 0, out=sums[1])
    torch.sum(z.mul_(grad), 0, out=sums[0])
    return grad.to(kind)


def _kernels(z: Tensor) -> ModuleType | None:
    return _kernels_on(z.device) if z.is_cuda and z.dtype == torch.float32 else None


@functools.cache
def _kernels_on(device: torch.device) -> ModuleType | None:
    """Tried once per device: Triton may be missing, or without a C compiler."""
    if not has_triton():
        return None
    from models.pigan.fast import film_kernel

    z, grad_x = torch.linspace(-3, 3, 2 * 70 * 24, device=device).reshape(2, 70, 24)
    frequency, phase = torch.linspace(-40, 40, 48, device=device).reshape(2, 24)
    angle = torch.addcmul(phase, frequency, z)

    def trial() -> float:
        error = (film_kernel.sine(z, frequency, phase, torch.float32) - angle.sin()).abs().max()
        grad = film_kernel.gradient(z, grad_x, frequency, phase, z.new_empty(2, 24), torch.float32)
        return error.maximum((grad - angle.cos() * grad_x).abs().max()).item()

    if reason := problem_of(trial, 1e-4):
        warnings.warn(f"the kernels of FiLM layers do not run on {device} ({reason}); PyTorch's operations are used "
                      "instead", stacklevel=2)
    return None if reason else film_kernel
