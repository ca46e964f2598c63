"""Rays that a decoder learns from: even over labels, and mirrored."""

import numpy as np
import pytest
import torch

from synth_heads.data.dataset import build_dataset, camera_angles, draw_head
from synth_heads.data.record import Settings
from synth_heads.data.view_bank import ViewBank, mirror_rays, repeat_factors, visible_part
from synth_heads.decoder.reconstruction import JITTER, ReconstructionSettings, draw_batch
from synth_heads.generator.head import Head
from synth_heads.generator.latent import mirror_latent
from synth_heads.generator.renderer import MARGIN, render

SETTINGS = Settings(num_heads=2, views=2, size=128, seed=3, merged=True, depth=True, mask_size=256)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "heads"
    build_dataset(out, SETTINGS, workers=1)
    return ViewBank.load(out, "train")


def test_labels_lie_on_the_images(bank):
    view = render(Head.from_latent(bank.z[0]), *bank.cameras[0, 1].tolist(), SETTINGS.size)
    inside = visible_part(SETTINGS.size)
    assert bank.labels.shape == bank.rgb.shape[:-1]
    assert (bank.labels[0, 1] == view.labels[inside, inside]).mean() > 0.96  # the mask on disk is twice as fine


def test_balanced_rays_see_small_parts(bank):
    """The share of rays that meet an eye: its share of the image without balance, many times that with it."""
    def eye_share(balance: float) -> float:
        rng = np.random.default_rng(0)
        places = np.concatenate([bank.rays_at(0, bank.draw_pixels(0, 64, rng, balance)).places[0] for _ in range(60)])
        size = bank.rgb.shape[2]
        column, row = (((places * (1, -1)) / bank.edge + 1) / 2 * (size - 1)).round().astype(int).T
        both = np.isin(bank.labels[0], (4, 5)).any(0)  # an eye of either view
        return float(both[row, column].mean())

    plain, balanced = eye_share(0), eye_share(1)
    assert 0 < plain < 0.05
    assert balanced > 3 * plain
    assert plain < eye_share(0.5) < balanced


def test_balanced_rays_come_in_any_order(bank):
    """The first rays are rendered too: they must not be those of the whole image alone."""
    rng = np.random.default_rng(0)
    first = np.concatenate([bank.rays_at(0, bank.draw_pixels(0, 8, rng, 0.5)).places[0, :4] for _ in range(200)])
    last = np.concatenate([bank.rays_at(0, bank.draw_pixels(0, 8, rng, 0.5)).places[0, 4:] for _ in range(200)])
    assert np.abs(first.std(0) - last.std(0)).max() < 0.05
    assert bank.rays_at(0, bank.draw_pixels(0, 8, rng, 0.5)).places.shape == (1, 8, 2)


def test_mirrored_rays_see_the_mirrored_head(bank):
    """Their colours are those of a image of the head with the mirrored code, from the mirrored side."""
    rays = bank.rays_at(0, bank.draw_pixels(0, 3000, np.random.default_rng(1)))
    first = (rays.poses[0] == bank.cameras[0, 0]).all(-1)
    mirrored = mirror_rays(rays)
    np.testing.assert_allclose(mirror_rays(mirrored).poses, rays.poses, atol=1e-6)
    yaw, pitch = mirrored.poses[0, first][0].tolist()
    assert yaw == pytest.approx(np.pi - bank.cameras[0, 0, 0], abs=1e-6)
    view = render(Head.from_latent(mirror_latent(bank.z[0])), yaw, pitch, SETTINGS.size)
    places = mirrored.places[0, first]
    column, row = ((places * (1, -1) / MARGIN + 1) / 2 * (SETTINGS.size - 1)).round().astype(int).T
    error = np.abs(view.rgb[row, column] / 255 - mirrored.colours[0, first]).mean()
    unmirrored = np.abs(view.rgb[row, -1 - column] / 255 - mirrored.colours[0, first]).mean()
    assert error < 0.02
    assert unmirrored > 2 * error


def test_every_second_head_of_a_batch_is_mirrored(bank):
    """Also those of another bank: a batch takes heads from wherever they are."""
    settings = ReconstructionSettings(rays=4, rendered_rays=2)
    batch = draw_batch([(bank, 0)] * 40, settings, [np.random.default_rng(seed) for seed in range(40)])
    poses = torch.from_numpy(bank.cameras[0]).float()
    own = (batch.poses[:, :, None] - poses).abs().amax(-1).amin(-1).amax(-1) < 1e-6
    assert 8 <= int(own.sum()) <= 32
    part = slice(41, 46)  # smile to lids, of the shape entries
    signs = torch.from_numpy(mirror_latent(np.ones(96, np.float32)))
    for index in range(40):
        z = torch.from_numpy(bank.z[0]) * (1 if own[index] else signs)
        assert (batch.z_shape[index, part] - z[part]).abs().max() < 6 * JITTER


def test_poses_of_a_bank_are_the_pose_file(bank):
    np.testing.assert_allclose(bank.cameras[0], camera_angles(draw_head(SETTINGS, 0)[1]), atol=1e-6)


def test_rare_parts_come_up_more_often():
    """Everyone has a nose; of 100 heads four have a hat (frequency .04: sqrt(.36 / .04) = 3), nobody an earring."""
    shown = np.zeros((100, 3))
    shown[:, 0], shown[:4, 1] = 1, 1
    np.testing.assert_allclose(repeat_factors(shown, 0.36), [3.0] * 4 + [1.0] * 96)
    np.testing.assert_allclose(repeat_factors(shown, 0), 1)


def test_shown_labels(bank):
    shown = bank.shown_labels()
    assert shown.shape == (1, 19)
    for label, there in enumerate(shown[0]):
        assert there == (label in bank.labels[0])
