"""Ranger: rectified Adam, lookahead and gradient centralisation in one optimiser.

RAdam: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020. Lookahead: Zhang et al.,
"Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019. Gradient centralisation: Yong et al., ECCV 2020. The
combination, its defaults and the layout of its state are those of Less Wright's Ranger, so that its checkpoints load.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

BUFFERS = ("exp_avg", "exp_avg_sq", "slow_buffer")
# Elements a multi-tensor step takes at a time. On a CPU the dozen passes over them should find them in its cache; on a
# GPU few launches matter, and temporaries stay bounded whatever the model's size.
CHUNK_ELEMENTS = {"cpu": 1 << 17, "cuda": 1 << 25}


class Ranger(Optimizer):
    """Gradients (`p.grad`) are only read. The state of a parameter is step (int), exp_avg, exp_avg_sq and slow_buffer.

    Args:
        params: parameters or parameter groups.
        lr: learning rate, > 0.
        alpha: lookahead: how far the slow weights go towards the fast ones, in (0, 1].
        k: lookahead: the slow weights move every k steps.
        N_sma_threshhold: below this length of the approximated moving average, steps are not divided by the second
            moment (the name is part of the state dict's layout).
        betas: decay of the first and second moment.
        eps: added to the square root of the second moment.
        weight_decay: decoupled, times lr.
        use_gc: subtract from every gradient with more than one dimension its mean over all dimensions but the first.
        gc_conv_only: only where the gradient has more than three dimensions.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, alpha: float = 0.5, k: int = 6,
                 N_sma_threshhold: float = 5, betas: tuple[float, float] = (0.95, 0.999), eps: float = 1e-5,
                 weight_decay: float = 0, use_gc: bool = True, gc_conv_only: bool = False):
        if not (0 < alpha <= 1 and k >= 1 and lr > 0 and eps > 0):
            raise ValueError(f"alpha {alpha} must be in (0, 1], k {k} at least 1, lr {lr} and eps {eps} above 0")
        self.use_gc = use_gc
        self.gc_dimensions = 4 if gc_conv_only else 2
        # step_counter is never counted; it is there because official state dicts have it
        defaults = {"lr": lr, "alpha": alpha, "k": k, "step_counter": 0, "betas": betas,
                    "N_sma_threshhold": N_sma_threshhold, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the gradients that are there; parameters without one stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_step: dict[tuple[int, torch.device], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_step[self._count(parameter), parameter.device].append((parameter, parameter.grad))
            for (step, device), pairs in by_step.items():
                rows = ((p, gradient, *(self.state[p][name] for name in BUFFERS)) for p, gradient in pairs)
                for chunk in _chunks(rows, CHUNK_ELEMENTS.get(device.type, CHUNK_ELEMENTS["cuda"])):
                    self._update(*zip(*chunk), group=group, step=step)
        return loss

    def _count(self, parameter: Tensor) -> int:
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter),
                      "slow_buffer": parameter.detach().clone()}
        state["step"] = int(state["step"]) + 1
        return state["step"]

    def _update(self, parameters: tuple[Tensor, ...], gradients: tuple[Tensor, ...], first: tuple[Tensor, ...],
                second: tuple[Tensor, ...], slow: tuple[Tensor, ...], group: dict[str, Any], step: int) -> None:
        beta1, beta2 = group["betas"]
        gradients = self._centralised(gradients)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, value=1 - beta2)
        torch._foreach_lerp_(first, gradients, 1 - beta1)

        if group["weight_decay"] != 0:
            torch._foreach_mul_(parameters, 1 - group["weight_decay"] * group["lr"])
        size, rectified = step_size(step, beta1, beta2, group["N_sma_threshhold"])
        if rectified:
            denominators = torch._foreach_sqrt(second)
            torch._foreach_add_(denominators, group["eps"])
            torch._foreach_addcdiv_(parameters, first, denominators, value=-size * group["lr"])
        else:
            torch._foreach_add_(parameters, first, alpha=-size * group["lr"])

        if step % group["k"] == 0:
            torch._foreach_add_(slow, torch._foreach_sub(parameters, slow), alpha=group["alpha"])
            torch._foreach_copy_(parameters, slow)

    def _centralised(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """On a GPU the rows of equally long ones together: what takes its time there is the number of operations."""
        chosen = [i for i, g in enumerate(gradients) if self.use_gc and g.dim() >= self.gc_dimensions]
        result = list(gradients)
        if gradients[0].device.type == "cpu":
            for i in chosen:
                g = gradients[i]
                result[i] = g - g.mean(dim=tuple(range(1, g.dim())), keepdim=True)
            return tuple(result)
        by_length: dict[tuple[int, torch.dtype], list[int]] = defaultdict(list)
        for i in chosen:
            by_length[gradients[i][0].numel(), gradients[i].dtype].append(i)
        for members in by_length.values():
            rows = torch.cat([gradients[i].flatten(1) for i in members])
            rows -= rows.mean(1, keepdim=True)
            for i, part in zip(members, rows.split([len(gradients[i]) for i in members]), strict=True):
                result[i] = part.view(gradients[i].shape)
        return tuple(result)


def step_size(step: int, beta1: float, beta2: float, threshold: float) -> tuple[float, bool]:
    """RAdam's step length (a factor of the learning rate), and whether the second moment is to be trusted yet.

    The formula is that of the RAdam paper, with the bias correction of the first moment included.
    """
    bias1 = 1 - beta1**step
    bias2 = 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / bias2
    if length <= threshold:
        return 1 / bias1, False
    rectification = (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
    return math.sqrt(bias2 * rectification) / bias1, True


def _chunks(rows: Iterable[tuple[Tensor, ...]], elements: int) -> Iterator[list[tuple[Tensor, ...]]]:
    """Groups of rows of equally shaped tensors (a parameter, its gradient, its buffers), at most `elements` numbers.

    Larger tensors are cut along their first dimension, across which nothing in this optimiser couples.
    """
    chunk: list[tuple[Tensor, ...]] = []
    size = 0
    for row in rows:
        pieces = [row]
        if row[0].numel() > elements and row[0].dim() > 0:
            length = max(1, elements * len(row[0]) // row[0].numel())
            pieces = zip(*(tensor.split(length) for tensor in row))
        for piece in pieces:
            if chunk and size + piece[0].numel() > elements:
                yield chunk
                chunk, size = [], 0
            chunk.append(piece)
            size += piece[0].numel()
    if chunk:
        yield chunk
