"""Ranger on a device made of Python: the CPU's steps, in few operations."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from training.ranger import Ranger


def test_on_a_gpu_it_launches_little(pretend):
    """The CPU's steps; and the number of operations depends on how many lengths rows have, not on how many weights."""
    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    shapes, names = [(5, 3), (4, 3), (2, 3, 1, 1), (7, 4), (3, 2, 2), (5,), ()] * 20, []
    values = [torch.randn(shape, generator=torch.Generator().manual_seed(k)) for k, shape in enumerate(shapes)]
    on_cpu, on_device = ([torch.nn.Parameter(value.clone().to(device)) for value in values]
                         for device in ("cpu", pretend.device))
    optimizers = Ranger(on_cpu, lr=0.1), Ranger(on_device, lr=0.1)
    for step in range(7):
        for mine, expected in zip(on_device, on_cpu, strict=True):
            expected.grad = expected.detach() * (step + 1) + 1
            mine.grad = expected.grad.to(pretend.device)
        optimizers[0].step()
        names.clear()
        with Operations():
            optimizers[1].step()
        looking = {"aten::view", "aten::split_with_sizes", "aten::select", "aten::_unsafe_view", "aten::detach"}
        assert step == 0 or sum(name not in looking for name in names) <= 20, names
    for mine, expected in zip(on_device, on_cpu, strict=True):
        torch.testing.assert_close(mine.cpu(), expected, rtol=0, atol=1e-6)
