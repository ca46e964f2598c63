"""pi-GAN's own training: the growing discriminator, its stages, losses, pictures, the distance, whole runs."""

import math

import numpy as np
import pytest
import torch
from conftest import ROOT
from decoder_runs import assert_same_run, assert_same_way, contents, paint_pictures, resume_from_milestone
from launching import train_together
from PIL import Image
from scipy.linalg import sqrtm
from torch.nn import functional as F

from criteria.frechet import FEATURES, Gaussian, frechet_distance, gaussian_of, simple_features
from datasets.picture_folder import PictureFolder
from models.checkpoints import read_pigan_weights
from models.discriminators.progressive_discriminator import CoordConv, ProgressiveDiscriminator
from models.pigan.curriculums import get_curriculum
from models.pigan.siren import FilmSiren
from options.pigan_options import parse
from scripts.train_pigan import main
from training.adversarial import discriminator_losses, draw_fakes, generator_losses, render_fakes
from training.distributed import World
from training.growth import Growth, GrowthStage, PoseDistribution, read_growth
from training.pigan_adversarial import AdversarialObjective
from utils.errors import UserError

POSES = PoseDistribution("gaussian", 0.3, 0.155)
HEADER = "poses: {distribution: gaussian, yaw: 0.3, pitch: 0.155}\nfade_steps: 4\n"
STAGE = "{{img_size: {}, batch_size: {}, batch_split: {}, samples: 4, gen_lr: 1.0e-4, disc_lr: 1.0e-3}}\n"
GROWING = HEADER + "0: " + STAGE.format(8, 2, 1) + "3: " + STAGE.format(16, 4, 2)
TINY = ("--objective=adversarial", "--device=cpu", "--pigan_hidden_dim=16", "--pigan_zdim=8", "--dis_channels=16",
        "--val_images=6", "--test_output_size=8", "--board_interval=1", "--workers=1")


def discriminator(size=32, seed=0):
    torch.manual_seed(seed)
    return ProgressiveDiscriminator(size, max_channels=12)


def pictures(count, size, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ---- the discriminator -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [8, 16, 32])
def test_every_size_up_to_its_own(size):
    judged = discriminator()(pictures(3, size), alpha=0.5)
    assert (judged.logit.shape, judged.pose.shape) == ((3,), (3, 2))


def test_published_widths():
    net = ProgressiveDiscriminator(64)
    assert {size: net.from_rgb[size][0].out_channels for size in net.from_rgb} == {
        "4": 400, "8": 400, "16": 400, "32": 256, "64": 128}
    with pytest.raises(ValueError, match="48"):
        ProgressiveDiscriminator(48)


@torch.no_grad()
def test_a_new_resolution_fades_in():
    """At alpha 0 it is the smaller picture's answer, at alpha 1 the old way in is not used any more."""
    net, x = discriminator(), pictures(2, 32)
    before = net(F.avg_pool2d(x, 2))
    torch.testing.assert_close(net(x, 0.0).logit, before.logit)
    torch.testing.assert_close(net(x, 0.0).pose, before.pose)
    torch.testing.assert_close(net(x, 1e-6).logit, before.logit, rtol=0, atol=1e-3)
    assert (net(x, 1.0).logit - before.logit).abs().min() > 1e-3
    grown = net(x, 1.0).logit
    net.from_rgb["16"][0].weight.zero_()
    assert torch.equal(net(x, 1.0).logit, grown)


@torch.no_grad()
def test_coordinates_run_from_left_to_right_and_from_top_to_bottom():
    conv = CoordConv(1, 2)
    conv.conv.weight.zero_()
    conv.conv.bias.zero_()
    conv.conv.weight[0, 1, 1, 1] = conv.conv.weight[1, 2, 1, 1] = 1  # x and y of the pixel itself
    out = conv(torch.zeros(1, 1, 3, 3))[0]
    assert out.tolist() == [[[-1, 0, 1]] * 3, [[-1] * 3, [0] * 3, [1] * 3]]


