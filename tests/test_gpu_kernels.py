"""The fused kernel of the field on a real GPU, in every form that it has. `pytest -m gpu`; skipped without."""

import pytest
import torch

from models.pigan.fast import fused
from models.pigan.fast.fold import FoldedField
from models.pigan.fast.fused import HOPPER, PRECISIONS, SHAPES, FusedField
from models.pigan.fast.kernels import multiplies
from models.pigan.siren import FilmSiren, style_code

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda", 0)
# the greatest error of colours in (0, 1), and that of densities relative to the greatest of them, at width 256
BOUNDS = {"fp32": (1e-4, 1e-4), "tf32": (1e-2, 2e-2), "bf16": (8e-2, 2e-1)}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("width", [32, 128, 256])
def test_the_form_that_is_chosen(precision, width):
    if not multiplies(CUDA, PRECISIONS[precision]):
        pytest.skip(f"this GPU has no {precision}")
    shape = fused._shape_that_runs(CUDA, width, PRECISIONS[precision])
    assert shape is not None, "PyTorch's operations would take the kernel's place"
    gives_the_folded_fields_values(width, precision, shape)


@pytest.mark.parametrize("precision, shape", [
    (precision, shape) for precision in ("tf32", "fp32") for shape in SHAPES[precision == "fp32"] if shape != HOPPER])
def test_a_form_that_other_gpus_need(precision, shape):
    """Those without the kernel for Hopper, or with less room on the chip."""
    gives_the_folded_fields_values(256, precision, shape)


def gives_the_folded_fields_values(width, precision, shape):
    torch.manual_seed(0)
    siren = FilmSiren(width, 64).requires_grad_(False)
    siren.final_layer.weight.mul_(3000)
    siren.colour_output.weight.mul_(20)
    right = FoldedField(siren, style_code(siren, 1))
    points = (torch.rand(100_003, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.24
    rgb, density = right(points)
    field = FusedField(right.to(CUDA), PRECISIONS[precision], shape)
    got_rgb, got_density = field(points.to(CUDA))
    colour_bound, density_bound = BOUNDS[precision]
    assert rgb.std() > 0.1
    assert (got_rgb.cpu() - rgb).abs().max() < colour_bound
    assert (got_density.cpu() - density).abs().max() < density_bound * density.abs().max()
    alone = field.density_at(points.to(CUDA))  # compiled apart: an H200 rounds one form differently
    assert (alone - got_density).abs().max() < 1e-5 * density.abs().max()
