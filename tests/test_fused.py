"""The fused kernel of the field in Triton's interpreter, which gives its values on a CPU; the GPU's own are tested with
`pytest -m gpu`."""

import warnings

import pytest
import torch
from tiny import tiny_model

from models.pigan.cameras import Camera
from models.pigan.fast import fused
from models.pigan.fast.exact import merged_order, render_block
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import FusedField, inference_field
from models.pigan.siren import FilmSiren, style_code

pytest.importorskip("triton", reason="Triton is not installed: it comes with PyTorch's builds for CUDA")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # see conftest.py
# the greatest error of colours in (0, 1), and that of densities relative to the greatest of them
BOUNDS = {torch.float32: (2e-5, 5e-5), torch.float16: (4e-3, 1e-2), torch.bfloat16: (4e-2, 1e-1)}


def a_field(width: int = 32) -> FoldedField:
    """A field of random weights with visible surfaces and colours."""
    torch.manual_seed(0)
    siren = FilmSiren(width, 8).requires_grad_(False)
    siren.final_layer.weight.mul_(3000)
    siren.colour_output.weight.mul_(20)
    return FoldedField(siren, style_code(siren, 1))


def some_points(count: int) -> torch.Tensor:
    return (torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.24


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("width", [24, 64])
def test_the_kernel_gives_the_folded_fields_values(width, kind):
    field = a_field(width)
    points = some_points(300)  # no whole number of blocks
    rgb, density = FusedField(field, kind)(points)
    right_rgb, right_density = field(points)
    assert (rgb - right_rgb).abs().max() < BOUNDS[kind][0]
    assert (density - right_density).abs().max() < BOUNDS[kind][1] * right_density.abs().max()
    assert right_rgb.std() > 0.1
    assert torch.equal(FusedField(field, kind).density_at(points), density)


def test_a_sharper_precision_is_nearer():
    field = a_field()
    points = some_points(200)
    right = field(points)[0]
    errors = [(FusedField(field, kind)(points)[0] - right).abs().mean() for kind in BOUNDS]
    assert errors[0] * 30 < errors[1] < errors[2] / 3


def test_no_points():
    rgb, density = FusedField(a_field())(torch.zeros(0, 3))
    assert rgb.shape == (0, 3)
    assert density.shape == (0,)


def test_a_field_too_wide_for_the_chip():
    with pytest.raises(ValueError, match="at most 256, got 300"):
        FusedField(a_field(300))


def test_an_image_of_the_kernel():
    """`render_block` colours every sample where it does not look for the visible ones."""
    from models.pigan.cameras import camera_rays

    field = a_field()
    origin, directions = camera_rays(Camera(yaw=1.3), 6, 12.0)
    pixels = [render_block(one, origin, directions, samples=6, near=0.88, far=1.12, last_back=True)
              for one in (field, FusedField(field))]
    for right, got in zip(*pixels):
        assert (right - got).abs().max() < 1e-4


def test_the_order_of_two_ascending_rows():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 30, (50, n), generator=generator).float().sort(1).values for n in (7, 5))
    both, order = torch.cat([first, second], 1), merged_order(first, second)
    assert torch.equal(both.gather(1, order), both.sort(1).values)
    assert torch.equal(order.sort(1).values, torch.arange(12).expand(50, -1))
    assert order[0].tolist() == both[0].argsort(stable=True).tolist()  # of equals, the first one's go first


def test_a_kernel_that_does_not_run_costs_a_line(monkeypatch):
    """Here it is the compiler that finds no GPU."""
    net = tiny_model()
    siren = net.siren
    monkeypatch.setattr(fused, "FoldedField", FakeOnAGpu)
    monkeypatch.setattr(fused, "multiplies", lambda device, kind: kind != torch.bfloat16)
    monkeypatch.setattr(fused, "_shape_that_runs", lambda device, width, kind: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        field = inference_field(siren, style_code(siren, 1), "tf32")
    assert isinstance(field, FoldedField)
    assert field.colour_layer[0].dtype == torch.float16
    with pytest.warns(UserWarning, match="`precision` bf16: this GPU.*fp32 is used instead"):
        field = inference_field(siren, style_code(siren, 1), "bf16")
    assert field.colour_layer[0].dtype == torch.float32


class FakeOnAGpu(FoldedField):
    """It says that it is on a GPU."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0)


def test_the_next_shape_is_tried_where_one_does_not_run(monkeypatch):
    """Chips differ in their room; that none runs costs a line with the first reason."""
    rooms = iter(["out of shared memory\nmore lines", None])

    def trial(device, width, kind, shape):
        problem = next(rooms, "no compiler")
        if problem:
            raise RuntimeError(problem)
        return 1e-3

    monkeypatch.setattr(fused, "_trial", trial)
    assert fused._shape_that_runs.__wrapped__(torch.device("cuda", 0), 32, torch.float16) == fused.SHAPES[False][2]
    with pytest.warns(UserWarning, match=r"does not run on cuda:0 \(no compiler\); PyTorch's operations"):
        assert fused._shape_that_runs.__wrapped__(torch.device("cuda", 0), 32, torch.float16) is None
    assert fused._shape_that_runs.__wrapped__(torch.device("cpu"), 32, torch.float16) is None


@pytest.mark.parametrize("kind", BOUNDS)
def test_the_trial_notices_a_wrong_kernel(monkeypatch, kind):
    """Half of the colour layer's outputs missing, as by a compiler that drops them; or those of the density alone."""
    monkeypatch.setattr(fused, "TRIAL_POINTS", 200)

    def trial():
        return fused._trial(torch.device("cpu"), 32, kind, fused.SHAPES[kind == torch.float32][-1])

    assert trial() < fused.TRIAL_BOUND / 2

    class WrongColour(FusedField):
        def __init__(self, *settings) -> None:
            super().__init__(*settings)
            self.outputs[1:, :16] = 0

    class WrongDensity(FusedField):
        def density_at(self, points):
            return super().density_at(points).roll(1)

    for wrong in (WrongColour, WrongDensity):
        monkeypatch.setattr(fused, "FusedField", wrong)
        assert trial() > fused.TRIAL_BOUND


@pytest.mark.parametrize("capability, width, first", [((9, 0), 128, 0), ((9, 0), 64, 1), ((8, 0), 128, 1)])
def test_the_kernel_for_hopper_is_tried_there(monkeypatch, capability, width, first):
    """Elsewhere Triton's compiler would end the process; and it is for wide fields."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(fused, "_trial", lambda *_: 1e-3)
    shape = fused._shape_that_runs.__wrapped__(torch.device("cuda", 0), width, torch.float16)
    assert shape == fused.SHAPES[False][first]


def test_unknown_precision():
    net = tiny_model()
    with pytest.raises(ValueError, match="one of fp32, tf32, bf16, got 'half'"):
        net.scene_of(style_code(net.siren, 1), precision="half")
