"""The lean training pass against plain autograd on the field's definition."""

import pytest
import torch

from models.pigan.codes import Codes
from models.pigan.fast.frozen_field import evaluate_field, significant
from models.pigan.siren import FILM_LAYERS, FREQUENCY_OFFSET, FREQUENCY_SCALE, FilmSiren

WIDTH, POINTS = 12, 50


@pytest.fixture
def siren():
    """A frozen field of random weights with densities of either sign, some of them opaque."""
    torch.manual_seed(0)
    siren = FilmSiren(WIDTH, 4).double().requires_grad_(False)
    siren.final_layer.weight.mul_(3000)
    return siren


def random_codes(batch, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return Codes(*(0.3 * torch.randn(batch, FILM_LAYERS * WIDTH, generator=generator, dtype=dtype) for _ in range(2)))


def leaves(codes):
    return Codes(codes.frequencies.clone().requires_grad_(), codes.phase_shifts.clone().requires_grad_())


def random_points(batch, seed=2):
    generator = torch.Generator().manual_seed(seed)
    points = 0.24 * (torch.rand(batch, POINTS, 3, generator=generator, dtype=torch.float64) - 0.5)
    directions = torch.randn(batch, POINTS, 3, generator=generator, dtype=torch.float64)
    return points, torch.nn.functional.normalize(directions, dim=-1)


def gradients(output, codes):
    """Of a weighted sum of all outputs, the weights being different for each."""
    weighted = [(value * torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)).sum()
                for value in output]
    return torch.autograd.grad(sum(weighted), (codes.frequencies, codes.phase_shifts))


def assert_equal(actual, expected, relative):
    """Largest difference, relative to the largest expected value."""
    for mine, reference in zip(actual, expected, strict=True):
        assert mine.shape == reference.shape
        assert (mine - reference).abs().max() <= relative * reference.abs().max()


@pytest.mark.parametrize("block", [None, 7, 1000])
@pytest.mark.parametrize("locked", [False, True])
def test_is_the_plain_field(siren, locked, block):
    points, directions = random_points(2)
    directions = None if locked else directions
    codes = leaves(random_codes(2))
    plain = siren(points, codes, directions)
    lean = evaluate_field(siren, points, codes, directions, block=block)
    assert_equal(lean, plain, 1e-9)
    assert_equal(gradients(lean, codes), gradients(plain, codes), 1e-9)


def test_single_precision(siren):
    """In float32 both ways round alike: the lean one is no further from the float64 result than twice the plain one."""
    points, directions = random_points(2)
    codes = leaves(random_codes(2))
    exact = siren(points, codes, directions)
    exact = (*exact, *gradients(exact, codes))
    siren, points, directions = siren.float(), points.float(), directions.float()
    codes = leaves(codes.detach().to(torch.float32))

    def errors(output):
        output = (*output, *gradients(output, codes))
        return [(a - b).norm() / b.norm() for a, b in zip(output, exact)]

    plain = errors(siren(points, codes, directions))
    lean = errors(evaluate_field(siren, points, codes, directions))
    for mine, reference in zip(lean, plain):
        assert mine < 2 * reference + 1e-6
        assert mine < 1e-3


def test_numerical_gradient(siren):
    points, directions = random_points(1)
    siren.final_layer.weight.div_(3000)
    codes = leaves(random_codes(1))

    def function(frequencies, phase_shifts):
        rgb, density = evaluate_field(siren, points[:, :4], Codes(frequencies, phase_shifts), directions[:, :4])
        return rgb.sum() + density.square().sum()

    assert torch.autograd.gradcheck(function, (codes.frequencies, codes.phase_shifts), eps=1e-7, atol=1e-5,
                                    fast_mode=True)


def test_frequency_of_zero(siren):
    """15 * -2 + 30 = 0: the unit does not depend on its input, but the gradient of its frequency does."""
    points, directions = random_points(1)
    codes = random_codes(1)
    codes.frequencies[:, ::5] = -FREQUENCY_OFFSET / FREQUENCY_SCALE
    codes = leaves(codes)
    expected = gradients(siren(points, codes, directions), codes)
    actual = gradients(evaluate_field(siren, points, codes, directions), codes)
    assert_equal(actual, expected, 1e-9)
    # of the colour layer's units, which no other unit of frequency zero hides
    assert actual[0][0, -WIDTH:].abs().min() > 0


def test_threads_change_nothing(siren):
    points, directions = random_points(3)
    codes = leaves(random_codes(3))
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            output = evaluate_field(siren, points, codes, directions, block=16)
            results.append([*output, *gradients(output, codes)])
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_only_what_is_asked_for(siren):
    """Unseen points give zeros and no gradient; a colour is left out where neither density nor caller asks for it."""
    points, directions = random_points(2)
    codes = leaves(random_codes(2))
    visible = torch.rand(2, POINTS, generator=torch.Generator().manual_seed(3)) < 0.7
    solid = torch.rand(2, POINTS, generator=torch.Generator().manual_seed(4)) < 0.3
    plain_rgb, plain_density = siren(points, codes, directions)
    coloured = visible & (solid | (plain_density > 0))
    assert 0 < coloured.sum() < visible.sum() < visible.numel()
    expected = plain_rgb * coloured[..., None], plain_density * visible
    lean = evaluate_field(siren, points, codes, directions, visible=visible, solid=solid, block=9)
    assert_equal(lean, expected, 1e-9)
    assert_equal(gradients(lean, codes), gradients(expected, codes), 1e-9)


