"""The two operations of the field: the same numbers as PyTorch's plain ones, whatever the block."""

import pytest
import torch
from tiny import tiny_model

from models.pigan.fast import kernels
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.kernels import CPU_BLOCKS, ROWS, affine, block_size, quick_sine_, sine_, whole_rows
from models.pigan.siren import style_code


@pytest.fixture
def layer():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for shape in ((300, 16), (24, 16), (24,))]


@pytest.mark.parametrize("onednn", [True, False])
def test_affine_is_a_linear_layer(layer, monkeypatch, onednn):
    if onednn and not kernels._has_onednn():
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(kernels, "_has_onednn", lambda: onednn)
    x, weight, bias = layer
    expected = x.double() @ weight.double().t() + bias.double()
    assert torch.allclose(affine(x, weight, bias).double(), expected, atol=1e-5)


def test_rows_do_not_depend_on_their_block(layer):
    x, weight, bias = layer
    whole = sine_(affine(x, weight, bias))
    parts = [sine_(affine(part, weight, bias)) for part in x.split(70)]
    assert torch.equal(torch.cat(parts), whole)


def test_sine_in_place_and_for_large_arguments():
    x = torch.linspace(-3000, 3000, 10_001)[None]
    expected = x.double().sin()
    assert sine_(x) is x
    assert (x.double() - expected).abs().max() < 2e-7


@pytest.mark.parametrize("points, rows", [(0, 0), (1, ROWS), (ROWS, ROWS), (ROWS + 1, 2 * ROWS)])
def test_whole_rows(points, rows):
    padded = whole_rows(torch.ones(points, 3))
    assert padded.shape == (rows, 3)
    assert padded.sum() == 3 * points


def test_any_number_of_points_at_once_or_in_steps():
    """Products see whole rows only; their number does not show in the results."""
    net = tiny_model(contrast=5)
    field = FoldedField(net.siren, style_code(net.siren, 1))
    points = (torch.rand(ROWS + 7, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.2
    rgb, density = field(points)
    features = field.features(points)
    chosen = torch.tensor([5, 0, ROWS + 6])
    assert torch.allclose(field.density(features), density, atol=1e-4)
    assert torch.allclose(field.colour(features), rgb, atol=1e-6)
    assert torch.allclose(field.colour(features, chosen), rgb[chosen], atol=1e-6)
    assert torch.allclose(field(points[:3])[0], rgb[:3], atol=1e-6)
    assert [len(value) for value in field(points[:0])] == [0, 0]


def test_block_size_is_found_once():
    size = block_size(torch.device("cpu"), 8)
    assert size in CPU_BLOCKS
    assert block_size(torch.device("cpu"), 8) == size


def test_hidden_layers_in_bfloat16():
    """Close to float32, but not the same; positions keep their digits."""
    net = tiny_model(contrast=5)
    codes = style_code(net.siren, 1)
    points = (torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.2
    plain, rounded = (FoldedField(net.siren, codes, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert rounded.layers[0][0].dtype == torch.float32
    colours = [field.colour(field.features(points)) for field in (plain, rounded)]
    difference = (colours[0] - colours[1]).abs()
    assert 0 < difference.mean() < 0.02
    assert colours[0].std() > 0.05
    # on a CPU a scene stays in float32 whatever is asked for
    views = [net.scene_of(codes, precision=precision).render(None, 8, 4).rgb for precision in ("fp32", "bf16")]
    assert torch.equal(*views)


def test_which_devices_multiply_in_what(monkeypatch):
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))  # a V100
    assert not kernels.multiplies.__wrapped__(device, torch.bfloat16)
    assert not kernels.multiplies.__wrapped__(torch.device("cpu"), torch.float16)
    assert kernels.multiplies.__wrapped__(torch.device("cpu"), torch.float32)


def test_a_private_operation_of_another_signature_is_left_alone(layer, monkeypatch):
    """PyTorch's plain product takes its place."""
    def changed(x, weight):
        raise AssertionError("never called with these arguments")

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", changed, raising=False)
    works = kernels._has_onednn.__wrapped__()
    assert not works
    monkeypatch.setattr(kernels, "_has_onednn", lambda: works)
    x, weight, bias = layer
    assert torch.equal(affine(x, weight, bias), torch.nn.functional.linear(x, weight, bias))


@pytest.mark.parametrize("sine", [quick_sine_(), kernels._opencv_sine_])
def test_the_quick_sine(sine):
    x = torch.linspace(-2000, 2000, 99_968).reshape(-1, 16)
    wanted = x.double().sin()
    assert sine(x) is x
    assert (x - wanted).abs().max() < 3e-7


def test_a_quick_field_is_the_same_to_a_few_digits():
    net = tiny_model()
    field = FoldedField(net.siren, style_code(net.siren, 1))
    points, same = torch.rand(500, 3) * 0.2 - 0.1, field(torch.zeros(3, 3))
    for mine, other in zip(field.quick()(points), field(points), strict=True):
        assert torch.allclose(mine, other, rtol=1e-3, atol=1e-4)
    assert all(map(torch.equal, field(torch.zeros(3, 3)), same))  # it is a copy
