"""Scenes as volumes of bytes, and what travels of them."""

import json
import math
import struct
import zlib

import numpy as np
import pytest
import torch
from conftest import ROOT
from tiny import CAT_OPTS, tiny_model
from torch.nn import functional as F

from configs.data_configs import CAMERA_PRESETS
from models.pigan.cameras import FRONTAL, Camera, camera_rays
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import style_code
from models.sem2nerf import Sem2NeRF
from web.volume.baking import OVERSHOOT, Cancelled, Evaluator, Volume, bake, centres, enlarge, to_bytes
from web.volume.packing import COLOUR_STEP, EMPTY_BELOW, difference, enlarged, pack
from web.volume.viewing import Viewing
from web.volume.visibility import background_texels, nearest, texel_of, visible

LUMPS_BELOW = 3000.0  # what is taken off the densities of a tiny field


@pytest.fixture(scope="module")
def scene():
    """A few opaque lumps."""
    net = tiny_model(contrast=20)
    net.siren.final_layer.weight.mul_(10)
    net.siren.final_layer.bias.fill_(-LUMPS_BELOW)
    return net.scene_of(style_code(net.siren, 1))


@pytest.fixture(scope="module")
def volumes(scene):
    return list(bake(scene, (8, 16, 24)))


def density_of(volume):
    return (volume.rgba[..., 3].astype(float) - 128) * volume.density_scale / 127


def test_texels_hold_the_field_at_their_centres(scene, volumes):
    coarse = volumes[0]
    points = centres(8, coarse.half, torch.device("cpu"))
    rgb, density = scene.field(points)
    assert np.abs(coarse.rgba.reshape(-1, 4)[:, :3] - rgb.numpy() * 255).max() <= 0.5 + 1e-3
    wanted = density.numpy().clip(-coarse.density_scale * 128 / 127, None)
    assert np.abs(density_of(coarse).reshape(-1) - wanted).max() <= coarse.density_scale / 254 + 1e-2
    # x runs fastest, then y, then z; the first centre is half a texel inside
    step = 2 * coarse.half / 8
    assert torch.allclose(points[1] - points[0], torch.tensor([step, 0, 0]), atol=1e-6)
    assert torch.allclose(points[8] - points[0], torch.tensor([0, step, 0]), atol=1e-6)
    assert torch.allclose(points[0], torch.full((3,), -coarse.half + step / 2), atol=1e-6)
    assert texel_of(points, 8, coarse.half).tolist() == list(range(512))


def test_finer_volumes_hold_the_field_where_something_can_be_seen(scene, volumes):
    viewing = Viewing.of(scene.preset)

    def field(size):
        rgb, density = scene.field(centres(size, viewing.half, torch.device("cpu")))
        return torch.cat([rgb, density[:, None]], 1).reshape(size, size, size, 4)

    coarse, middle = field(8), enlarge(field(8)[..., 3:], 12)[..., 0]
    guess = nearest(visible(coarse[..., 3].contiguous(), viewing, OVERSHOOT), 12)
    middle[guess] = field(12)[..., 3][guess]
    cells = visible(middle.contiguous(), viewing)
    assert 0.05 < cells.float().mean() < guess.float().mean() < 0.95
    for volume in volumes[1:]:
        seen = nearest(cells, volume.size).numpy()
        rgb = field(volume.size)[..., :3].numpy()
        assert np.abs(volume.rgba[..., :3][seen] - rgb[seen] * 255).max() <= 0.5 + 1e-2
        between = enlarge(coarse, volume.size)[..., :3].numpy()
        assert np.abs(volume.rgba[..., :3][~seen] - between[~seen] * 255).max() <= 0.5 + 1e-2
        assert volume.density_scale == volumes[0].density_scale


def marched(texels, viewing, yaw, pitch, side=64, steps=96):
    """An image of floats [z, y, x, 4], as the viewer draws it, without a background."""
    origin, directions = camera_rays(Camera(FRONTAL + yaw, FRONTAL + pitch, viewing.fov), side, viewing.fov)
    step = (viewing.ray_end - viewing.ray_start) / steps
    places = (origin + directions[:, None] * (viewing.ray_start + (torch.arange(steps)[:, None] + 0.5) * step)
              ) / viewing.half
    *rgb, density = F.grid_sample(texels.permute(3, 0, 1, 2)[None], places[None, None], align_corners=False)[0, :, 0]
    passed = density.relu() * step
    weights = torch.exp(passed - passed.cumsum(1)) * (1 - torch.exp(-passed))
    return (torch.stack(rgb) * weights).sum(2)


