"""Steps of a training on a real GPU: the CPU's numbers, and how often the host waits. `pytest -m gpu`"""

import contextlib
import warnings
from collections import Counter

import pytest
import torch
from test_lean_field import assert_equal, siren  # noqa: F401 - a fixture
from test_lean_rendering import WAYS_TO_RENDER, rendered
from test_step_on_device import WAYS, trained
from tiny_training import make_all

from models.pigan import render as definition
from models.pigan.fast import render as fast

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


def test_bfloat16_learns_alike(options, tmp_path):
    """Encoder and discriminator in bfloat16: losses near those in float32, and finite weights. The norm of the codes,
    which are still small, is off by 4 percent with a CPU's bfloat16."""
    half, _ = trained([*options, "--amp=bf16", "--field_precision=bf16"], tmp_path / "half", GPU, 4)
    full, _ = trained(options, tmp_path / "full", GPU, 4)
    for mine, expected in zip(half.record._entries, full.record._entries, strict=True):
        assert mine.values.isfinite().all()
        torch.testing.assert_close(mine.values, expected.values, rtol=0.15, atol=0.02)