# ---- losses and draws --------------------------------------------------------------------------------------------

def test_losses_by_hand():
    net, real, fake = discriminator(), pictures(3, 16, 1), pictures(3, 16, 2)
    poses = math.pi / 2 + torch.tensor([[0.1, 0.0], [-0.3, 0.2], [0.0, 0.0]])
    losses = discriminator_losses(net, real, fake, poses, 0.3, r1_weight=0.2, pose_weight=15.0)
    real_judged, fake_judged = net(real, 0.3), net(fake, 0.3)
    squares = []
    for index in range(3):  # one picture at a time: no other picture's logit can interfere
        one = real[index:index + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net(one, 0.3).logit[0], one)
        squares.append(gradient.square().sum())
    expected = {
        "d_loss_real": -torch.log(torch.sigmoid(real_judged.logit)).mean(),
        "d_loss_fake": -torch.log(1 - torch.sigmoid(fake_judged.logit)).mean(),
        "d_loss_reg": 0.1 * torch.stack(squares).mean(),
        "d_pose": ((fake_judged.pose - (poses - math.pi / 2)) ** 2).mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses.terms[name], value.detach(), rtol=1e-4, atol=1e-6)
    total = sum(value for name, value in losses.terms.items() if name != "d_pose") + 15 * losses.terms["d_pose"]
    torch.testing.assert_close(losses.total.detach(), total)
    losses = generator_losses(net, fake, poses, 0.3, pose_weight=15.0)
    torch.testing.assert_close(losses.terms["g_loss"], -torch.log(torch.sigmoid(fake_judged.logit)).mean().detach())
    torch.testing.assert_close(losses.total.detach(), losses.terms["g_loss"] + 15 * expected["d_pose"].detach())


def test_the_penalty_trains_the_discriminator():
    """Its gradient is the difference quotient of the loss along itself."""
    net, real = discriminator().double(), pictures(2, 8).double()
    poses = torch.full((2, 2), math.pi / 2, dtype=torch.float64)
    weight = net.from_rgb["8"][0].weight

    def total():
        return discriminator_losses(net, real, real, poses, 1.0, r1_weight=50.0, pose_weight=0.0).total

    (gradient,) = torch.autograd.grad(total(), weight)
    with torch.no_grad():
        weight += 1e-7 * gradient
    high = total().item()
    with torch.no_grad():
        weight -= 2e-7 * gradient
    assert (high - total().item()) / 2e-7 == pytest.approx(gradient.square().sum().item(), rel=1e-4)


def test_a_rendering_draws_the_same_in_any_company():
    together = draw_fakes(1, [8, 9, 10], 4, POSES, 8, 3)
    for index, position in enumerate((8, 9, 10)):
        alone = draw_fakes(1, [position], 4, POSES, 8, 3)
        for whole, one in ((together.z, alone.z), (together.poses, alone.poses), *zip(together.noise, alone.noise)):
            assert torch.equal(whole[index], one[0])
    assert together.noise.importance.shape == (3, 64, 3)
    assert not torch.equal(together.z, draw_fakes(2, [8, 9, 10], 4, POSES, 8, 3).z)
    assert not torch.equal(together.z[0], together.z[1])


def test_poses_follow_their_distribution():
    """Of 2000 the mean lies within .03 (4 standard errors of yaw), the spread within 7%."""
    gaussian = draw_fakes(0, range(2000), 1, POSES, 1, 1).poses - math.pi / 2
    assert gaussian.mean(0).abs().max() < 0.03
    torch.testing.assert_close(gaussian.std(0), torch.tensor([0.3, 0.155]), rtol=0.07, atol=0)
    uniform = draw_fakes(0, range(2000), 1, PoseDistribution("uniform", 0.5, 0.4), 1, 1).poses - math.pi / 2
    assert (uniform.abs().amax(0) <= torch.tensor([0.5, 0.4])).all()
    torch.testing.assert_close(uniform.std(0), torch.tensor([0.5, 0.4]) / 3**0.5, rtol=0.07, atol=0)


