"""Sampling and compositing: small cases worked out by hand, and the official code's numbers."""

import math

import numpy as np
import pytest
import torch

from models.pigan.integration import composite, sample_weights
from models.pigan.sampling import importance_depths, inverse_cdf, midpoints, stratified_depths


def test_weights_by_hand():
    # spacing 1, densities ln 2 and 0 and ln 2: alphas 1/2, 0, and 1 (the last interval is endless)
    # transmittances 1, 1/2, 1/2, so weights 1/2, 0, 1/2
    density = torch.tensor([[math.log(2), 0.0, math.log(2)]])
    depths = torch.tensor([[1.0, 2.0, 3.0]])
    weights = sample_weights(density, depths)
    assert torch.allclose(weights, torch.tensor([[0.5, 0.0, 0.5]]), atol=1e-6)
    rgb = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
    out = composite(rgb, density, depths)
    assert torch.allclose(out.rgb, torch.tensor([[0.5, 0.0, 0.5]]), atol=1e-6)
    assert torch.allclose(out.depth, torch.tensor([2.0]), atol=1e-5)


def test_empty_ray():
    density, depths = torch.full((1, 3), -1.0), torch.tensor([[1.0, 2.0, 3.0]])
    rgb = torch.full((1, 3, 3), 0.25)
    assert composite(rgb, density, depths).rgb.abs().max() == 0
    assert torch.allclose(composite(rgb, density, depths, white_back=True).rgb, torch.ones(1, 3))
    assert torch.allclose(composite(rgb, density, depths, last_back=True).rgb, torch.full((1, 3), 0.25))


@pytest.mark.parametrize("clamp", ["relu", "softplus"])
@pytest.mark.parametrize("last_back, white_back", [(0, 0), (1, 0), (0, 1)])
def test_golden_compositing(golden, clamp, last_back, white_back):
    reference = golden("integrate")
    rgb, density = torch.from_numpy(reference["in_rgb_sigma"]).split([3, 1], -1)
    depths = torch.from_numpy(reference["in_z"])[..., 0]
    out = composite(rgb, density[..., 0], depths, clamp=clamp, last_back=bool(last_back), white_back=bool(white_back))
    name = f"{clamp}_lb{last_back}_wb{white_back}_None"
    np.testing.assert_allclose(out.rgb, reference[f"{name}_rgb"], atol=1e-5)
    np.testing.assert_allclose(out.depth[..., None], reference[f"{name}_depth"], atol=1e-5)
    np.testing.assert_allclose(out.weights[..., None], reference[f"{name}_w"], atol=1e-5)


@pytest.mark.parametrize("clamp", ["relu", "softplus"])
def test_both_backgrounds_fill_once(golden, clamp):
    """The official code fills with white what the last sample has already been given; here nothing is left to fill."""
    reference = golden("integrate")
    rgb, density = torch.from_numpy(reference["in_rgb_sigma"]).split([3, 1], -1)
    depths = torch.from_numpy(reference["in_z"])[..., 0]
    out = composite(rgb, density[..., 0], depths, clamp=clamp, last_back=True, white_back=True)
    twice = 1 - reference[f"{clamp}_lb0_wb0_None_w"].sum(2)
    assert twice.max() > 0.5
    np.testing.assert_allclose(out.rgb, reference[f"{clamp}_lb1_wb1_None_rgb"] - twice, atol=1e-5)
    np.testing.assert_allclose(out.weights[..., None], reference[f"{clamp}_lb1_wb1_None_w"], atol=1e-5)


def test_golden_density_noise(golden):
    import golden_values as gv

    reference = golden("integrate")
    rgb, density = torch.from_numpy(reference["in_rgb_sigma"]).split([3, 1], -1)
    depths = torch.from_numpy(reference["in_z"])[..., 0]
    noise = 0.5 * torch.from_numpy(gv.normal("integ.noise.0", (2, 16, 9, 1)))[..., 0]
    out = composite(rgb, density[..., 0], depths, noise=noise)
    np.testing.assert_allclose(out.rgb, reference["noise_rgb"], atol=1e-5)
    np.testing.assert_allclose(out.weights[..., None], reference["noise_w"], atol=1e-5)


def test_stratified_depths_by_hand():
    # spacing .5; a draw of 1 moves by +.25, a draw of 0 by -.25
    depths = stratified_depths(1.0, 2.0, 3, torch.tensor([[0.5, 1.0, 0.0]]))
    assert torch.allclose(depths, torch.tensor([[1.0, 1.75, 1.75]]))


def test_inverse_cdf_by_hand():
    # all weight in the second of three unit bins: u = 0.25, 0.5, 0.75 land a quarter, half, three quarters into it
    edges, weights = torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    samples = inverse_cdf(edges, weights, torch.tensor([[0.25, 0.5, 0.75]]))
    assert torch.allclose(samples, torch.tensor([[1.25, 1.5, 1.75]]), atol=1e-4)


def test_importance_samples_find_the_surface():
    depths = torch.linspace(0, 1, 11)[None]
    weights = torch.zeros(1, 11)
    weights[0, 6] = 1.0  # seen at depth .6, between the midpoints .55 and .65
    fine = importance_depths(depths, weights, midpoints(8, depths)[None])
    assert fine.min() > 0.54
    assert fine.max() < 0.66
    assert (fine.diff() >= 0).all()


@pytest.mark.parametrize("name", ["det", "half", "seeded"])
def test_golden_inverse_cdf(golden, name):
    reference = golden("integrate")
    edges, weights = torch.from_numpy(reference["pdf_bins"]), torch.from_numpy(reference["pdf_w"])
    rows = len(edges)
    u = {"det": torch.linspace(0, 1, 16).expand(rows, 16), "half": torch.full((rows, 16), 0.5),
         "seeded": torch.from_numpy(reference["pdf_u"])}[name]
    np.testing.assert_allclose(inverse_cdf(edges, weights, u), reference[f"pdf_{name}"], atol=1e-5)
