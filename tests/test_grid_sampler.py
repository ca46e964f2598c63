"""The grid sampler: its quadrature on cases worked out by hand, its images against the exact path."""

import gc
import math
import weakref

import pytest
import torch
from tiny import tiny_model

from models.pigan.cameras import Camera, camera_rays
from models.pigan.fast.bricks import CELL
from models.pigan.fast.density_grid import DensityGrid
from models.pigan.fast.grid_sampling import QUADRATURE_SIZES, Budget, invert, legendre, place_samples, samples_needed
from models.pigan.siren import style_code
from options.inference_options import parse_options
from utils.errors import UserError

NEAR, FAR, BUDGET = 0.88, 1.12, Budget(0.0055, 20)
# far to the side of the box as well as in front of it: a camera's slab of depths turns with the camera
CAMERAS = [Camera(), Camera(0.3, math.pi / 4), Camera(math.pi / 2 + 0.4, math.pi / 2, 22.0)]


@pytest.fixture(scope="module")
def scene():
    net = tiny_model(contrast=5)
    return net.scene_of(style_code(net.siren, 3))


def slab(sharpness: float):
    """A wall of this slope of density that begins at z = 0 and fills z < 0; empty in front."""
    return lambda points: -sharpness * points[:, 2]


def test_legendre_integrates_polynomials_on_the_unit_interval():
    nodes, weights = legendre(3)
    assert weights.sum() == pytest.approx(1)
    assert (weights * nodes**5).sum() == pytest.approx(1 / 6, abs=1e-6)  # exact up to degree 2 * 3 - 1


def test_invert_is_linear_between_borders():
    opacity = torch.tensor([[0.0, 0.0, 0.5, 0.5, 1.0]])
    # .25 is half way through the second step, .75 half way through the fourth
    assert invert(opacity, torch.tensor([[0.25, 0.75]])).tolist() == [[1.5, 3.5]]


def test_thin_surfaces_need_few_samples_and_faint_rays_fewer():
    rules = samples_needed(torch.tensor([0.0, 0.0, 0.03, 1.0]), torch.tensor([0.01, 1.0, 1.0, 1.0]), BUDGET)
    counts = [QUADRATURE_SIZES[rule] for rule in rules]
    assert counts[0] < counts[1] < counts[2] < counts[3] == BUDGET.max_samples


@pytest.mark.parametrize("sharpness", [3e3, 1e5])
def test_samples_lie_where_a_wall_becomes_opaque(sharpness):
    grid = DensityGrid(slab(sharpness), NEAR, FAR)
    grid.cover([Camera()], 12.0)
    origin, directions = camera_rays(Camera(), 1, 12.0)[0], torch.tensor([[0.0, 0.0, -1.0]])
    segments = grid.bricks.segments(Camera(), 12.0, directions)
    samples, opacity = place_samples(grid.bricks, origin, directions, *segments, BUDGET)
    # optical depth at d behind z = 0 is sharpness * d^2 / 2; the wall is seen from 1 in front of it and ends at .12
    assert opacity.item() == pytest.approx(1 - math.exp(-sharpness * 0.12**2 / 2), abs=1e-3)
    mean = (samples.weight * samples.depth).sum() / samples.weight.sum()
    assert mean.item() == pytest.approx(1 + math.sqrt(math.pi / 2 / sharpness), abs=CELL / 10)


def test_an_empty_scene_has_no_samples_and_refines_nothing():
    grid = DensityGrid(lambda points: torch.full((len(points),), -1.0), NEAR, FAR)
    grid.cover([Camera()], 12.0)
    origin, directions = camera_rays(Camera(), 4, 12.0)
    segments = grid.bricks.segments(Camera(), 12.0, directions)
    samples, opacity = place_samples(grid.bricks, origin, directions, *segments, BUDGET)
    assert len(samples.ray) == 0
    assert opacity.max() == 0
    assert not (grid.refined_for > 0).any()


def test_what_a_camera_sees_is_evaluated_once():
    grid = DensityGrid(slab(1e4), NEAR, FAR)
    grid.cover([Camera()], 12.0)
    first = grid.evaluations
    grid.cover([Camera()], 12.0)
    assert grid.evaluations == first > 0
    grid.cover([Camera(yaw=1.3)], 12.0)
    assert first < grid.evaluations < 2 * first


def test_a_grid_has_room_up_to_its_field_of_view():
    with pytest.raises(ValueError, match="24"):
        DensityGrid(slab(1e4), NEAR, FAR).cover([Camera(fov_deg=30.0)], 12.0)


@pytest.mark.parametrize("camera", CAMERAS)
def test_images_equal_a_converged_exact_render(scene, camera):
    exact = scene.render(camera, 24, 192)
    coarse = scene.render(camera, 24, 12)
    view = scene.render(camera, 24, 24, sampler="grid")
    assert exact.rgb.std() > 0.05  # there is something to see
    assert view.evaluations < 20
    error, usual = ((other.rgb - exact.rgb).square().mean() for other in (view, coarse))
    assert 10 * math.log10(4 / error) > 40
    assert error < usual
    # of a field as rough as this one: many thin clouds, whose opacity a grid meets to some percent
    assert (view.opacity - exact.opacity).abs().mean() < 0.04
    assert (view.depth - exact.depth).abs().mean() < 0.006