def test_renderings_depend_on_code_pose_and_view():
    torch.manual_seed(0)
    siren, geometry = FilmSiren(16, 4), get_curriculum("CelebAMask_HQ")
    draws = draw_fakes(0, [0, 1], 4, POSES, 8, 4)
    fakes = render_fakes(siren, draws, 8, geometry)
    assert fakes.shape == (2, 3, 8, 8)
    assert fakes.abs().max() <= 1 + 1e-5
    assert (fakes[0] - fakes[1]).abs().max() > 1e-3
    fakes.square().sum().backward()
    assert all(p.grad is not None for p in siren.parameters())
    assert siren.color_layer_sine.layer.weight.grad[:, :3].abs().max() > 0, "the direction is not locked"


# ---- stages ------------------------------------------------------------------------------------------------------

def test_stages_and_fading(tmp_path):
    (tmp_path / "steps.yaml").write_text(GROWING + "9: " + STAGE.format(16, 2, 1).replace("1.0e-4", "1e-5"))
    growth = read_growth(tmp_path / "steps.yaml")
    assert growth == Growth((GrowthStage(0, 8, 2, 1, 4, 1e-4, 1e-3), GrowthStage(3, 16, 4, 2, 4, 1e-4, 1e-3),
                             GrowthStage(9, 16, 2, 1, 4, 1e-5, 1e-3)), POSES, 4)
    assert [growth.at(step).batch_size for step in (0, 2, 3, 8, 9, 99)] == [2, 2, 4, 4, 2, 2]
    assert [growth.alpha(step) for step in (0, 2, 3, 4, 6, 7, 9, 99)] == [1, 1, 0, 0.25, 0.75, 1, 1, 1]


@pytest.mark.parametrize("name", ["celeba", "cats", "cpu"])
def test_shipped_stages(name):
    growth = read_growth(ROOT / "configs" / "pigan_steps" / f"pigan_{name}.yaml")
    assert growth.fade_steps > 0
    rates = [stage.gen_lr for stage in growth.stages]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("content, message", [
    ("", "from step 0 on"),
    ("0: " + STAGE.format(8, 2, 1), "poses needs a distribution"),
    (GROWING.replace("gaussian", "normal"), "poses needs a distribution"),
    (GROWING.replace("fade_steps: 4", ""), "fade_steps is None"),
    (GROWING.replace("img_size: 16", "img_size: 32"), "at step 3 pictures grow from 8 to 32 pixels"),
    (GROWING.replace("img_size: 8", "img_size: 12"), "step 0: img_size is 12, give one of 8, 16"),
    (GROWING.replace("batch_split: 2", "batch_split: 3"), "step 3: batch_size 4 cannot be split into 3 equal parts"),
    (GROWING.replace("samples: 4", "samples: 2"), "samples is 2, give at least 3"),
    (GROWING.replace("gen_lr: 1.0e-4", "gen_lr: fast"), "gen_lr is fast, give a rate above 0"),
])
def test_stages_that_cannot_be(tmp_path, content, message):
    (tmp_path / "steps.yaml").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_growth(tmp_path / "steps.yaml")
    assert str(caught.value).startswith("--pigan_steps_conf")
    assert "\n" not in str(caught.value)


# ---- pictures and their distance ---------------------------------------------------------------------------------

