"""Scenes on a device beside the same scenes on the CPU: the same images, and how often the host would wait."""

import copy
import importlib.util
import math
import sys
import warnings

import pytest
import torch
from tiny import FACE_OPTS, tiny_model

from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast import grid_at_once, kernels
from models.pigan.fast.density_grid import DensityGrid
from models.pigan.siren import style_code
from models.sem2nerf import Sem2NeRF

SIZE = 16
CAMERAS = [Camera(), Camera(0.3, math.pi / 4, 8.0), Camera(math.pi / 2 + 0.4, math.pi / 2, 15.0)]
IMAGE = ("rgb", "depth", "opacity")


@pytest.fixture(scope="module")
def net() -> Sem2NeRF:
    return tiny_model(contrast=5)


@pytest.fixture(scope="module")
def codes(net) -> Codes:
    return style_code(net.siren, 3)


def on(device: torch.device, net: Sem2NeRF, codes: Codes, **settings):
    moved = Codes(codes.frequencies.to(device), codes.phase_shifts.to(device))
    return copy.deepcopy(net).to(device).scene_of(moved, **settings)


def assert_equal(view, expected, atol=1e-4):
    """Up to rounding; a sample next to a bin's border may fall to either side of it."""
    for name in IMAGE:
        assert getattr(view, name).device.type == "cpu"
        difference = (getattr(view, name) - getattr(expected, name)).abs()
        assert difference.mean() < 2e-6, name
        assert difference.max() < atol, name
    assert view.evaluations == expected.evaluations


@pytest.mark.parametrize("sampler", ["exact", "grid"])
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_view_is_that_of_the_cpu(pretend, net, codes, sampler, camera):
    expected = net.scene_of(codes).render(camera, SIZE, 12, sampler=sampler)
    assert expected.rgb.std() > 0.05  # there is something to see
    scene = on(pretend.device, net, codes)
    assert_equal(scene.render(camera, SIZE, 12, sampler=sampler), expected)
    for grid in scene.grids.values():
        assert grid.bricks.device == grid.refined_for.device == pretend.device


def test_a_jittered_view_is_that_of_the_cpu(pretend, net, codes):
    views = [scene.render(None, SIZE, 8, generator=torch.Generator().manual_seed(1))
             for scene in (on(pretend.device, net, codes), net.scene_of(codes))]
    assert_equal(*views, atol=1e-3)


def test_an_encoded_mask_is_that_of_the_cpu(pretend, net):
    mask = torch.rand(2, 18, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = net.encode(mask)
    moved = copy.deepcopy(net).to(pretend.device)
    with pretend.counting() as waits:
        found = moved.encode(mask.to(pretend.device, non_blocking=True))
    assert not waits
    for ours, theirs in zip((found.frequencies, found.phase_shifts), (expected.frequencies, expected.phase_shifts)):
        torch.testing.assert_close(ours.cpu(), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampler, allowed", [
    ("exact", {"download": 1}), ("grid", {"download": 1, "aten::nonzero": 1})])
def test_a_view_waits_for_its_samples_and_its_image_alone(pretend, net, codes, sampler, allowed):
    """However many blocks there are, once the grid is there."""
    scene = on(pretend.device, net, codes)
    expected = scene.render(None, SIZE, 12, sampler=sampler)
    scene.max_block = 500
    with pretend.counting() as waits:
        view = scene.render(None, SIZE, 12, sampler=sampler)
    assert waits == allowed
    assert_equal(view, expected)


