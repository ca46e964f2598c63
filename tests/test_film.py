"""The FiLM layers' own kernels in Triton's interpreter (on a GPU: the GPU's), against PyTorch's operations."""

import pytest
import torch

from models.pigan.fast import film

pytest.importorskip("triton", reason="Triton is not installed: it comes with PyTorch's builds for CUDA")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # see conftest.py


@pytest.mark.parametrize("kind, bound", [(torch.float32, 3e-6), (torch.bfloat16, 5e-3)])
@pytest.mark.parametrize("points, width", [(300, 24), (37, 256), (1, 16)])
def test_as_pytorch_computes(points, width, kind, bound, monkeypatch):
    """In float64 on the CPU; angles of many turns. With few programs each one loops."""
    from models.pigan.fast import film_kernel

    monkeypatch.setattr(film_kernel, "PROGRAMS", 2)
    generator = torch.Generator().manual_seed(0)
    z, grad_x = torch.randn(2, points, width, generator=generator)
    frequency, phase = 30 + 15 * torch.randn(width, generator=generator), torch.randn(width, generator=generator)
    exact = [value.double() for value in (z, grad_x, frequency, phase)]
    right_sums = torch.empty(2, width, dtype=torch.float64)
    # the angle as float32 has it: what a product's last digit is worth is not the kernels' matter
    angle = torch.addcmul(phase, frequency, z).double()
    right = angle.sin(), angle.cos() * exact[1]
    right_sums = torch.stack([(right[1] * exact[0]).sum(0), right[1].sum(0)])
    given = [value.to(DEVICE) for value in (z, grad_x, frequency, phase)]
    sums = torch.empty(2, width, device=DEVICE)
    got = film_kernel.sine(given[0], *given[2:], kind), film_kernel.gradient(*given, sums, kind)
    for value, expected in zip(got, right):
        assert value.dtype == kind
        assert (value.cpu().double() - expected).abs().max() < 8 * bound
    assert (sums.cpu().double() - right_sums).abs().max() < 1e-5 * points


def test_the_lean_field_with_the_kernels(monkeypatch):
    """The gradients of codes, in float32, against those without."""
    from models.pigan.fast import film_kernel
    from models.pigan.fast.frozen_field import evaluate_field
    from models.pigan.siren import FilmSiren, style_code

    torch.manual_seed(0)
    siren = FilmSiren(24, 8).requires_grad_(False).to(DEVICE)
    points = (0.24 * (torch.rand(1, 90, 3) - 0.5)).to(DEVICE)
    results = []
    for kernels in (None, film_kernel):
        monkeypatch.setattr(film, "_kernels", lambda z, kernels=kernels: kernels)
        codes = style_code(siren, 1)
        codes.frequencies.requires_grad_()
        codes.phase_shifts.requires_grad_()
        rgb, density = evaluate_field(siren, points, codes, points)
        (rgb.square().sum() + density.square().sum()).backward()
        results.append((codes.frequencies.grad, codes.phase_shifts.grad))
    for plain, fused in zip(*results):
        assert (plain - fused).abs().max() < 1e-4 * plain.abs().max()