def test_a_wider_camera_than_the_grid_has_room_for(scene):
    camera = Camera(fov_deg=25.0)
    error = scene.render(camera, 16, 12, sampler="grid").rgb - scene.render(camera, 16, 96).rgb
    assert error.abs().mean() < 0.02
    assert scene.grids[12].fov_deg == 25.0


@pytest.mark.parametrize("psnr, least, by_grid", [(0.0, 0, True), (1000.0, 0, False), (0.0, 10**6, False)])
def test_auto_takes_the_grid_where_it_pays_and_agrees(scene, monkeypatch, psnr, least, by_grid):
    for name, value in (("PROBE_STRIDE", 16), ("PROBE_PSNR", psnr), ("PROBE_MEAN", 1.0),
                        ("MIN_GRID_EVALUATIONS", least)):
        monkeypatch.setattr(f"models.scene.{name}", value)
    monkeypatch.setattr(scene, "_reliable", {})
    view = scene.render(None, 8, 24, sampler="auto")
    assert (view.evaluations < 20) if by_grid else (view.evaluations == 48)


def test_auto_refuses_a_grid_worse_than_the_samples(scene, monkeypatch):
    """A grid so coarse that it errs more than 24 samples do."""
    for name, value in (("PROBE_STRIDE", 16), ("PROBE_PSNR", 0.0), ("PROBE_MEAN", 1.0), ("GRID_TOLERANCE", 1e9),
                        ("GRID_DEPTH_PER_SAMPLE", 1e9)):
        monkeypatch.setattr(f"models.scene.{name}", value)
    for name in ("_reliable", "grids"):
        monkeypatch.setattr(scene, name, {})
    # nothing is seen well enough: nothing is refined
    monkeypatch.setattr("models.pigan.fast.density_grid.MIN_TRANSMITTANCE_TO_REFINE", 2.0)
    assert not scene.grid_is_reliable(24)


def test_prepared_views_do_not_depend_on_their_order(scene, monkeypatch):
    cameras = [Camera(yaw) for yaw in (1.3, 1.57, 1.8)]
    images = []
    for order in ((0, 1, 2), (2, 0, 1)):
        monkeypatch.setattr(scene, "grids", {})
        scene.prepare(cameras, 8, 12)
        made = scene.grids[12].evaluations
        views = {i: scene.render(cameras[i], 8, 12, sampler="grid").rgb for i in order}
        assert scene.grids[12].evaluations == made
        images.append([views[i] for i in range(3)])
    assert all(torch.equal(*pair) for pair in zip(*images))


