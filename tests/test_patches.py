"""Random training patches."""

import re

import numpy as np
import pytest
import torch

from models.pigan.cameras import sample_image
from training.patches import PatchConfig, draw_patches, min_scale_at, patch_grid
from utils.errors import UserError

RELEASED = {
    "celeb": PatchConfig(0.125, 1.0, 0.0019, shift="diagonal"),
    "cat": PatchConfig(0.08, 1.0, 0.0019, shift="diagonal"),
    "noshift": PatchConfig(0.125, 1.0, 0.0019, random_shift=False, shift="diagonal"),
    "fixed": PatchConfig(1.0, 1.0, shift="diagonal"),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scales_and_centres(grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of (batch, n, n, 2) grids: the (batch,) scales and the (batch, 2) centres in x and y."""
    first, last = grid[:, 0, 0], grid[:, -1, -1]
    return ((last - first) / 2)[:, 0], (last + first) / 2


def test_released_patterns(golden):
    """Every recorded pattern. The same draws and one multiply-add: within a rounding or two of numbers up to 1."""
    reference = golden("sampling_pattern")
    checked = 0
    for key, expected in reference.items():
        if match := re.fullmatch(r"(\w+)_it(\d+)_b(\d)_seed(\d)", key):
            name, (iteration, batch, seed) = match[1], map(int, match.groups()[1:])
            grid = draw_patches(RELEASED[name], expected.shape[1], iteration, batch, seeded(seed))
            np.testing.assert_allclose(grid.numpy(), expected, rtol=0, atol=2.5e-7, err_msg=key)
            checked += 1
    assert checked == 96
    unannealed = draw_patches(PatchConfig(0.125, 1.0, 0.0, shift="diagonal"), 8, 400000, 1, seeded(0))
    np.testing.assert_allclose(unannealed.numpy(), reference["noanneal"], rtol=0, atol=2.5e-7)


def test_released_smallest_scales(golden):
    reference = golden("sampling_pattern")
    for iteration in (0, 1000, 50000, 400000):
        for name, key in (("celeb", "min_scale"), ("cat", "min_scale_cat")):
            expected = reference[f"{key}_it{iteration}"].item()
            assert min_scale_at(RELEASED[name], iteration) == pytest.approx(expected, rel=1e-12)


def test_sampled_image(golden):
    import golden_values

    reference = golden("sampling_pattern")
    image = torch.from_numpy(golden_values.uniform("pattern.image", (1, 3, 32, 32)))
    sampled = sample_image(image, torch.from_numpy(reference["celeb_it400000_b1_seed0"]))
    np.testing.assert_allclose(sampled.numpy(), reference["gt_sampled"], rtol=0, atol=1e-6)


def test_global_generator_gives_the_released_draws():
    """`torch.manual_seed(s)` and an equally seeded generator are the same thing."""
    torch.manual_seed(3)
    assert torch.equal(
        draw_patches(RELEASED["celeb"], 4, 400000, 2, torch.default_generator),
        draw_patches(RELEASED["celeb"], 4, 400000, 2, seeded(3)),
    )


def test_grid_by_eye():
    """A quarter of the image's side, at the right edge (x) and in the middle (y)."""
    grid = patch_grid(3, torch.tensor([0.25]), torch.tensor([0.75]), torch.tensor([0.0]))
    assert grid[0, 0, :, 0].tolist() == [0.5, 0.75, 1.0]
    assert grid[0, :, 0, 1].tolist() == [-0.25, 0.0, 0.25]


def test_sampling_by_eye():
    """The whole-image grid of the image's own size reads the image; the centre of four pixels is their mean."""
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    zero = torch.zeros(1)
    assert torch.allclose(sample_image(image, patch_grid(4, zero + 1, zero, zero)), image, atol=1e-5)
    assert sample_image(image, torch.zeros(1, 1, 1, 2)).item() == pytest.approx((5 + 6 + 9 + 10) / 4)
    beyond = torch.full((1, 1, 1, 2), 1 + 1e-6)
    assert sample_image(image, beyond).item() == 15  # not darkened by what lies outside


def test_free_patches_differ_per_sample_and_axis():
    scales, centres = scales_and_centres(draw_patches(PatchConfig(0.125, 1.0), 4, 0, 1000, seeded(0)))
    assert scales.min() >= 0.125 - 1e-6
    assert scales.max() <= 1 + 1e-6
    assert scales.unique().numel() > 990
    assert (centres.abs() + scales[:, None]).max() <= 1 + 1e-6, "no patch leaves the image"
    # relative to the room there is, shifts are uniform in [-1, 1]: variance 1/3, and x knows nothing of y
    relative = centres / (1 - scales[:, None])
    assert relative.var(dim=0).numpy() == pytest.approx(1 / 3, abs=0.04)
    assert torch.corrcoef(relative.T)[0, 1].abs() < 0.1


def test_free_patches_of_a_batch_are_those_of_its_samples():
    config, generator = PatchConfig(), seeded(5)
    one_by_one = torch.cat([draw_patches(config, 4, 0, 1, generator) for _ in range(6)])
    assert torch.equal(draw_patches(config, 4, 0, 6, seeded(5)), one_by_one)


def test_centred_patches():
    for shift in ("free", "diagonal"):
        config = PatchConfig(0.2, 0.6, random_shift=False, shift=shift)
        scales, centres = scales_and_centres(draw_patches(config, 4, 0, 50, seeded(1)))
        assert centres.abs().max() < 1e-6
        assert scales.min() >= 0.2 - 1e-6
        assert scales.max() <= 0.6 + 1e-6


@pytest.mark.parametrize("scales", [(0.0, 1.0), (0.6, 0.5), (0.5, 1.5)])
def test_impossible_scales(scales):
    with pytest.raises(UserError, match="`ray_min_scale`"):
        PatchConfig(*scales)
