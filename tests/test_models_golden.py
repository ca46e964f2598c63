"""Encoder, mapping network, field and whole renders against the official code's numbers (both data sets)."""

import copy
import json

import numpy as np
import pytest
import torch
from conftest import GOLDEN

from models.checkpoints import to_official
from models.pigan.cameras import Camera, camera_origins, camera_to_world, pixel_directions, rotate
from models.pigan.codes import Codes
from models.pigan.fast.fold import FoldedField
from models.pigan.render import render_rays
from models.pigan.sampling import RayNoise
from models.pigan.siren import FILM_LAYERS
from models.sem2nerf import Sem2NeRF

TAGS = ("celebahq", "catmask")
PREFIX = {"celebahq": "", "catmask": "cat."}


@pytest.fixture(scope="module", params=TAGS)
def tag(request):
    return request.param


@pytest.fixture(scope="module")
def official(tag):
    """An official-layout checkpoint with the reference's seeded weights."""
    import make_checkpoint

    return make_checkpoint.build(tag)


@pytest.fixture(scope="module")
def net(official):
    from models.checkpoints import to_native

    return Sem2NeRF.from_contents(to_native(official), "seeded")


@pytest.fixture(scope="module")
def masks(tag):
    """Network inputs of every sample mask, rebuilt from labels, contours and distances."""
    data = np.load(GOLDEN / f"inputs_{tag}.npz")
    label = torch.from_numpy(data["label"]).long()
    one_hot = torch.nn.functional.one_hot(label, {"celebahq": 16, "catmask": 8}[tag]).permute(0, 3, 1, 2).float()
    maps = torch.from_numpy(np.stack([data["contour"], data["dist"]], 1)).float() / 255
    return torch.cat([one_hot, maps], 1)


@pytest.fixture(scope="module")
def codes(net, masks):
    """Codes of mask 0, mean code added."""
    with torch.no_grad():
        return net.encode(masks[:1])


