"""Networks of a training step as CUDA graphs: one launch each way instead of hundreds.

With small batches a step takes as long as the processor needs to launch its kernels. `use_graphs` records those of
encoder, LPIPS and discriminator once, and every step plays them again, with the same numbers. Gradients of weights are
then views of memory that the next backward pass overwrites, so steps that accumulate gradients do without, and so do
several processes, whose gradients are sent from buckets.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.step import PatchGenerator, TrainStep


def use_graphs(step: TrainStep, batch_size: int, resolutions: Collection[int]) -> None:
    """Make a step, in one process on a CUDA device, play graphs wherever its tensors have the expected sizes.

    Record them before other threads use the device. The weights are to stay where they are in memory; while they are
    elsewhere, everything is computed in the ordinary way.

    Args:
        resolutions: rays along each side of the patch; a discriminator knows one.
    """
    generator = step.generator
    assert isinstance(generator, PatchGenerator)
    net, config, layers = step.net, step.net.config, step.net.encoder.drop_path_layers
    device = net.latent_avg.frequencies.device
    masks = torch.zeros(batch_size, config.input_nc, config.input_size, config.input_size, device=device)
    drop_paths = [torch.rand(batch_size, layers, device=device)] if layers else []
    generator.encode = graphed("the encoder", generator.encode, [masks, *drop_paths], [net.encoder])
    if not step.weights.needs_rendering:
        return

    def patch(size: int, learns: bool) -> Tensor:  # laid out as colours of rays are
        rays = torch.rand(batch_size, size**2, 3, device=device) * 2 - 1
        return rays.transpose(1, 2).unflatten(2, (size, size)).requires_grad_(learns)

    for size in resolutions:
        if step.perceptual is not None:
            step.perceptual = graphed("LPIPS", step.perceptual, [patch(size, True), patch(size, False).contiguous()])
        judge, losses = step.discriminator, step.discriminator_pass
        if not isinstance(judge, nn.Module) or losses is None:
            continue
        condition = [masks.new_zeros(*masks.shape[:2], size, size)] if step.conditional else []
        step.discriminator_pass = graphed("the discriminator's loss", losses, [
            patch(size, False).contiguous(), patch(size, False), *condition], [judge])
        judge.requires_grad_(False)  # as it is while the generator learns from it
        step.discriminator = graphed("the discriminator", judge, [patch(size, True), *map(torch.clone, condition)],
                                     [judge])
        judge.requires_grad_(True)


def graphed(name: str, function: Callable[..., Any], inputs: Sequence[Tensor], modules: Sequence[nn.Module] = ()
            ) -> Callable[..., Any]:
    """`function`, of tensors and to one or several, as CUDA graphs wherever it is called as it was recorded.

    That is: with gradients, with arguments like `inputs` in shape, type and whether they require a gradient, and with
    its modules in the same mode and their weights at the same places. If recording fails, a warning of one line says
    so, and `function` is returned.

    Args:
        name: for that line.
        inputs: in the layout that is to be expected; further arguments may be left out or None.
        modules: everything with weights or buffers in it. Buffers are left as they were.
    """
    whole = _Whole(function, modules)
    before = [buffer.clone() for buffer in whole.buffers()]
    try:
        with torch.cuda.device(inputs[0].device):
            play: Callable[..., Any] = torch.cuda.make_graphed_callables(whole, tuple(inputs), allow_unused_input=True)
    except Exception as error:  # whatever CUDA, cuDNN or a driver may say
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"{name} cannot be recorded as a CUDA graph ({reason}); it is computed in the ordinary way",
                      stacklevel=2)
        return function
    finally:
        with torch.no_grad():
            for buffer, value in zip(whole.buffers(), before, strict=True):
                buffer.copy_(value)
    # gradients come from the stream of the step, not from that of the recording; autograd waits, as it should
    if hasattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch"):
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    tensors, recorded = [*whole.parameters(), *whole.buffers()], _looks(inputs)
    state = _state(tensors, modules)

    def replayed(*arguments: Tensor | None) -> Any:
        given = [argument for argument in arguments if argument is not None]
        if not torch.is_grad_enabled() or _looks(given) != recorded or _state(tensors, modules) != state:
            return function(*arguments)
        out = play(*given)  # in memory that the next time overwrites
        return out.clone() if isinstance(out, Tensor) else tuple(value.clone() for value in out)

    return replayed


class _Whole(nn.Module):
    """A function and the modules in it, whose mode it does not change."""

    def __init__(self, function: Callable[..., Any], modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.function, self.parts = (function,), nn.ModuleList(modules)  # in a tuple: not as one more part

    def forward(self, *inputs: Tensor) -> Any:
        return self.function[0](*inputs)


def _looks(tensors: Sequence[Tensor]) -> list[tuple[Any, ...]]:
    return [(tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in tensors]


def _state(tensors: Sequence[Tensor], modules: Sequence[nn.Module]) -> list[tuple[Any, ...]]:
    return [*((tensor.data_ptr(), tensor.requires_grad) for tensor in tensors),
            *((module.training,) for module in modules)]