def test_what_is_left_out_is_not_missed():
    """Of the bundled weights: a head of which a fraction was evaluated looks like one that was evaluated everywhere."""
    scene = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt").scene(
        ROOT / "data/CelebAMask-HQ/mask_samples/90002_glasses.png")
    viewing, size = Viewing.of(scene.preset), 48
    fine = list(bake(scene, (16, size)))[1]
    everywhere = Evaluator(scene, lambda: False, None)
    whole = to_bytes(everywhere.in_blocks(everywhere.coloured, everywhere.centres(size)).reshape(size, size, size, 4),
                     fine.density_scale)
    equal = (whole == fine.rgba).all(-1).mean()
    assert equal < 0.6  # something has been left out

    def floats(rgba):
        return torch.from_numpy(rgba - np.array([0, 0, 0, 128.0])).float() / torch.tensor(
            [255, 255, 255, 127 / fine.density_scale])

    for yaw, pitch in ((0.0, 0.0), (-0.45, 0.2), (0.75, -0.35)):
        error = marched(floats(fine.rgba), viewing, yaw, pitch) - marched(floats(whole), viewing, yaw, pitch)
        assert -10 * math.log10(error.square().mean()) > 60


def test_what_can_be_seen_by_hand():
    """A wall before the viewer: its front counts, and what is just before it, not what is behind, nor empty space."""
    viewing = Viewing(12, (3, 13), (-0.01, 0.01), (-0.01, 0.01), 0.88, 1.12)
    density = torch.full((16, 16, 16), -1.0)
    density[:8] = 1e5
    seen = visible(density, viewing)[:, 8, 8].tolist()
    assert seen == [False] * 7 + [True] * 2 + [False] * 7
    # a thin veil lets 99% of the light pass: it counts for little, the wall behind it for all
    density[12] = 0.01 / (0.24 / 28)
    assert visible(density, viewing)[:, 8, 8].tolist() == seen
    density[12] = 0.05 / (0.24 / 28)
    assert visible(density, viewing)[:, 8, 8].tolist() == seen[:11] + [True] * 3 + [False] * 2


def test_what_is_thinner_than_a_texel_may_be_there():
    """Where density rises towards zero from one texel to the next, it may be positive between them."""
    viewing = Viewing(12, (3, 13), (-0.01, 0.01), (-0.01, 0.01), 0.88, 1.12)
    density = torch.full((16, 16, 16), -100.0)
    density[8] = -20
    assert not visible(density, viewing).any()
    assert not visible(density, viewing, 0.2).any()
    assert visible(density, viewing, 0.5)[:, 8, 8].tolist() == [False] * 7 + [True] * 3 + [False] * 6


def test_another_size_takes_the_texel_in_which_a_centre_lies():
    old = torch.arange(8).reshape(2, 2, 2)
    assert nearest(old, 4)[0, 0].tolist() == [0, 0, 1, 1]
    assert nearest(old, 3)[:, 0, 0].tolist() == [0, 4, 4]
    assert nearest(torch.arange(64).reshape(4, 4, 4), 6)[0, 0].tolist() == [0, 1, 1, 2, 3, 3]


def test_a_background_has_every_ray_s_end(scene):
    viewing, size = Viewing.of(scene.preset), 32
    chosen = set(background_texels(viewing, size).tolist())
    assert len(chosen) < size**3 / 2
    rng = np.random.default_rng(0)
    for _ in range(40):
        yaw, pitch, fov = (rng.uniform(*limits) for limits in (viewing.yaw_range, viewing.pitch_range,
                                                               viewing.fov_range))
        origin, rays = camera_rays(Camera(FRONTAL + yaw, FRONTAL + pitch, fov), 9, viewing.fov)
        ends = origin + rays * viewing.ray_end
        assert ends.abs().max() <= viewing.background_half + 1e-6
        # of the eight texels that interpolation mixes, each
        place = (ends / viewing.background_half + 1) / 2 * size - 0.5
        for corner in range(8):
            x, y, z = (place.floor() + torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2])).clamp(
                0, size - 1).long().unbind(1)
            assert set(((z * size + y) * size + x).tolist()) <= chosen


def test_a_newer_wish_ends_the_work_within_a_block(scene):
    asked, limit = [], 3

    def cancelled():
        asked.append(1)
        return len(asked) > limit

    with pytest.raises(Cancelled):
        list(bake(scene, (24, 48), cancelled))
    assert len(asked) <= limit + 2 * torch.get_num_threads()