def assert_close(actual, expected, relative):
    """Largest difference relative to the expected values' own scale (their standard deviation)."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    error = (torch.as_tensor(actual).double() - expected).abs().max().item()
    assert error <= relative * expected.std().item(), (error, expected.std().item())


def test_encoder_codes(net, masks, tag, golden):
    reference = golden(f"encoder_{tag}")
    with torch.no_grad():
        out = Codes(*net.encoder(masks).chunk(2, -1))
    assert_close(out.frequencies, reference["freq"], 5e-4)
    assert_close(out.phase_shifts, reference["shift"], 5e-4)


def test_mean_code_is_added(codes, tag, golden):
    reference = golden(f"latents_{tag}")
    assert_close(codes.frequencies, reference["plus_avg_freq"], 5e-4)
    assert_close(codes.phase_shifts, reference["plus_avg_shift"], 5e-4)


@pytest.mark.parametrize("seed", [0, 92, 711, 390234])
def test_style_codes(net, tag, golden, seed):
    from models.pigan.siren import style_code

    reference = golden(f"latents_{tag}")
    style = style_code(net.siren, seed)
    assert_close(style.frequencies, reference[f"map_freq_{seed}"], 5e-4)
    assert_close(style.phase_shifts, reference[f"map_shift_{seed}"], 5e-4)


def test_mixed_codes(net, codes, tag, golden):
    reference = golden(f"latents_{tag}")
    mixed = net.styled(codes, 711, (6, 7, 8))
    assert_close(mixed.frequencies, reference["mixed_freq"], 5e-4)
    assert_close(mixed.phase_shifts, reference["mixed_shift"], 5e-4)


def siren_inputs(tag):
    import golden_values as gv

    points = torch.from_numpy((gv.uniform(f"{tag}.siren.points", (2, 1024, 3)) - 0.5) * 0.3)
    dirs = torch.nn.functional.normalize(torch.from_numpy(gv.normal(f"{tag}.siren.dirs", (2, 1024, 3))), dim=-1)
    codes = Codes(*(torch.from_numpy(np.concatenate([gv.normal(f"{tag}.code.{k}.{i}", (1, 2304), 0.3) for k in (0, 1)]))
                    for i in (0, 1)))
    return points, dirs, codes


def test_field(net, tag, golden):
    reference = golden(f"siren_{tag}")
    points, dirs, codes = siren_inputs(tag)
    with torch.no_grad():
        for name, view in (("out", dirs), ("out_locked", None)):
            rgb, density = net.siren(points, codes, view)
            assert_close(rgb, reference[name][..., :3], 5e-4)
            assert_close(density, reference[name][..., 3], 5e-4)


def test_folded_field_is_the_locked_field(net, tag, golden):
    reference = golden(f"siren_{tag}")["out_locked"]
    points, _, codes = siren_inputs(tag)
    for k in (0, 1):
        field = FoldedField(net.siren, codes[k])
        features = field.features(points[k])
        assert_close(field.density(features), reference[k, :, 3], 5e-4)
        assert_close(field.colour(features), reference[k, :, :3], 5e-4)


def test_gradients_of_codes(net, tag, golden):
    import golden_values as gv

    reference = golden(f"siren_{tag}")
    points, dirs, codes = siren_inputs(tag)
    codes = Codes(*(value[:1].clone().requires_grad_() for value in (codes.frequencies, codes.phase_shifts)))
    rgb, density = net.siren(points[:1, :64], codes, dirs[:1, :64])
    weight = torch.from_numpy(gv.normal(f"{tag}.siren.gradw", (1, 64, 4)))
    (torch.cat([rgb, density[..., None]], -1) * weight).sum().backward()
    assert_close(codes.frequencies.grad, reference["grad_freq"], 5e-4)
    assert_close(codes.phase_shifts.grad, reference["grad_shift"], 5e-4)


def assert_image(view, image, depth=None, but_for=None):
    """The bound for a image with the official random numbers: max 2e-3, mean 1e-5 on [-1, 1]; depth max 2e-4.

    Args:
        but_for: number of a ray that another test accounts for.
    """
    error = np.abs(view.rgb.numpy() - image).reshape(3, -1)
    assert error.mean() < 1e-5, error.mean()
    assert np.delete(error, but_for or [], axis=1).max() < 2e-3, np.sort(error.max(0))[-5:]
    if depth is not None:
        error = np.abs(view.depth.numpy() - depth).ravel()
        assert error.mean() < 1e-6, error.mean()
        assert np.delete(error, but_for or []).max() < 2e-4, np.sort(error)[-5:]


def recorded(name, rays, samples):
    import golden_values as gv

    return RayNoise(torch.from_numpy(gv.uniform(f"{name}.1", (1, rays, samples, 1)).reshape(rays, samples)),
                    torch.from_numpy(gv.uniform(f"{name}.5", (rays, samples))))


@pytest.mark.parametrize("i", range(4))
def test_render_with_recorded_noise(net, codes, tag, golden, i):
    reference = golden(f"render_{tag}")
    yaw, pitch, fov = reference["poses"][i]
    view = net.scene_of(codes).render(Camera(yaw, pitch, fov), 64, 24, noise=recorded(f"{tag}.render{i}", 4096, 24))
    assert_image(view, reference[f"seeded{i}_image"], reference[f"seeded{i}_depth"])


def test_render_with_half_noise(net, codes, tag, golden):
    """All draws 0.5, importance draws included: not the deterministic midpoints, but the same code path."""
    reference = golden(f"render_{tag}")
    noise = RayNoise(torch.full((4096, 24), 0.5), torch.full((4096, 24), 0.5))
    yaw, pitch, fov = reference["poses"][0]
    view = net.scene_of(codes).render(Camera(yaw, pitch, fov), 64, 24, noise=noise)
    assert_image(view, reference["half0_image"], reference["half0_depth"])


# The one ray, among those of all images here, that float32 does not settle: `test_a_ray_at_the_edge_of_a_bin`.
UNSETTLED = {"celebahq": 2447, "catmask": None}


def seeded_draws(tag, generator, rays, samples):
    """A generator's draws in the order of the official inference."""
    torch.randn(10000, 256, generator=generator)  # it draws (and ignores) a new mean code first
    perturbation = torch.rand(1, rays, samples, 1, generator=generator).reshape(rays, samples)
    for _ in range(2):  # yaw and pitch, times a spread of zero
        (torch.randn if tag == "celebahq" else torch.rand)(1, 1, generator=generator)
    torch.randn(1, rays, samples, 1, generator=generator)  # density noise, times zero
    return RayNoise(perturbation, torch.rand(rays, samples, generator=generator))


@pytest.fixture(scope="module")
def seed_7(net, codes, tag, golden):
    """The view of the first pose with the draws of seed 7, and these draws."""
    noise = seeded_draws(tag, torch.Generator().manual_seed(7), 4096, 24)
    return net.scene_of(codes).render(Camera(*golden(f"render_{tag}")["poses"][0]), 64, 24, noise=noise), noise


def test_render_with_torch_seed(seed_7, tag, golden):
    """The generator's draws in the official order reproduce `torch.manual_seed(7)` followed by a render."""
    reference = golden(f"render_{tag}")
    view, _ = seed_7
    assert_image(view, reference["manual_seed7_image"], reference["manual_seed7_depth"], but_for=UNSETTLED[tag])


