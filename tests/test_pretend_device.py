"""The device made of Python itself: it refuses and counts what a GPU would refuse and wait for."""

import pretend_device
import pytest
import torch
from torch import nn
from torch.utils import backend_registration


def test_values_and_gradients_are_those_of_the_cpu(pretend):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    x = torch.rand(2, 3, 5, 5)
    expected = net(x)
    expected.square().sum().backward()
    gradients = [parameter.grad for parameter in net.parameters()]
    net.zero_grad()
    net.to(pretend.device)
    found = net(x.to(pretend.device))
    assert found.device == pretend.device
    found.square().sum().backward()
    torch.testing.assert_close(found.cpu(), expected)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        assert parameter.device == pretend.device
        torch.testing.assert_close(parameter.grad.cpu(), gradient)


def test_autocast(pretend):
    net, x = nn.Linear(2, 2).to(pretend.device), torch.rand(3, 2, device=pretend.device)
    with torch.autocast(pretend.device.type, torch.bfloat16):
        half = net(x)
        assert (half.dtype, half.softmax(1).dtype, (x + 1).dtype) == (torch.bfloat16, torch.float32, torch.float32)
        half.sum().backward()
    assert 0 < (half - net(x)).abs().max() < 0.02
    assert net.weight.grad.dtype == torch.float32


def test_a_weight_can_be_exchanged(pretend):
    net = nn.Linear(2, 1, bias=False).to(pretend.device)
    before, other = net.weight.detach().clone(), torch.ones(1, 2, device=pretend.device)
    net.weight.data, other = other, net.weight.data
    assert net.weight.cpu().tolist() == [[1, 1]]
    assert torch.equal(other, before)
    net(torch.ones(1, 2, device=pretend.device)).backward()
    assert net.weight.grad.cpu().tolist() == [[1, 1]]


def test_devices_do_not_mix(pretend):
    x = torch.ones(3, device=pretend.device)
    with pytest.raises(RuntimeError, match="a CPU tensor of shape"):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match="a CPU tensor of shape"):
        torch.ones(3).scatter_add_(0, torch.arange(3), x)
    assert (x + torch.tensor(1.0)).cpu().tolist() == [2, 2, 2]  # a single number may come from the CPU
    assert x[torch.tensor([0, 2])].shape == (2,)  # and indices


def test_what_has_no_counterpart_on_a_gpu_is_refused(pretend):
    x = torch.ones(2, 3, device=pretend.device)
    with pytest.raises(RuntimeError, match="for the CPU alone"):
        torch.ops.mkldnn._linear_pointwise(x, x, None, "none", [], "")
    with pytest.raises((RuntimeError, TypeError)):
        x.numpy()


@pytest.mark.parametrize("waits, operation", [
    (1, lambda x: x.sum().item()), (1, lambda x: bool((x > 0).any())), (1, lambda x: x.tolist()),
    (1, lambda x: x.nonzero()), (1, lambda x: x[x > 0]), (1, lambda x: x.unique()), (1, lambda x: x.cpu()),
    (1, lambda x: torch.masked_select(x, x > 0)), (1, lambda x: torch.tensor([1.0], device=x.device)),
    (1, lambda x: torch.ones(2).to(x.device)), (1, lambda x: x.repeat_interleave(x.long())),
    (1, lambda x: torch.equal(x, x)),
    (0, lambda x: torch.ones(2).to(x.device, non_blocking=True)), (0, lambda x: x[torch.arange(2)]),
    (0, lambda x: torch.where(x > 0, x, 0)), (0, lambda x: x.masked_fill(x > 0, 2)), (0, lambda x: x.sort()),
    (0, lambda x: torch.arange(3, device=x.device)), (0, lambda x: x.index_select(0, x.argsort()))])
def test_waits_are_counted(pretend, waits, operation):
    x = torch.rand(4, device=pretend.device)
    with pretend.counting() as counted:
        operation(x)
    assert sum(counted.values()) == waits, counted


def test_beside_a_real_gpu_it_is_never_registered(monkeypatch):
    """Autograd and pinned memory of CUDA fail in a process that has another such device."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backend_registration, "_setup_privateuseone_for_python_backend", pytest.fail, raising=False)
    monkeypatch.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "privateuseone")
    pretend_device.enable()
    assert "real GPU" in pretend_device.why_not()