def test_the_central_square_is_kept(tmp_path):
    """A picture 40 wide and 20 high: its middle square is green, half of that (in each direction) blue."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30, 1] = 200
    pixels[5:15, 15:25] = 0, 0, 200
    for name in ("2.png", "10.PNG", ".hidden.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    folder = PictureFolder(tmp_path)
    assert [path.name for path in folder.paths] == ["2.png", "10.PNG"]
    assert np.array_equal(folder.read(0, 20).permute(1, 2, 0), pixels[:, 10:30])
    half = PictureFolder(tmp_path, keep=0.5).read(1, 10)
    assert np.array_equal(half.permute(1, 2, 0), pixels[5:15, 15:25])
    assert folder.read(0, 4).shape == (3, 4, 4)


def test_pictures_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"--data_root .*nowhere: this folder cannot be read"):
        PictureFolder(tmp_path / "nowhere")
    (tmp_path / "inside").mkdir()
    with pytest.raises(UserError, match=r"0 pictures .* did you mean .*inside\?"):
        PictureFolder(tmp_path)
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff half a picture")
    with pytest.raises(UserError, match=r"1\.jpg: this picture cannot be read") as caught:
        PictureFolder(tmp_path).read(0, 8)
    assert "\n" not in str(caught.value)


def test_frechet_distance_by_hand():
    """Diagonal covariances: (1 - 0)^2 of the means, (2 - 1)^2 + (3 - 2)^2 of the deviations."""
    one = Gaussian(torch.tensor([1.0, 5.0]).double(), torch.diag(torch.tensor([4.0, 9.0]).double()))
    other = Gaussian(torch.tensor([0.0, 5.0]).double(), torch.diag(torch.tensor([1.0, 4.0]).double()))
    assert frechet_distance(one, other) == pytest.approx(3)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_of_full_covariances():
    one, other = (gaussian_of(torch.randn(50, 4, generator=torch.Generator().manual_seed(seed)) @ torch.rand(
        4, 4, generator=torch.Generator().manual_seed(seed + 9))) for seed in (0, 1))
    root = np.trace(sqrtm(one.covariance.numpy() @ other.covariance.numpy()).real)
    expected = ((one.mean - other.mean) ** 2).sum() + torch.trace(one.covariance + other.covariance) - 2 * root
    assert frechet_distance(one, other) == pytest.approx(float(expected), rel=1e-6)


def test_features_tell_pictures_apart():
    real = simple_features(pictures(300, 16))
    assert real.shape == (300, FEATURES)
    torch.testing.assert_close(real[:3], simple_features(pictures(300, 16)[:3]))
    near = frechet_distance(gaussian_of(real), gaussian_of(simple_features(pictures(300, 16, 1))))
    blurred = F.interpolate(F.avg_pool2d(pictures(300, 16, 1), 4), scale_factor=4.0)
    assert frechet_distance(gaussian_of(real), gaussian_of(simple_features(blurred))) > 3 * near


# ---- whole runs --------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "steps.yaml").write_text(GROWING)
    return [*TINY, f"--data_root={paint_pictures(folder / 'faces', 6)}", f"--pigan_steps_conf={folder / 'steps.yaml'}"]


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    """Three steps at 8 pixels, three at 16."""
    folder = tmp_path_factory.mktemp("run")
    main([*options, f"--exp_dir={folder}", "--max_steps=6", "--save_interval=2", "--val_interval=6"])
    return folder


@pytest.mark.parametrize("step", [2, 4])
def test_a_resumed_run_is_the_same_run(finished, tmp_path, step):
    """From before and from after the growth."""
    assert_same_run(resume_from_milestone(finished, step, tmp_path / "again"), contents(finished))


def test_what_a_run_writes(finished):
    end = contents(finished)
    assert (end["global_step"], end["samples_seen"]) == (6, 3 * 2 + 3 * 4)
    assert math.isfinite(end["best_val_loss"])
    state = read_pigan_weights(finished / "checkpoints" / "generator.pth")
    siren = FilmSiren(16, 8)
    siren.load_state_dict({key.removeprefix("siren."): value for key, value in state.items()})
    assert any(not torch.equal(value, end["train_state_dict"][f"decoder.{key}"]) for key, value in state.items()), "EMA"
    rates = [group["lr"] for group in end["optimizer"]["param_groups"]]
    assert rates == pytest.approx([1e-4, 5e-6]), "the mapping network learns at a twentieth"
    (panel,) = (finished / "logs" / "images" / "val").iterdir()
    assert np.asarray(Image.open(panel)).std() > 5


def test_parts_of_a_batch_are_the_batch(options, tmp_path):
    for name, split in (("whole", 1), ("parts", 2)):
        (tmp_path / f"{name}.yaml").write_text(HEADER + "0: " + STAGE.format(8, 4, split))
        main([*options, f"--pigan_steps_conf={tmp_path / f'{name}.yaml'}", f"--exp_dir={tmp_path / name}",
              "--max_steps=3", "--save_interval=1", "--val_interval=0"])
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_two_processes_are_one_with_twice_the_batch(options, tmp_path):
    for name, batch in (("one", 4), ("two", 2)):
        (tmp_path / f"{name}.yaml").write_text(HEADER + "0: " + STAGE.format(8, batch, 1))
    common = [*options, "--max_steps=3", "--save_interval=1", "--val_interval=3"]
    train_together([*common, f"--pigan_steps_conf={tmp_path / 'two.yaml'}", f"--exp_dir={tmp_path / 'two'}"], tmp_path,
                   processes=2, script="train_pigan")
    main([*common, f"--pigan_steps_conf={tmp_path / 'one.yaml'}", f"--exp_dir={tmp_path / 'one'}"])
    assert_same_training(tmp_path / "one", tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one["samples_seen"] == two["samples_seen"] == 12
    assert two["best_val_loss"] == pytest.approx(one["best_val_loss"], rel=1e-3)


def assert_same_training(one, other):
    before, after, instead = contents(one, "iteration_1.pt"), contents(one), contents(other)
    for part in ("train_state_dict", "dis_state_dict"):
        assert_same_way(before[part], after[part], instead[part])


@pytest.mark.slow
def test_renderings_come_closer_to_the_pictures(options, tmp_path):
    paint_pictures(tmp_path / "faces", 64)
    (tmp_path / "steps.yaml").write_text(HEADER + "0: " + STAGE.format(16, 8, 1).replace("1.0e-4", "5.0e-4"))
    opts = parse([*options, f"--exp_dir={tmp_path}", f"--data_root={tmp_path / 'faces'}", "--val_images=64",
                  f"--pigan_steps_conf={tmp_path / 'steps.yaml'}", "--test_output_size=16", "--pigan_hidden_dim=32"])
    objective = AdversarialObjective(opts, World(torch.device("cpu")), lambda text: None)
    start, seen = objective.validate().loss, 0
    for step in range(150):
        objective.schedule(step)
        terms, _, count = objective.step(step, seen)
        seen += count
    assert all(value.isfinite() for value in terms.values())
    assert objective.validate().loss < 0.7 * start


# ---- options -----------------------------------------------------------------------------------------------------

def test_defaults_go_with_the_objective():
    adversarial, reconstruction = parse(["--exp_dir=x", "--objective=adversarial"]), parse(["--exp_dir=x"])
    assert (adversarial.mapping_rate, adversarial.grad_clip, adversarial.max_steps) == (0.05, 10.0, 200_000)
    assert (reconstruction.mapping_rate, reconstruction.grad_clip, reconstruction.max_steps) == (2.0, 1.0, 24_000)
    assert not hasattr(adversarial, "learning_rate")
    assert not hasattr(reconstruction, "r1_lambda")
    assert parse(["--exp_dir=x", "--objective=adversarial", "--mapping_rate=1"]).mapping_rate == 1


@pytest.mark.parametrize("flags, message", [
    (["--objective=adversarial", "--rays=3"], "--rays is only with --objective reconstruction"),
    (["--r1_lambda=3"], "--r1_lambda is only with --objective adversarial"),
    (["--objective=adversarial", "--r1_lambda=-1"], "--r1_lambda -1.0: give at least 0"),
    (["--objective=adversarial", "--keep_square=1.5"], "--keep_square 1.5: give a share"),
    (["--objective=adversarial", "--val_images=1"], "--val_images 1: a distance needs 2"),
    (["--objective=adversarial", "--test_output_size=4"], "--test_output_size 4: give 8 pixels"),
    (["--objective=style"], "invalid choice"),
])
def test_impossible_options(flags, message):
    with pytest.raises(UserError, match=message):
        parse(["--exp_dir=x", *flags])