def test_a_ray_at_the_edge_of_a_bin(net, codes, seed_7, tag, golden):
    """One importance draw of this ray lies 2.5e-6 beyond the edge of a bin that holds 3e-5 of the ray's probability.

    There a step of 1e-6 in the draw moves the sample by 4e-4, and float32 knows the edge to some 6e-6 (densities in the
    hundreds, to seven digits). So the official number and ours have to be what float64 gives for draws moved by no more
    than that: 1e-5. Without such a shift the official number is further from float64 than the bound, ours may be too.
    """
    ray = UNSETTLED[tag]
    if ray is None:
        pytest.skip("every ray of this image keeps the bound")
    reference = golden(f"render_{tag}")
    view, noise = seed_7
    yaw, pitch, fov = torch.from_numpy(reference["poses"][0]).double()
    shifts = torch.linspace(-1e-5, 1e-5, 201, dtype=torch.float64)
    perturbation, importance = (value[ray].double().expand(1, 201, 24) for value in noise)
    origin = camera_origins(yaw[None], pitch[None])
    direction = rotate(pixel_directions(64, fov.item()).double()[ray : ray + 1], camera_to_world(origin))
    wide = Codes(codes.frequencies.double(), codes.phase_shifts.double())
    camera_preset = net.config.camera
    with torch.no_grad():
        out = render_rays(copy.deepcopy(net.siren).double(), wide, origin, direction.expand(1, 201, 3),
                          near=camera_preset.ray_start, far=camera_preset.ray_end, samples=24, hierarchical=True,
                          lock_view_dependence=True, last_back=True,
                          noise=RayNoise(perturbation, importance + shifts[:, None]))
    colours = out.rgb[0].numpy() * 2 - 1
    official = reference["manual_seed7_image"].reshape(3, -1)[:, ray]
    assert np.abs(colours[100] - official).max() > 2e-3, "float64 settles this ray after all: bound it like the others"
    for colour, depth in ((official, reference["manual_seed7_depth"].ravel()[ray]),
                          (view.rgb.reshape(3, -1)[:, ray].numpy(), view.depth.ravel()[ray].item())):
        error = np.abs(colours - colour).max(1)
        assert error.min() < 1e-4, error.min()
        assert abs(out.depth[0, error.argmin()].item() - depth) < 2e-5


def test_render_after_the_style_was_drawn(net, codes, tag, golden):
    """The official `--latent_mask 8 --inject_code_seed 92`: style and samples come from one generator, in turn."""
    reference = golden(f"render_{tag}")
    generator = torch.Generator().manual_seed(92)
    torch.randn(1, 256, generator=generator)  # z of the style
    scene = net.scene_of(net.styled(codes, 92, (8,)))
    view = scene.render(Camera(np.pi / 2 + 0.2, np.pi / 2 + 0.1), 32, 12,
                        noise=seeded_draws(tag, generator, 1024, 12))
    assert_image(view, reference["inject92_mask8_image"], reference["inject92_mask8_depth"])


def test_render_with_injected_style(net, codes, tag, golden):
    reference = golden(f"render_{tag}")
    camera = Camera(np.pi / 2 + 0.2, np.pi / 2 + 0.1)
    scene = net.scene_of(net.styled(codes, 92, (6, 7, 8)))
    view = scene.render(camera, 32, 12, noise=recorded(f"{tag}.inj", 1024, 12))
    assert_image(view, reference["inject92_mask678_seeded_image"])


def test_render_without_pose(net, codes, tag, golden):
    reference = golden(f"render_{tag}")
    view = net.scene_of(codes).render(None, 32, 12, noise=recorded(f"{tag}.nopose", 1024, 12))
    assert_image(view, reference["nopose_seeded_image"])


def test_official_layout_round_trip(net, official, tag):
    """Our contents written in the official layout are the official file: same keys in the same order, same bits."""
    from models.checkpoints import to_native

    back = to_official(to_native(official))
    layout = json.loads((GOLDEN / f"keys_{tag}.json").read_text())
    assert list(back["state_dict"]) == [entry[0] for entry in layout["state_dict"]]
    for key, value in official["state_dict"].items():
        assert back["state_dict"][key].dtype == value.dtype
        assert torch.equal(back["state_dict"][key], value), key
    assert back.keys() == official.keys()


def test_parameters_have_the_official_order(net, tag):
    """So official optimiser state i belongs to our i-th parameter."""
    layout = json.loads((GOLDEN / f"keys_{tag}.json").read_text())
    official = [key for key, *_ in layout["state_dict"] if key.startswith("encoder.")
                and not key.endswith(("attn_mask", "relative_position_index"))]
    assert [f"encoder.{name}" for name, _ in net.encoder.named_parameters()] == official


def test_layer_count():
    assert FILM_LAYERS == 9