def test_a_block_of_rays_with_the_grid_waits_once(pretend, net, codes, monkeypatch):
    scene = on(pretend.device, net, codes)
    expected = scene.render(None, SIZE, 12, sampler="grid")
    monkeypatch.setattr("models.scene.GRID_RAYS_GPU", SIZE * SIZE // 4)
    monkeypatch.setattr("models.pigan.fast.grid_at_once.STEPS_AT_ONCE", 1000)
    with pretend.counting() as waits:
        view = scene.render(None, SIZE, 12, sampler="grid")
    assert waits == {"download": 1, "aten::nonzero": 4}
    assert_equal(view, expected)


def test_devices_share_a_grid(pretend, net, codes):
    """It is kept on one of them; the other has a copy of its bricks, until they are replaced."""
    scene = on(pretend.device, net, codes)
    scene.render(None, SIZE, 12, sampler="grid")
    other = scene.on(torch.device("cpu"))
    assert other.grids is scene.grids
    first = other._bricks([Camera()], 12)
    assert first.device.type == "cpu"
    assert other._bricks([Camera()], 12) is first
    assert scene._bricks([Camera()], 12) is scene.grids[12].bricks
    for camera in CAMERAS:
        assert_equal(other.render(camera, SIZE, 12, sampler="grid"), scene.render(camera, SIZE, 12, sampler="grid"))


def test_hidden_layers_in_bfloat16(pretend, net, codes, monkeypatch):
    monkeypatch.setattr("models.pigan.fast.fused.multiplies", lambda device, kind: True)
    plain, rounded = (on(pretend.device, net, codes, precision=precision).render(None, SIZE, 12)
                      for precision in ("fp32", "bf16"))
    assert 0 < (plain.rgb - rounded.rgb).abs().mean() < 0.02


def test_points_of_a_block_follow_from_a_gpus_free_memory(monkeypatch):
    size = kernels.block_size.__wrapped__
    for free, points in ((80e9, kernels.GPU_BLOCK), (12e9, 976_562), (1e8, kernels.LEAST_GPU_BLOCK)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (int(free), int(free)))
        assert size(torch.device("cuda", 0), 256) == points


def test_an_empty_view(pretend):
    """Nothing has density and nothing is coloured but the far end."""
    net = tiny_model(FACE_OPTS)
    net.siren.final_layer.bias.fill_(-1e5)
    codes = style_code(net.siren, 3)
    expected = net.scene_of(codes).render(None, 8, 12, sampler="grid")
    assert_equal(on(pretend.device, net, codes).render(None, 8, 12, sampler="grid"), expected)
    assert expected.evaluations == 1


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="this PyTorch comes without Triton")
@pytest.mark.parametrize("refinement", [4, 6])
def test_the_kernel_that_reads_the_grid_gives_the_plain_operations_numbers(refinement, monkeypatch):
    """Rays of different numbers of steps through ripples in front of a wall, and through fog. Without a GPU Triton
    interprets the kernel."""
    from models.pigan.fast import march_kernel

    def density(points):
        ripples = torch.sin(300 * points[:, 0]) * torch.cos(200 * points[:, 1])
        return 40 * ripples - 2e3 * points[:, 2]

    device, camera = "cuda" if torch.cuda.is_available() else "cpu", Camera(1.3, 1.7)
    grid = DensityGrid(density, 0.88, 1.12, refinement=refinement, device=device)
    grid.cover([camera], 8.0)
    assert grid.bricks.num_bricks > 32**2  # more than a layer of them
    origin, directions = camera_rays(camera, 6, 8.0, device)
    start, end = grid.bricks.segments(camera, 8.0, directions)
    count = torch.full_like(start, 32)
    count[::3], count[1::7] = 21, 0
    way = origin, directions, start, (end - start) / 32, count, 40
    found = march_kernel.opacity_at_own_steps(grid.bricks, *way)
    monkeypatch.setattr(grid_at_once, "has_kernel", lambda device: False)
    plain = grid_at_once.opacity_at_own_steps(grid.bricks, *way)
    assert plain.max() > 0.9
    torch.testing.assert_close(found, plain, atol=3e-5, rtol=1e-3)


def test_a_kernel_that_fails_is_named_once(monkeypatch):
    """Whatever goes wrong as it is tried (here: there is no such device), PyTorch's own operations take its place."""
    device = torch.device("cuda", 99)
    with pytest.warns(UserWarning, match=r"no Triton kernel for the density grid on cuda:99 \(.+\)"):
        assert not grid_at_once.has_kernel.__wrapped__(device)
    monkeypatch.setitem(sys.modules, "triton", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not grid_at_once.has_kernel.__wrapped__(device)
