"""Pretraining a decoder by reconstruction: rays and where they meet heads, codes, the folded field, whole runs."""

import json
import math
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from decoder_runs import assert_same_run, assert_same_way, contents, resume_from_milestone
from launching import train_together

from configs.data_configs import get_camera_preset
from datasets.layout import DEPTH_UNIT
from models.pigan.cameras import camera_origins, camera_to_world, world_rays
from models.pigan.siren import FilmSiren
from options.train_options import parse as parse_train3d
from scripts.train_pigan import main as train_pigan
from synth_heads.data.dataset import build_dataset
from synth_heads.data.record import Settings
from synth_heads.data.view_bank import ViewBank
from synth_heads.decoder.batch_field import BatchField
from synth_heads.decoder.options import EXAMPLES, parse
from synth_heads.decoder.reconstruction import (
    BEFORE,
    FAR_END,
    SHELL,
    Reconstruction,
    ReconstructionSettings,
    draw_batch,
    mixed_codes,
)
from synth_heads.scripts.train_decoder import main
from training import build
from utils.errors import UserError

GEOMETRY = get_camera_preset("CelebAMask_HQ")
SMALL = ("--device=cpu", "--pigan_hidden_dim=16", "--rays=12", "--rendered_rays=4", "--val_images=1",
         "--test_output_size=8", "--board_interval=1")


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Three heads with two views each: two to train on, one held out."""
    out = tmp_path_factory.mktemp("synth") / "heads"
    build_dataset(out, Settings(num_heads=3, views=2, size=128, merged=True, depth=True, norms="varied"), workers=1)
    names = [(out / f"{side}_paths.txt").read_text() for side in ("train", "test")]
    (out / "train_paths.txt").write_text("".join(names))
    return out


@pytest.fixture(scope="module")
def bank(heads):
    return ViewBank.load(heads, "train")


def generators(count):
    return [np.random.default_rng(seed) for seed in range(count)]


# ---- rays --------------------------------------------------------------------------------------------------------

def test_bank(bank, heads):
    assert bank.heads.tolist() == [0, 2]
    assert bank.rgb.shape[:2] == (2, 2)
    assert bank.rgb.shape[2] == round(128 / 1.25)
    assert ViewBank.load(heads, "train", limit=1).heads.tolist() == [0]
    assert ViewBank.load(heads, "val").heads.tolist() == [1]


def test_the_ray_of_a_pixel_hits_the_rendered_depth(bank):
    """Surface points of all views, projected into view 1: it sees them at their distance, or something nearer."""
    rays = bank.rays_at(0, bank.draw_pixels(0, 4000, np.random.default_rng(0)))
    on_head = rays.depths[0] < GEOMETRY.ray_end
    assert on_head.mean() > 0.2
    origins, directions = world_rays(torch.from_numpy(rays.poses), torch.from_numpy(rays.places), GEOMETRY.fov_deg)
    points = (origins + directions * torch.from_numpy(rays.depths)[..., None])[0, on_head]
    camera = camera_origins(*torch.from_numpy(bank.cameras[0, 1:]).unbind(-1))
    local = (points - camera) @ camera_to_world(camera)[0, :3, :3]
    places = local[:, :2] / -local[:, 2:] / math.tan(math.radians(GEOMETRY.fov_deg) / 2)
    size = bank.rgb.shape[2]
    column, row = ((torch.stack([places[:, 0], -places[:, 1]]) / bank.edge + 1) / 2 * (size - 1)).round().long()
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    seen = torch.from_numpy(bank.depth[0, 1].astype(np.float32))[row[inside], column[inside]] * DEPTH_UNIT
    distance = (points - camera).norm(dim=-1)[inside]
    other_view = torch.from_numpy((rays.poses[0, on_head] != bank.cameras[0, 1]).any(-1))[inside]
    assert other_view.float().mean() > 0.3
    gap = (seen - distance)[other_view]
    assert ((gap.abs() < 0.004) & (seen[other_view] > 0)).float().mean() > 0.5
    assert ((gap > 0.01) | (seen[other_view] == 0)).float().mean() < 0.05, "it floats in front of what is seen there"


class Recorder(BatchField):
    """In place of a field: keeps the points it is asked about."""

    def __init__(self):
        pass

    def __call__(self, points):
        self.points = points
        return torch.zeros(*points.shape), torch.zeros(points.shape[:-1], requires_grad=True)


def test_points_lie_just_behind_and_anywhere_before_the_surface(bank):
    batch = draw_batch([(bank, 0), (bank, 1)], ReconstructionSettings(rays=400), generators(2))
    origins, directions = world_rays(batch.poses, batch.places, GEOMETRY.fov_deg)
    empty, surface = ~(batch.depths < GEOMETRY.ray_end), batch.depths.clamp(min=GEOMETRY.ray_start)
    field = Recorder()
    Reconstruction(FilmSiren(8, 4), GEOMETRY, ReconstructionSettings())._at_surface(
        field, batch, origins, directions, surface, empty)
    at = (field.points.unflatten(1, (-1, 2)) - origins[:, :, None]).norm(dim=-1)
    solid, free = at.unbind(-1)
    behind, before = (solid - surface)[~empty], (surface - free)[~empty]
    assert behind.min() >= -BEFORE - 1e-5
    assert behind.max() <= SHELL + 1e-5
    assert 0.5 < (behind > 0).float().mean() < 1
    assert before.min() >= BEFORE - 1e-5
    assert (before < 0.0136).float().mean() > 0.45, "half of them close to it"
    assert (before > 0.02).float().mean() > 0.2, "and half of them anywhere"
    assert (solid[empty] - GEOMETRY.ray_end).abs().max() <= FAR_END / 2 + 1e-5
    assert free.min() >= GEOMETRY.ray_start - 1e-5
    assert free[empty].max() <= GEOMETRY.ray_end


def test_a_field_that_knows_the_surface_has_no_loss(bank):
    """Solid behind the surface and empty before it, in the pixels' colours: both terms vanish."""
    batch = draw_batch([(bank, 0), (bank, 1)], ReconstructionSettings(rays=200), generators(2))
    origins, directions = world_rays(batch.poses, batch.places, GEOMETRY.fov_deg)
    empty, surface = ~(batch.depths < GEOMETRY.ray_end), batch.depths.clamp(min=GEOMETRY.ray_start)

    class Perfect(Recorder):
        def __call__(self, points):
            return perfect(points)

    def perfect(points):
        distance = (points.unflatten(1, (-1, 2)) - origins[:, :, None]).norm(dim=-1)
        density = torch.where((distance > surface[..., None]) & ~empty[..., None], 2000.0, -2000.0)
        return batch.colours.repeat_interleave(2, 1), density.flatten(1)

    loss = Reconstruction(FilmSiren(8, 4), GEOMETRY, ReconstructionSettings())
    seen = loss._at_surface(Perfect(), batch, origins, directions, surface, empty)
    assert torch.equal(seen.colours, batch.colours)
    assert seen.occupancy() < 1e-3  # but for points within float rounding of the surface


