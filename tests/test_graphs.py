"""CUDA graphs of a training step: when they are played, and that nothing else changes. The recording is played by hand:
test_gpu_graphs.py has the real one."""

import contextlib

import pytest
import torch
from test_criteria import random_backbone
from test_step_on_device import trained
from tiny_training import make_all
from torch import nn
from torch.nn.utils import spectral_norm

from training.graphs import graphed, use_graphs
from training.objectives import sem2nerf


@pytest.fixture
def played(monkeypatch):
    """Arguments of every call that plays a recording; as CUDA's, one warms up and overwrites its results."""
    calls = []

    def record(whole, inputs, allow_unused_input):
        for _ in range(3):
            out = whole(*inputs)

        def play(*given):
            nonlocal out
            calls.append(given)
            out = whole(*given)
            return out

        return play

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    return calls


def test_when_it_is_played(played):
    net = nn.Sequential(spectral_norm(nn.Linear(3, 2)), nn.Dropout(0.0)).train()
    before = [buffer.clone() for buffer in net.buffers()]
    x = torch.rand(4, 3)
    function = graphed("a network", net, [x], [net])
    assert all(map(torch.equal, net.buffers(), before)), "trying it out has changed the spectral norm"

    def plays(*arguments):
        played.clear()
        assert function(*arguments).shape == (len(arguments[0]), 2)
        return bool(played)

    assert plays(torch.rand(4, 3))
    assert not plays(torch.rand(2, 3)), "another batch size"
    assert not plays(torch.rand(4, 3, requires_grad=True))
    with torch.no_grad():
        assert not plays(x)
    net.eval()
    assert not plays(x)
    net.train()[0].weight_orig.requires_grad_(False)
    assert not plays(x)
    net[0].weight_orig.requires_grad_(True)
    assert plays(x)
    other = net[0].bias.detach().clone()
    kept, net[0].bias.data = net[0].bias.data, other
    assert not plays(x), "a weight is elsewhere"
    net[0].bias.data = kept
    assert plays(x)


def test_what_cannot_be_recorded_is_computed(played, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    net = nn.Linear(3, 2)
    with pytest.warns(UserWarning, match=r"^LPIPS cannot be .*\(CUDA error: operation not permitted\); it is .* way$"):
        assert graphed("LPIPS", net, [torch.rand(4, 3)], [net]) is net


@pytest.mark.parametrize("way", [["--train_rand_pose_prob=0"], ["--use_cond_dis"]], ids=["own poses", "extreme"])
def test_a_step_plays_its_networks(played, tmp_path, monkeypatch, way):
    """The same weights bit for bit, and four recordings a step: encoder, LPIPS, and twice the discriminator. A step
    with extreme poses has fewer samples for LPIPS, or none."""
    backbone = tmp_path / "alexnet.pth"
    torch.save(random_backbone(), backbone)
    options = [*make_all(tmp_path / "tiny"), "--lpips_lambda=0.8", f"--lpips_weights={backbone}", *way]
    plain, _ = trained(options, tmp_path / "plain", torch.device("cpu"), 3)
    build_step = sem2nerf.Sem2NeRFObjective._build_step

    def build(objective):
        step = build_step(objective)
        use_graphs(step, objective.opts.batch_size, {objective.stages[0].resolution_vol})
        return step

    monkeypatch.setattr(sem2nerf.Sem2NeRFObjective, "_build_step", build)
    recorded, _ = trained(options, tmp_path / "recorded", torch.device("cpu"), 3)
    assert len(played) in ([12] if way == ["--train_rand_pose_prob=0"] else range(9, 12))
    for part in ("state_dict", "dis_state_dict"):
        for key, value in plain.contents()[part].items():
            assert torch.equal(recorded.contents()[part][key], value), key