def test_a_map_in_use_does_not_change():
    """Another view adds bricks, refines cells and makes room; who reads the map before sees nothing of it."""
    grid = DensityGrid(slab(1e4), NEAR, FAR)
    grid.cover([Camera()], 3.0)
    before = grid.bricks
    points = 0.2 * (torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    seen = before.lookup(points)
    grid.cover([Camera(1.2, 1.2, 24.0)], 3.0)
    assert grid.bricks.num_bricks > before.num_bricks
    assert not torch.equal(grid.bricks.lookup(points), seen)
    assert torch.equal(before.lookup(points), seen)


def test_auto_does_not_depend_on_the_first_view(scene, monkeypatch):
    """It is decided by the frontal view, whichever view is asked for first."""
    for name, value in (("PROBE_STRIDE", 16), ("MIN_GRID_EVALUATIONS", 0)):
        monkeypatch.setattr(f"models.scene.{name}", value)
    decisions = []
    for order in ((0, 1), (1, 0)):
        for name in ("_reliable", "grids"):
            monkeypatch.setattr(scene, name, {})
        cameras = [Camera(-1.5), Camera(1.4)]
        for index in order:
            scene.render(cameras[index], 8, 24, sampler="auto")
        assert Camera(fov_deg=scene.preset.fov_deg) in scene.grids[24].covered
        decisions.append(scene._reliable)
    assert decisions[0] == decisions[1]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_auto_takes_a_reliable_grid_for_large_views(scene, monkeypatch, device):
    """On a GPU as on a CPU."""
    monkeypatch.setattr(type(scene.field), "device", torch.device(device))
    monkeypatch.setattr(scene, "_reliable", {24: True, 25: False})
    assert not scene._takes_grid(8, 24, "auto")
    assert scene._takes_grid(8, 24, "grid")
    monkeypatch.setattr("models.scene.MIN_GRID_EVALUATIONS", 0)
    assert scene._takes_grid(8, 24, "auto")
    assert not scene._takes_grid(8, 25, "auto")


def test_only_where_interpolation_errs_all_points_are_asked_for():
    """A wall of constant slope is met by interpolation, a rippled one is not."""
    straight, rippled = (DensityGrid(density, NEAR, FAR) for density in (
        slab(1e4), lambda points: slab(1e4)(points) + 600 * torch.sin(points[:, 0] * math.pi / CELL * 1.5)))
    for grid in (straight, rippled):
        grid.cover([Camera()], 12.0)
    points_of_a_cell = ((grid.evaluations - grid.evaluated.sum()) / (grid.refined_for > 0).sum()
                        for grid in (straight, rippled))
    few, many = (float(value) for value in points_of_a_cell)
    assert few < 3**3 < many < 3**3 + 5**3


def test_a_cell_seen_dimly_is_refined_when_it_is_seen_well():
    """A rippled wall behind fog that lets 8 % of the light through (.1 of density 25), and bare from behind."""
    def density(points):
        ripples = 100 + 600 * torch.sin(points[:, 0] * 1.5 * math.pi / CELL)
        behind = torch.where(points[:, 2] > -0.02, ripples, torch.tensor(-100.0))
        return torch.where(points[:, 2] > 0.02, torch.tensor(25.0), behind)

    front, behind = Camera(), Camera(-math.pi / 2)
    grid = DensityGrid(density, NEAR, FAR)
    grid.cover([front], 3.0)
    only_dimly = (grid.refined_for > 0) & (grid.refined_for < 1)
    grid.cover([behind], 3.0)
    assert (grid.refined_for.isinf() & only_dimly).any()


def test_segments_hold_what_each_ray_sees():
    """A ball of radius .03 at (.01, .02, 0): rays that meet it enter it and are opaque within their segment."""
    middle = torch.tensor([0.01, 0.02, 0.0])
    grid = DensityGrid(lambda points: 1e5 * (0.03 - (points - middle).norm(dim=1)), NEAR, FAR)
    for camera in CAMERAS:
        grid.cover([camera], 12.0)
        origin, directions = camera_rays(camera, 40, 12.0)
        start, end = grid.bricks.segments(camera, 12.0, directions)
        nearest = (directions @ (middle - origin))
        inside = 0.03**2 - ((middle - origin).square().sum() - nearest**2)
        enters = nearest - inside.clamp(min=0).sqrt()
        meets = inside > 0.003**2
        assert 0.01 < meets.float().mean() < 0.5
        assert ((start < enters) & (enters + 2 * CELL < end))[meets].all()
        assert (start == end)[inside < 0.03**2 - 0.055**2].all()
        assert (end - start)[meets].mean() < 0.06


def test_indices_of_wide_grids_are_exact(monkeypatch):
    """More than 2^24 cells, the whole numbers that float32 can tell apart."""
    grid = DensityGrid(slab(1e4), NEAR, FAR)
    monkeypatch.setattr(grid.bricks, "cells", 300)
    corners = torch.tensor([[299.0, 299.0, 299.0], [298.0, 299.0, 299.0]])
    assert grid.bricks.cell_at(corners).tolist() == [26_999_999, 26_999_998]


def test_a_scene_is_freed_with_its_last_name():
    """No cycle between a scene and its grids: their memory must not wait for Python to look for cycles."""
    net = tiny_model(contrast=5)
    scene = net.scene_of(style_code(net.siren, 3))
    scene.prepare([Camera()], 8, 12)
    grid = weakref.ref(scene.grids[12])
    gc.disable()
    try:
        del scene
        assert grid() is None
    finally:
        gc.enable()


def test_what_no_camera_saw_is_interpolated():
    """A wall of constant slope: interpolation between the corners is exact, refined or not."""
    grid = DensityGrid(slab(1e4), NEAR, FAR)
    grid.cover([Camera()], 12.0)
    z = torch.linspace(-0.1, 0.05, 40)
    points = torch.stack([torch.full_like(z, 0.003), torch.full_like(z, -0.002), z], -1)
    cell = grid.bricks.cell_at(((points + grid.bricks.radius) / CELL).floor())
    assert (grid.refined_for[cell] > 0).any()
    assert ((grid.refined_for[cell] == 0) & (grid.bricks.brick_index[cell] > 0)).any()
    assert torch.allclose(grid.bricks.lookup(points), -1e4 * z.clamp(max=0), atol=0.05)


def test_random_numbers_and_unknown_samplers_are_refused(scene):
    with pytest.raises(ValueError, match="exact"):
        scene.render(None, 4, 8, sampler="grid", generator=torch.Generator())
    with pytest.raises(ValueError, match="fast"):
        scene.render(None, 4, 8, sampler="fast")
    with pytest.raises(UserError, match="--stochastic_sampling"):
        parse_options(["--sampler", "grid", "--stochastic_sampling"])
    generator = torch.Generator()
    assert scene.render(None, 4, 8, sampler="auto", generator=generator.manual_seed(1)).evaluations == 16
