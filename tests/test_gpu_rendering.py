"""Rendering on a GPU: the numbers of the CPU, within bounds that are stated here. `pytest -m gpu`; skipped without."""

import math

import pytest
import torch
from test_models_golden import codes, masks, net, official, tag  # noqa: F401 - fixtures

from configs.data_configs import get_camera_preset
from models.pigan.cameras import Camera, camera_rays
from models.pigan.fast.fused import PRECISIONS
from models.pigan.render import render_rays
from models.pigan.siren import FilmSiren, style_code
from models.scene import Scene
from models.sem2nerf import Sem2NeRF

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda", 0)
# least PSNR (dB) of an image to that of the CPU
PSNR = {"fp32": 65, "tf32": 50, "bf16": 35}


def psnr(image: torch.Tensor, target: torch.Tensor) -> float:
    return 10 * math.log10(4 / max((image - target).square().mean().item(), 1e-12))


@pytest.fixture(scope="module")
def wide() -> FilmSiren:
    torch.manual_seed(0)
    siren = FilmSiren(256, 256).requires_grad_(False)
    siren.final_layer.weight.mul_(1000)
    siren.colour_output.weight.mul_(5)
    return siren


@pytest.mark.parametrize("precision", PRECISIONS)
def test_views_of_a_scene(wide, precision):
    """Exact, and by a grid, whose samples are not quite those of the CPU."""
    style = style_code(wide, 3)
    preset = get_camera_preset("CelebAMask_HQ")
    here = Scene(wide, style, preset)
    there = Scene(wide.to(CUDA), style.to(CUDA), preset, precision=precision)
    wide.to("cpu")
    camera = Camera(yaw=math.pi / 2 + 0.3)
    exact = here.render(camera, 32, 24)
    got = there.render(camera, 32, 24)
    assert got.rgb.device.type == "cpu"
    assert psnr(got.rgb, exact.rgb) > PSNR[precision]
    if precision == "fp32":
        assert (got.depth - exact.depth).abs().max() < 2e-3  # an H200: 0.0011 at one pixel of 1,024
    grid = there.render(camera, 32, 24, sampler="grid")
    assert psnr(grid.rgb, here.render(camera, 32, 24, sampler="grid").rgb) > min(PSNR[precision], 40)
    assert torch.equal(there.render(camera, 32, 24).rgb, got.rgb)  # a second time, to the bit


def test_golden_encoder_and_pixels(net: Sem2NeRF, masks, codes):  # noqa: F811
    """The seeded official checkpoints: encoder, mapping network and field against the CPU, whose numbers are golden."""
    there = Sem2NeRF(net.config).to(CUDA).eval()
    there.load_state_dict(net.state_dict())
    there.set_latent_avg(net.latent_avg.to(CUDA))
    with torch.no_grad():
        got = there.encode(masks[:1].to(CUDA))
        difference = (got.frequencies.cpu() - codes.frequencies).abs().max()
        assert difference < 2e-3 * codes.frequencies.abs().max()
        preset = net.config.camera
        origin, directions = camera_rays(Camera(), 16, preset.fov_deg)
        settings = {"near": preset.ray_start, "far": preset.ray_end, "samples": 12, "hierarchical": True,
                    "lock_view_dependence": True, "last_back": preset.eval_last_back}
        right = render_rays(net.siren, codes, origin[None], directions[None], **settings).rgb
        pixels = render_rays(there.siren, codes.to(CUDA), origin[None].to(CUDA), directions[None].to(CUDA), **settings)
        assert (pixels.rgb.cpu() - right).abs().max() < 5e-3
        images = [Scene(one.siren, codes.to(device), preset).render(Camera(), 16, 12).rgb
                  for one, device in ((there, CUDA), (net, torch.device("cpu")))]
        assert psnr(*images) > 60
