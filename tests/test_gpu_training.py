"""Steps of a training on a real GPU: the CPU's numbers, and how often the host waits. `pytest -m gpu`"""

import contextlib
import warnings
from collections import Counter

import pytest
import torch
from test_criteria import random_backbone
from test_lean_field import assert_equal, siren  # noqa: F401 - a fixture
from test_lean_rendering import WAYS_TO_RENDER, rendered
from test_step_on_device import WAYS, trained
from tiny_training import make_all

from models.pigan import render as definition
from models.pigan.fast import render as fast
from options.train_options import parse
from training.loop import TrainingLoop
from training.objectives.sem2nerf import Sem2NeRFObjective
from training.runtime.logs import RunLog
from training.runtime.processes import World

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    """PyTorch lets cuDNN round the factors of convolutions to TF32 unless it is told otherwise; that it adds in a fixed
    order is what a training asks for."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("tiny"))


@WAYS_TO_RENDER
def test_the_lean_field(siren, hierarchical, locked, last_back, clamp):  # noqa: F811
    """In float64 the image and the gradients of the definition on the CPU."""
    way = (hierarchical, locked, last_back, clamp)
    expected = rendered(siren, definition.render_rays, *way)
    for block in (None, 11):
        result = rendered(siren, fast.render_rays, *way, GPU, sample_chunk=block)
        assert_equal([value.cpu() for value in result], expected, 1e-8)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_precisions(options, tmp_path, precision):
    """Losses of three steps beside those of a CPU, at a resolution where a field of width 16 has surfaces. What is lost
    are digits of a sine's argument: 2^-11 of it in TF32, 2^-8 in bfloat16."""
    bound = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 0.2}[precision]
    on_gpu, _ = trained([*options, f"--field_precision={precision}", "--dis_lambda=0"], tmp_path / "gpu", GPU, 3)
    on_cpu, _ = trained([*options, "--dis_lambda=0"], tmp_path / "cpu", torch.device("cpu"), 3)
    for mine, expected in zip(on_gpu.record._entries, on_cpu.record._entries, strict=True):
        assert mine.names == expected.names
        torch.testing.assert_close(mine.values.cpu(), expected.values, rtol=bound, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_step(options, tmp_path, way):
    """Losses to 1e-3 of the CPU's: sums are added in another order, and a SIREN's phases amplify last digits."""
    on_gpu, _ = trained([*options, *WAYS[way]], tmp_path / "gpu", GPU, 3)
    on_cpu, _ = trained([*options, *WAYS[way]], tmp_path / "cpu", torch.device("cpu"), 3)
    for mine, expected in zip(on_gpu.record._entries, on_cpu.record._entries, strict=True):
        assert (mine.names, mine.samples) == (expected.names, expected.samples)
        torch.testing.assert_close(mine.values.cpu(), expected.values, rtol=1e-3, atol=1e-5)


@contextlib.contextmanager
def counting():
    """Where the host waits for the GPU, and how often, by PyTorch's own count."""
    counted = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield counted
        finally:
            torch.cuda.set_sync_debug_mode("default")
    counted.update(f"{warning.filename}:{warning.lineno}" for warning in caught
                   if "called a synchronizing" in str(warning.message))


@pytest.mark.parametrize("way", WAYS)
def test_waiting(options, tmp_path, way):
    """Once per micro-batch; the first step also tries out the kernels."""
    loop, waits = trained([*options, *WAYS[way]], tmp_path, GPU, 4, counting)
    assert all(sum(counted.values()) <= loop.opts.grad_accum for counted in waits[1:]), waits


@pytest.mark.parametrize("way", [[], ["--train_rand_pose_prob=0.5"], ["--amp=bf16"], ["--use_cond_dis"]],
                         ids=["own poses", "extreme", "bf16", "conditional"])
def test_cuda_graphs(options, tmp_path, monkeypatch, way):
    """Losses and weights of four steps as without them, with a validation in between; recording warns of nothing."""
    played, replay = Counter(), torch.cuda.CUDAGraph.replay

    def counted(graph):
        played["graphs"] += 1
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    torch.save(random_backbone(), tmp_path / "alexnet.pth")
    options = [*options, "--lpips_lambda=0.8", f"--lpips_weights={tmp_path / 'alexnet.pth'}", "--ema=0.9",
               "--train_rand_pose_prob=0", *way]

    def run(graphs):
        played.clear()
        opts = parse([*options, f"--cuda_graphs={graphs}", f"--exp_dir={tmp_path / graphs}", "--board_interval=1000"])
        loop = TrainingLoop(Sem2NeRFObjective(opts, World(GPU), report=lambda text: None), World(GPU))
        log = RunLog(tmp_path / graphs, 0, 4, active=False, progress=False)
        for _ in range(4):
            loop._step(log)
            with loop._averaged():
                result = loop.objective.validate(lambda: False)
        loop.objective.close()
        return loop, result.loss

    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*cannot be recorded.*")
        mine, my_validation = run("true")
    # encoder, LPIPS, and the discriminator twice, in both directions; LPIPS where all samples have a photograph
    assert played["graphs"] in (range(24, 33) if "--train_rand_pose_prob=0.5" in way else [32])
    expected, validation = run("false")
    assert not played
    bound = 2e-2 if "--amp=bf16" in way else 1e-5
    for one, other in zip(mine.record._entries, expected.record._entries, strict=True):
        assert one.names == other.names
        torch.testing.assert_close(one.values, other.values, rtol=bound, atol=bound)
    assert my_validation == pytest.approx(validation, rel=bound)
    for part in ("state_dict", "train_state_dict", "dis_state_dict"):
        one, other = mine.contents()[part], expected.contents()[part]
        for key, value in other.items():
            torch.testing.assert_close(one[key], value, rtol=0, atol=1e-3 if "--amp=bf16" in way else 1e-5, msg=key)


def test_bfloat16_learns_alike(options, tmp_path):
    """Encoder and discriminator in bfloat16: losses near those in float32, and finite weights. The norm of the codes,
    which are still small, is off by 4 percent with a CPU's bfloat16."""
    half, _ = trained([*options, "--amp=bf16", "--field_precision=bf16"], tmp_path / "half", GPU, 4)
    full, _ = trained(options, tmp_path / "full", GPU, 4)
    for mine, expected in zip(half.record._entries, full.record._entries, strict=True):
        assert mine.values.isfinite().all()
        torch.testing.assert_close(mine.values, expected.values, rtol=0.15, atol=0.02)
