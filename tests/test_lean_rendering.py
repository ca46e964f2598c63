"""Rendering in training, on a CPU and on a device, against the definition."""

import pytest
import torch
from test_lean_field import assert_equal, leaves, random_codes, siren  # noqa: F401 - a fixture

from models.pigan import render as definition
from models.pigan.fast import render as fast
from models.pigan.fast.frozen_field import evaluate_field
from models.pigan.sampling import RayNoise

CPU = torch.device("cpu")
WAYS_TO_RENDER = pytest.mark.parametrize("hierarchical, locked, last_back, clamp", [
    (False, False, True, "relu"), (False, True, False, "relu"), (False, False, False, "softplus"),
    (True, False, True, "relu"), (True, True, False, "softplus")])


def rendered(field, render_rays, hierarchical, locked, last_back, clamp, device=CPU, **settings):
    """A batch of two scenes: the image and the gradients of the codes."""
    generator = torch.Generator().manual_seed(5)
    samples, rays = 9, 20
    origins = torch.tensor([[0.0, 0, 1], [0, 0.1, 1]], dtype=torch.float64)
    directions = torch.tensor([0.0, 0, -1]) + 0.1 * torch.randn(2, rays, 3, generator=generator, dtype=torch.float64)
    noise = RayNoise(*(torch.rand(2, rays, samples, generator=generator, dtype=torch.float64) for _ in range(2)))
    codes = leaves(random_codes(2).to(device))
    out = render_rays(field.to(device), codes, origins.to(device), directions.to(device), near=0.88, far=1.12,
                      samples=samples, hierarchical=hierarchical, lock_view_dependence=locked, last_back=last_back,
                      clamp=clamp, noise=noise.to(device), **settings)
    # the colours, which is what training looks at
    return [out.rgb.detach(), *torch.autograd.grad((out.rgb * out.rgb.detach().cos()).sum(),
                                                   (codes.frequencies, codes.phase_shifts))]


@WAYS_TO_RENDER
def test_rendering(siren, hierarchical, locked, last_back, clamp):  # noqa: F811
    """Front to back, with what is empty or hidden left out: the image and the gradients of all."""
    way = (hierarchical, locked, last_back, clamp)
    expected = rendered(siren, definition.render_rays, *way)
    for block in (None, 11):
        assert_equal(rendered(siren, fast.render_rays, *way, sample_chunk=block), expected, 1e-9)


@WAYS_TO_RENDER
def test_rendering_on_a_device(siren, pretend, hierarchical, locked, last_back, clamp):  # noqa: F811
    """The way of a GPU, all densities first: it is waited for once, for how many samples can be seen."""
    way = (hierarchical, locked, last_back, clamp)
    expected = rendered(siren, definition.render_rays, *way)
    for block in (None, 11):
        with pretend.counting() as waits:
            result = rendered(siren, fast.render_rays, *way, pretend.device, sample_chunk=block)
        assert sum(waits.values()) - waits["upload"] == 1, waits  # the test's own data go up
        assert_equal([value.cpu() for value in result], expected, 1e-8)  # its sines are PyTorch's, not NumPy's


def test_hidden_samples_are_not_evaluated(siren, monkeypatch):  # noqa: F811
    """In a field that is opaque everywhere only the first third of a ray is looked at."""
    siren.final_layer.bias.fill_(1e6)
    seen = []

    def spy(*args, visible, **settings):
        seen.append(int(visible.sum()))
        return evaluate_field(*args, visible=visible, **settings)

    monkeypatch.setattr(fast, "evaluate_field", spy)
    directions = torch.tensor([0.0, 0, -1], dtype=torch.float64).expand(1, 4, 3)
    fast.render_rays(siren, random_codes(1), torch.tensor([[0.0, 0, 1]], dtype=torch.float64), directions, near=0.88,
                far=1.12, samples=6, hierarchical=False, lock_view_dependence=False, last_back=True)
    assert seen == [8, 0, 0]  # 4 rays of 6 samples in three chunks