def test_samples_of_a_head_are_its_own(bank):
    """A batch is its heads, one by one; shape and colour codes differ in what the other one owns."""
    settings = ReconstructionSettings(rays=5, rendered_rays=2)
    together = draw_batch([(bank, 0), (bank, 1)], settings, generators(2))
    for index in (0, 1):
        alone = draw_batch([(bank, index)], settings, [np.random.default_rng(index)])
        for name, value in vars(together).items():
            assert torch.equal(value[index:index + 1], getattr(alone, name)), name
    assert (together.z_shape != together.z_colour).any(1).all()


# ---- codes and the folded field ----------------------------------------------------------------------------------

def random_siren():
    torch.manual_seed(0)
    return FilmSiren(16, 8)


def test_layers_before_the_crossover_follow_the_first_code():
    siren = random_siren()
    z_shape, z_colour = torch.randn(2, 2, 8).unbind(0)
    mixed = mixed_codes(siren, z_shape, z_colour, torch.tensor([6, 7]))
    shape, colour = siren.mapping_network(z_shape), siren.mapping_network(z_colour)
    for index, crossover in enumerate((6, 7)):
        for name in ("frequencies", "phase_shifts"):
            layers = getattr(mixed, name)[index].reshape(9, 16)
            torch.testing.assert_close(layers[:crossover], getattr(shape, name)[index].reshape(9, 16)[:crossover])
            torch.testing.assert_close(layers[crossover:], getattr(colour, name)[index].reshape(9, 16)[crossover:])


def test_batch_field_is_the_field_with_its_direction_locked():
    siren = random_siren()
    codes = siren.mapping_network(torch.randn(3, 8))
    points = torch.rand(3, 20, 3) * 0.24 - 0.12
    rgb, density = BatchField(siren, codes)(points)
    expected_rgb, expected_density = siren(points, codes)
    torch.testing.assert_close(rgb, expected_rgb, rtol=0, atol=1e-5)
    torch.testing.assert_close(density, expected_density, rtol=0, atol=1e-5)

    def gradients(rgb, density):
        return torch.autograd.grad(rgb.square().sum() + density.square().sum(), list(siren.parameters()),
                                   retain_graph=True)

    for (name, _), own, expected in zip(siren.named_parameters(), gradients(rgb, density),
                                        gradients(expected_rgb, expected_density), strict=True):
        if name == "color_layer_sine.layer.weight":
            assert not own[:, :3].any(), "the direction's weights do not learn"
            own, expected = own[:, 3:], expected[:, 3:]
        torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


