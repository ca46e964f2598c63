"""Scenes and codes: the fast path equals the definition, whatever the blocks, threads and batch."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny import tiny_model

from models.pigan.cameras import FRONTAL, Camera, camera_origins, camera_to_world, pixel_directions, rotate
from models.pigan.codes import Codes
from models.pigan.fast.grid_sampling import render_block_with_grid
from models.pigan.render import render_rays
from models.pigan.sampling import RayNoise
from models.pigan.siren import style_code
from models.scene import Scene

SIZE, SAMPLES = 12, 8


@pytest.fixture(scope="module")
def net():
    return tiny_model(contrast=3)


@pytest.fixture(scope="module")
def codes(net):
    return style_code(net.siren, 3)


def definition(net, codes, camera, noise):
    """The same image by the differentiable renderer, in float64."""
    preset = net.config.camera
    origin = camera_origins(torch.tensor([camera.yaw]), torch.tensor([camera.pitch]))
    directions = rotate(pixel_directions(SIZE, camera.fov_deg or preset.fov_deg), camera_to_world(origin))
    siren, codes = copy.deepcopy(net.siren).double(), Codes(codes.frequencies.double(), codes.phase_shifts.double())
    return render_rays(siren, codes, origin.double(), directions.double(), near=preset.ray_start,
                       far=preset.ray_end, samples=SAMPLES, hierarchical=True, lock_view_dependence=True,
                       last_back=preset.eval_last_back, noise=noise)


@pytest.mark.parametrize("random", [False, True])
def test_scene_equals_the_differentiable_renderer(net, codes, random):
    camera = Camera(1.3, 1.7, 15.0)
    noise = None
    if random:
        noise = RayNoise(*torch.rand(2, SIZE * SIZE, SAMPLES, generator=torch.Generator().manual_seed(0)))
    view = net.scene_of(codes).render(camera, SIZE, SAMPLES, noise=noise)
    batched = None if noise is None else RayNoise(*(value[None].double() for value in noise))
    out = definition(net, codes, camera, batched)
    rgb, depth = (out.rgb[0].float() * 2 - 1).t().reshape(3, SIZE, SIZE), out.depth[0].float().reshape(SIZE, SIZE)
    assert view.rgb.std() > 0.05  # there is something to see
    assert torch.allclose(view.rgb, rgb, atol=1e-4)
    # a sample next to a bin's border may fall to either side of it: the definition in float32 errs by up to 2e-5 too
    assert (view.depth - depth).abs().mean() < 1e-6
    assert (view.depth - depth).abs().max() < 3e-5


def test_blocks_and_threads_do_not_change_a_image(net, codes):
    reference = net.scene_of(codes).render(None, SIZE, SAMPLES).rgb
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            small = net.scene_of(codes, max_block=100).render(None, SIZE, SAMPLES).rgb
            assert torch.allclose(small, reference, atol=1e-5)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_rendering_is_deterministic_unless_asked(net, codes):
    scene = net.scene_of(codes)
    views = [scene.render(None, SIZE, SAMPLES).rgb for _ in range(2)]
    assert torch.equal(*views)
    jittered = [scene.render(None, SIZE, SAMPLES, generator=torch.Generator().manual_seed(seed)).rgb
                for seed in (1, 1, 2)]
    assert torch.equal(jittered[0], jittered[1])
    assert not torch.equal(jittered[0], jittered[2])
    assert not torch.equal(jittered[0], views[0])


def test_opacity_and_depth_are_in_range(net, codes):
    view = net.scene_of(codes).render(None, SIZE, SAMPLES)
    assert view.opacity.min() >= 0
    assert view.opacity.max() <= 1 + 1e-5
    assert view.depth.min() >= 0.88 - 1e-4
    assert view.depth.max() <= 1.12 + 1e-4


def test_progress_counts_every_ray(net, codes):
    counted = []
    net.scene_of(codes, max_block=100).render(None, SIZE, SAMPLES, on_rays=counted.append)
    assert sum(counted) == SIZE * SIZE
    assert len(counted) > 5


def test_density_of_points(net, codes):
    scene = Scene(net.siren, codes, net.config.camera, max_block=7)
    points = (torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.2
    _, density = net.siren(points[None], codes)
    assert torch.allclose(scene.density(points), density[0], rtol=1e-3, atol=1e-2)
    assert scene.density(points[:0]).shape == (0,)


def test_bad_sizes(net, codes):
    for size, samples in ((0, 8), (8, 2)):
        with pytest.raises(ValueError, match="samples at least 3"):
            net.scene_of(codes).render(None, size, samples)


def test_scene_of_a_mask_with_a_style(net):
    mask = torch.rand(18, 224, 224, generator=torch.Generator().manual_seed(0))
    plain, styled = net.scene(mask), net.scene(mask, style_seed=5, style_layers=[8])
    assert torch.equal(plain.codes.frequencies[:, : 8 * 16], styled.codes.frequencies[:, : 8 * 16])
    assert not torch.equal(plain.codes.frequencies[:, 8 * 16 :], styled.codes.frequencies[:, 8 * 16 :])
    # only the colour layer changed: same shape, other colours
    views = [scene.render(None, SIZE, SAMPLES) for scene in (plain, styled)]
    assert torch.equal(views[0].depth, views[1].depth)
    assert not torch.allclose(views[0].rgb, views[1].rgb, atol=1e-3)


def test_code_layers_by_hand():
    mine = Codes(torch.zeros(2, 6), torch.zeros(2, 6))
    other = Codes(torch.arange(6.0)[None], 10 + torch.arange(6.0)[None])
    mixed = mine.with_layers_from(other, layers=[2], width=2)
    assert mixed.frequencies.tolist() == [[0, 0, 0, 0, 4, 5]] * 2
    assert mixed.phase_shifts.tolist() == [[0, 0, 0, 0, 14, 15]] * 2
    assert mine.with_layers_from(other, [0], 2, alpha=0.5).frequencies.tolist() == [[0, 0.5, 0, 0, 0, 0]] * 2
    assert mine.lerp(other, 0.25).frequencies[0, 4] == 1
    assert len(mixed[1]) == len(mixed[-1]) == 1
    assert mine.frequencies.abs().max() == 0  # the original is untouched


def test_predicted_z_goes_through_the_mapping_network():
    from tiny import FACE_OPTS

    net = tiny_model({**FACE_OPTS, "encoder_not_zplus": True, "start_from_latent_avg": False})
    mask = torch.rand(1, 18, 224, 224, generator=torch.Generator().manual_seed(0))
    z = net.encoder(mask)
    assert z.shape == (1, 8)
    assert torch.equal(net.encode(mask).frequencies, net.siren.mapping_network(z).frequencies)


def test_frontal_default():
    assert Camera().yaw == Camera().pitch == math.pi / 2


CAMERAS = [Camera(FRONTAL + yaw, FRONTAL + pitch, fov_deg) for yaw, pitch, fov_deg in
           ((0.0, 0.0, None), (-0.4, 0.1, 16.0), (0.5, 0.0, None), (0.0, -0.4, 9.0), (-0.2, 0.3, 20.0),
            (3.0, 0.0, None))]


def in_threads(scene, sampler, cameras, threads=2):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda camera: scene.render(camera, 24, 12, sampler=sampler), cameras))


@pytest.mark.parametrize("sampler", ["exact", "grid"])
def test_two_threads_render_a_prepared_scene(net, codes, sampler):
    """The images of two threads are those of one, bit by bit."""
    alone, shared = net.scene_of(codes), net.scene_of(codes)
    for scene in (alone, shared):
        scene.prepare(CAMERAS, 24, 12, sampler)
    expected = [alone.render(camera, 24, 12, sampler=sampler) for camera in CAMERAS]
    for view, other in zip(in_threads(shared, sampler, CAMERAS), expected, strict=True):
        for name in ("rgb", "depth", "opacity"):
            assert torch.equal(getattr(view, name), getattr(other, name)), name


def test_a_view_does_not_see_what_another_thread_adds_meanwhile(net, codes, monkeypatch):
    """Between a view's start and its pixels another thread prepares all other views."""
    expected = net.scene_of(codes).render(CAMERAS[0], 24, 12, sampler="grid")
    scene = net.scene_of(codes)

    def interrupted(*args, **settings):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(scene.prepare, CAMERAS, 24, 12).result()
        return render_block_with_grid(*args, **settings)

    monkeypatch.setattr("models.scene.render_block_with_grid", interrupted)
    assert torch.equal(scene.render(CAMERAS[0], 24, 12, sampler="grid").rgb, expected.rgb)
    assert not torch.equal(scene.render(CAMERAS[0], 24, 12, sampler="grid").rgb, expected.rgb)  # now it does


def test_a_gpu_that_cannot_multiply_in_bfloat16_costs_a_line():
    """GPUs before the A100, for which the meta device stands here, compute in fp32."""
    net = tiny_model().to("meta")
    with pytest.warns(UserWarning, match=r"`precision` bf16: this GPU.*fp32 is used instead"):
        scene = net.scene_of(style_code(net.siren, 1), precision="bf16")
    assert scene.field.layers[1][0].dtype == torch.float32