def test_nothing_to_see(siren):
    points, directions = random_points(1)
    codes = leaves(random_codes(1))
    output = evaluate_field(siren, points, codes, directions, visible=torch.zeros(1, POINTS, dtype=torch.bool))
    assert not any(value.any() for value in (*output, *gradients(output, codes)))


def test_codes_used_twice(siren):
    """Two evaluations in one graph add their gradients; a graph that is kept can be gone through again."""
    points, directions = random_points(1)
    codes = leaves(random_codes(1))

    def both(field):
        first, second = field(points, codes, directions), field(2 * points, codes)
        return first[0] * second[0], first[1] + second[1]

    lean = both(lambda *args: evaluate_field(siren, *args))
    expected = gradients(both(siren), codes)
    weighted = [(v * torch.linspace(-1, 2, v.numel(), dtype=v.dtype).reshape(v.shape)).sum() for v in lean]
    for _ in range(2):
        actual = torch.autograd.grad(sum(weighted), (codes.frequencies, codes.phase_shifts), retain_graph=True)
        assert_equal(actual, expected, 1e-9)


def test_without_gradients(siren):
    points, directions = random_points(1)
    codes = leaves(random_codes(1))
    with torch.no_grad():
        output = evaluate_field(siren, points, codes, directions)
    assert not any(value.requires_grad for value in output)
    assert_equal(output, siren(points, codes, directions), 1e-9)


@pytest.mark.parametrize("block", [None, 7])
def test_what_else_learns_gets_its_gradient(siren, block):
    points, directions = random_points(1)
    codes = leaves(random_codes(1))
    siren.requires_grad_()
    wanted = [siren.network[3].layer.weight, siren.final_layer.bias, codes.frequencies]

    def result(output):
        return torch.autograd.grad(output[0].sum() + output[1].square().sum(), wanted)

    assert_equal(result(evaluate_field(siren, points, codes, directions, block=block)),
                 result(siren(points, codes, directions)), 1e-9)
    siren.requires_grad_(False)
    points.requires_grad_()
    density = evaluate_field(siren, points, codes, block=block)[1]
    assert torch.autograd.grad(density.sum(), points)[0].any()


def test_a_change_of_weights_between_the_passes(siren):
    """The backward pass belongs to the weights that the forward pass has seen."""
    points, directions = random_points(1)
    codes = leaves(random_codes(1))
    expected = gradients(siren(points, codes, directions), codes)
    output = evaluate_field(siren, points, codes, directions)
    for film in siren.network:
        film.layer.weight.mul_(2)
    assert_equal(gradients(output, codes), expected, 1e-9)


def test_autocast_is_left_outside(siren):
    points, directions = random_points(1)
    siren, points, directions = siren.float(), points.float(), directions.float()
    codes = leaves(random_codes(1, dtype=torch.float32))
    expected = evaluate_field(siren, points, codes, directions)
    expected = [*expected, *gradients(expected, codes)]
    with torch.autocast("cpu", torch.bfloat16):
        output = evaluate_field(siren, points, codes, directions)
    output = [*output, *gradients(output, codes)]
    assert all(torch.equal(a, b) for a, b in zip(output, expected))


def test_significant():
    nan, inf = float("nan"), float("inf")
    rows = torch.tensor([[1.0, 0, 1e-8, 1], [2e-8, 1e-8, 0, 1e-8], [0, 0, 0, 0], [1, nan, 0, 1], [0, inf, 1e-9, 1]])
    assert significant(rows).tolist() == [
        [True, False, False, True],  # 1e-8 is less than 1.2e-7 of the mean
        [True, True, False, True],  # small, but so are all
        [False] * 4,
        [True, True, False, True],
        [False, True, True, True]]


@pytest.mark.parametrize("tag", ["celebahq", "catmask"])
def test_official_gradients(golden, tag):
    """The gradients that the official code's autograd finds with its seeded weights."""
    reference = golden(f"siren_{tag}")
    import golden_values as gv
    import make_checkpoint
    import numpy as np

    prefix = "decoder.siren."
    siren = FilmSiren()
    state = {key.removeprefix(prefix): value for key, value in make_checkpoint.build(tag)["state_dict"].items()
             if key.startswith(prefix)}
    siren.load_state_dict({key: value for key, value in state.items() if key in siren.state_dict()})
    siren.requires_grad_(False)
    points = torch.from_numpy((gv.uniform(f"{tag}.siren.points", (2, 1024, 3)) - 0.5) * 0.3)[:1, :64]
    directions = torch.nn.functional.normalize(torch.from_numpy(gv.normal(f"{tag}.siren.dirs", (2, 1024, 3))), dim=-1)
    codes = leaves(Codes(*(torch.from_numpy(gv.normal(f"{tag}.code.0.{i}", (1, 2304), 0.3)) for i in (0, 1))))
    weight = torch.from_numpy(gv.normal(f"{tag}.siren.gradw", (1, 64, 4)))
    rgb, density = evaluate_field(siren, points, codes, directions[:1, :64])
    (torch.cat([rgb, density[..., None]], -1) * weight).sum().backward()
    for grad, name in ((codes.frequencies.grad, "grad_freq"), (codes.phase_shifts.grad, "grad_shift")):
        expected = reference[name].astype(np.float64)
        assert np.abs(grad.numpy() - expected).max() <= 5e-4 * expected.std()