def test_sizes_must_be_multiples(scene):
    with pytest.raises(ValueError, match=r"multiples of the first, got \(8, 20\)"):
        next(bake(scene, (8, 20)))


@pytest.mark.parametrize("preset", CAMERA_PRESETS.values(), ids=lambda preset: preset.name)
def test_the_viewing_of_every_camera_preset(preset):
    viewing = Viewing.of(preset)
    assert viewing.fov_range[0] < preset.fov_deg < viewing.fov_range[1]
    assert viewing.half > math.tan(math.radians(preset.fov_deg / 2))
    assert set(viewing.as_preset()) == {"fov", "fovRange", "yawRange", "pitchRange", "rayStart", "rayEnd"}


def test_labels_of_a_scene_with_a_semantic_head():
    net = tiny_model(CAT_OPTS, contrast=20)
    generator = torch.Generator().manual_seed(0)
    net.semantic_head = SemanticHead((1, 3), "CatMask_merged", torch.randn(8, 32, generator=generator), torch.zeros(8))
    scene = net.scene_of(style_code(net.siren, 1))
    coarse, fine = bake(scene, (8, 16))
    wanted = scene.appearance(centres(8, coarse.half, torch.device("cpu")))[1].argmax(1)
    assert coarse.labels.reshape(-1).tolist() == wanted.tolist()
    assert len(set(wanted.tolist())) > 2
    assert fine.labels.shape == (16, 16, 16)
    assert (fine.labels != coarse.labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)).any()


def unpacked(data, coarse=None):
    """What any reader makes of the bytes, in a few lines of NumPy."""
    length = struct.unpack("<I", data[4:8])[0]
    header, at, parts = json.loads(data[8:8 + length]), 8 + length, {}
    for name, size in header["parts"].items():
        parts[name] = np.frombuffer(zlib.decompress(data[at:at + size]), np.uint8) if size else None
        at += size
    assert at == len(data)
    size = header["size"]
    rgba = np.moveaxis(parts["rgba"].reshape(4, size, size, size), 0, -1)
    return header, rgba if coarse is None else (enlarged(coarse, size) + rgba).astype(np.uint8), parts


def test_packed_volumes(volumes):
    coarse, _, fine = volumes
    header, rgba, parts = unpacked(pack(coarse))
    assert (rgba == coarse.rgba).all()
    assert (np.moveaxis(parts["background"].reshape(3, 4, 4, 4), 0, -1) == coarse.background).all()
    assert (header["base"], header["densityScale"], parts["labels"]) == (0, coarse.density_scale, None)
    header, rgba, _ = unpacked(pack(fine, coarse), coarse.rgba)
    solid = fine.rgba[..., 3] > EMPTY_BELOW
    assert header["base"] == 8
    assert (rgba[..., 3] == fine.rgba[..., 3])[solid].all()
    assert (rgba[..., 3][~solid] <= 128).all()
    assert np.abs(rgba[..., :3][solid].astype(int) - fine.rgba[..., :3][solid]).max() <= COLOUR_STEP - 1


def test_differences_stay_in_range():
    """Colours next to 0 and 255 are not rounded over the edge, where they would come out at the other end."""
    rng = np.random.default_rng(0)
    fine = rng.choice(np.array([0, 1, 2, 253, 254, 255], np.uint8), (6, 6, 6, 4))
    fine[..., 3] = 255
    coarse = rng.integers(0, 256, (3, 3, 3, 4), dtype=np.uint8)
    back = (enlarged(coarse, 6) + difference(fine, coarse)).astype(np.uint8)
    assert np.abs(back.astype(int) - fine).max() <= COLOUR_STEP - 1


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_enlarging_in_whole_numbers_is_what_graphics_processors_do(factor):
    texels = np.random.default_rng(1).integers(0, 256, (5, 5, 5, 4), dtype=np.uint8)
    wanted = enlarge(torch.from_numpy(texels).float(), 5 * factor).numpy()
    assert np.abs(enlarged(texels, 5 * factor) - wanted).max() <= 0.5 + 1e-3


def test_a_volume_is_packed_relative_to_one_that_fits(volumes):
    small = Volume(volumes[0].rgba[:7, :7, :7], 1, 1, volumes[0].background, 1)
    with pytest.raises(ValueError, match="multiple of 7, got 24"):
        pack(volumes[2], small)