# ---- whole runs --------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def finished(heads, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    main([*SMALL, f"--data_root={heads}", f"--exp_dir={folder}", "--batch_size=2", "--max_steps=4",
          "--save_interval=2", "--val_interval=2"])
    return folder


def test_a_resumed_run_is_the_same_run(finished, tmp_path):
    assert_same_run(resume_from_milestone(main, finished, 2, tmp_path / "again"), contents(finished))


def test_two_processes_are_one_with_twice_the_batch(heads, tmp_path):
    common = [*SMALL, f"--data_root={heads}", "--max_steps=3", "--save_interval=1", "--val_interval=3"]
    train_together([*common, "--batch_size=1", f"--exp_dir={tmp_path / 'two'}"], tmp_path, processes=2,
                   script="synth_heads.scripts.train_decoder")
    main([*common, "--batch_size=2", f"--exp_dir={tmp_path / 'one'}"])
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert_same_way(contents(tmp_path / "one", "iteration_1.pt")["train_state_dict"], one["train_state_dict"],
                    two["train_state_dict"])
    assert one["samples_seen"] == two["samples_seen"] == 6
    assert two["best_val_loss"] == pytest.approx(one["best_val_loss"], rel=1e-5)


def test_without_depth_all_rays_are_rendered(bank):
    flat = replace(bank, depth=None)
    settings = ReconstructionSettings(rays=6, samples=5)
    batch = draw_batch([(flat, 0), (flat, 1)], settings, generators(2))
    assert batch.strata.shape == (2, 6, 5)
    total, terms = Reconstruction(FilmSiren(16, bank.z.shape[1]), GEOMETRY, settings)(batch)
    assert list(terms) == ["render"]
    torch.testing.assert_close(total.detach(), terms["render"])


def test_the_decoder_is_a_pigan(finished, heads):
    """train3d.py reads it as --pigan_weights; it is the average that validation looked at."""
    options = json.loads((finished / "opt.json").read_text())
    opts = parse_train3d(["--exp_dir=x", f"--pigan_weights={finished / 'checkpoints' / 'generator.pth'}",
                          "--dataset_type=synthheads_seg_to_3dface", "--encoder_type=SwinEncoderNano",
                          "--pigan_hidden_dim=16", f"--pigan_zdim={options['pigan_zdim']}", "--use_merged_labels",
                          "--use_contour", "--src_input_size=64"])
    net = build.build_net(build.resolve_options(opts, (build.Stage(0, 64, 32),)), None, None, lambda text: None)
    saved = contents(finished)["state_dict"]
    for key, value in net.siren.state_dict().items():
        assert torch.equal(value, saved[f"decoder.siren.{key}"]), key


def test_a_run_of_another_objective(finished, heads):
    with pytest.raises(UserError, match="its checkpoint is of another kind of run") as caught:
        train_pigan([f"--exp_dir={finished}", "--auto_resume", "--device=cpu", "--dis_channels=8",
                     f"--data_root={heads / 'CelebA-HQ-img'}", "--pigan_hidden_dim=16", "--val_images=6"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flags, message", [
    (["--data_root=nowhere"], "--data_root nowhere: it has no readable latents.npz"),
    (["--data_root={heads}", "--more_data", "nowhere"], "--more_data nowhere: it has no readable latents.npz"),
    (["--ema=1"], "--ema 1.0: give a decay below 1"),
    (["--learning_rate=0"], "--learning_rate 0.0: give a number above 0"),
    (["--render_lambda=-1"], "--render_lambda -1.0: give at least 0"),
    (["--batch_size=0"], "0 is out of range"),
])
def test_impossible_options(flags, message, heads, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        main([f"--exp_dir={tmp_path / 'run'}", "--device=cpu", *(flag.format(heads=heads) for flag in flags)])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_earlier_run_in_the_way(finished, heads):
    with pytest.raises(UserError, match=r"there is a run in it already.*--overwrite"):
        main([*SMALL, f"--data_root={heads}", f"--exp_dir={finished}"])
    assert parse([f"--exp_dir={finished}", "--auto_resume"]).batch_size == 2, "options of the run"


def test_examples_of_the_help_are_understood():
    calls = re.findall(r"scripts/train_decoder\.py (--.*)", EXAMPLES)
    assert len(calls) == 2
    for call in calls:
        parse(shlex.split(call))


def test_defaults():
    opts = parse(["--exp_dir=x"])
    assert (opts.mapping_rate, opts.grad_clip, opts.max_steps, opts.val_images) == (2.0, 1.0, 24_000, 16)
