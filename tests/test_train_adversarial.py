"""pi-GAN's own training as a user runs it: its stages, whole runs, options."""

import math

import numpy as np
import pytest
import torch
from conftest import ROOT
from decoder_runs import assert_same_run, assert_same_way, contents, paint_images, resume_from_milestone
from launching import train_together
from PIL import Image

from models.pigan.siren import FilmSiren
from models.start_weights import read_pigan_weights
from pretraining.adversarial import AdversarialObjective
from pretraining.losses import kept_share
from pretraining.options import parse
from pretraining.schedule import Growth, GrowthStage, PoseDistribution, read_growth
from scripts.train_pigan import main
from training.runtime.processes import World
from utils.errors import UserError

POSES = PoseDistribution("gaussian", 0.3, 0.155)
HEADER = "poses: {distribution: gaussian, yaw: 0.3, pitch: 0.155}\nfade_steps: 4\n"
STAGE = "{{img_size: {}, batch_size: {}, batch_split: {}, samples: 4, gen_lr: 1.0e-4, disc_lr: 1.0e-3}}\n"
GROWING = HEADER + "0: " + STAGE.format(8, 2, 1) + "3: " + STAGE.format(16, 4, 2)
TINY = ("--objective=adversarial", "--device=cpu", "--pigan_hidden_dim=16", "--pigan_zdim=8", "--dis_channels=16",
        "--val_images=6", "--test_output_size=8", "--board_interval=1", "--workers=1")


# ---- stages ------------------------------------------------------------------------------------------------------

def test_stages_and_fading(tmp_path):
    (tmp_path / "steps.yaml").write_text(GROWING + "9: " + STAGE.format(16, 2, 1).replace("1.0e-4", "1e-5"))
    growth = read_growth(tmp_path / "steps.yaml")
    assert growth == Growth((GrowthStage(0, 8, 2, 1, 4, 1e-4, 1e-3), GrowthStage(3, 16, 4, 2, 4, 1e-4, 1e-3),
                             GrowthStage(9, 16, 2, 1, 4, 1e-5, 1e-3)), POSES, 4)
    assert [growth.at(step).batch_size for step in (0, 2, 3, 8, 9, 99)] == [2, 2, 4, 4, 2, 2]
    assert [growth.alpha(step) for step in (0, 2, 3, 4, 6, 7, 9, 99)] == [0, 0.5, 0, 0.25, 0.75, 1, 1, 1]


@pytest.mark.parametrize("name", ["celeba64", "celeba", "cats", "cpu"])
def test_shipped_stages(name):
    growth = read_growth(ROOT / "configs" / "pigan_steps" / f"pigan_{name}.yaml")
    assert growth.fade_steps > 0
    rates = [stage.gen_lr for stage in growth.stages]
    assert rates == sorted(rates, reverse=True)


def test_published_settings():
    """The numbers of the published curriculums of CelebA and CATS."""
    folder = ROOT / "configs" / "pigan_steps"
    faces, cats = read_growth(folder / "pigan_celeba64.yaml"), read_growth(folder / "pigan_cats.yaml")
    assert faces == Growth((GrowthStage(0, 64, 56, 2, 12, 6e-5, 2e-4),), POSES, 10000, True, 15.0, 0.8)
    assert cats == Growth((GrowthStage(0, 64, 28, 4, 24, 6e-5, 2e-4),), PoseDistribution("uniform", 0.5, 0.4), 10000,
                          False, 0.0, 1.0)
    opts = parse(["--exp_dir=x"])
    assert opts.pigan_steps_conf.endswith("pigan_celeba64.yaml")
    assert (opts.mapping_rate, opts.flip, opts.resampling, opts.r1_lambda) == (1.0, 0.5, "nearest", 0.2)
    assert [kept_share(step) for step in (0, 2000, 200_000)] == [1.0, 0.99, 0.6]


@pytest.mark.parametrize("content, message", [
    ("", "from step 0 on"),
    ("0: " + STAGE.format(8, 2, 1), "poses needs a distribution"),
    (GROWING.replace("gaussian", "normal"), "poses needs a distribution"),
    (GROWING.replace("fade_steps: 4", ""), "fade_steps is None"),
    (GROWING.replace("img_size: 16", "img_size: 32"), "at step 3 images grow from 8 to 32 pixels"),
    (GROWING.replace("img_size: 8", "img_size: 12"), "step 0: img_size is 12, give one of 8, 16"),
    (GROWING.replace("batch_split: 2", "batch_split: 3"), "step 3: batch_size 4 cannot be split into 3 equal parts"),
    (GROWING.replace("samples: 4", "samples: 2"), "samples is 2, give at least 3"),
    ("discriminator: large\n" + GROWING, "discriminator is large, give coordinates or plain"),
    ("keep_square: 2\n" + GROWING, "keep_square is 2, give a fraction above 0"),
    ("pose_lambda: -1\n" + GROWING, "pose_lambda is -1, give a number from 0 on"),
    (GROWING.replace("gen_lr: 1.0e-4", "gen_lr: fast"), "gen_lr is fast, give a rate above 0"),
])
def test_stages_that_cannot_be(tmp_path, content, message):
    (tmp_path / "steps.yaml").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_growth(tmp_path / "steps.yaml")
    assert str(caught.value).startswith("`pigan_steps_conf`")
    assert "\n" not in str(caught.value)


# ---- whole runs --------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "steps.yaml").write_text(GROWING)
    return [*TINY, f"--data_root={paint_images(folder / 'faces', 6)}", f"--pigan_steps_conf={folder / 'steps.yaml'}"]


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    """Three steps at 8 pixels, three at 16."""
    folder = tmp_path_factory.mktemp("run")
    main([*options, f"--exp_dir={folder}", "--max_steps=6", "--save_interval=2", "--val_interval=6"])
    return folder


@pytest.mark.parametrize("step", [2, 4])
def test_a_resumed_run_is_the_same_run(finished, tmp_path, step):
    """From before and from after the growth."""
    assert_same_run(resume_from_milestone(main, finished, step, tmp_path / "again"), contents(finished))


def test_what_a_run_writes(finished):
    end = contents(finished)
    assert (end["global_step"], end["samples_seen"]) == (6, 3 * 2 + 3 * 4)
    assert math.isfinite(end["best_val_loss"])
    state = read_pigan_weights(finished / "checkpoints" / "generator.pth")
    siren = FilmSiren(16, 8)
    siren.load_state_dict({key.removeprefix("siren."): value for key, value in state.items()})
    assert any(not torch.equal(value, end["train_state_dict"][f"decoder.{key}"]) for key, value in state.items()), "EMA"
    rates = [group["lr"] for group in end["optimizer"]["param_groups"]]
    assert rates == pytest.approx([1e-4, 1e-4]), "the mapping network learns at the same rate"
    (panel,) = (finished / "logs" / "images" / "test" / "faces").iterdir()
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
    assert two["best_val_loss"] == pytest.approx(one["best_val_loss"], rel=1e-5)


def assert_same_training(one, other):
    before, after, instead = contents(one, "iteration_1.pt"), contents(one), contents(other)
    for part in ("train_state_dict", "dis_state_dict"):
        assert_same_way(before[part], after[part], instead[part])


@pytest.mark.slow
def test_renderings_come_closer_to_the_images(options, tmp_path):
    paint_images(tmp_path / "faces", 64)
    (tmp_path / "steps.yaml").write_text(HEADER + "0: " + STAGE.format(16, 8, 1).replace("1.0e-4", "5.0e-4"))
    opts = parse([*options, f"--exp_dir={tmp_path}", f"--data_root={tmp_path / 'faces'}", "--val_images=64",
                  f"--pigan_steps_conf={tmp_path / 'steps.yaml'}", "--test_output_size=16", "--pigan_hidden_dim=32",
                  "--mapping_rate=.05"])  # the field's rate is eight times the published one, too fast for z
    objective = AdversarialObjective(opts, World(torch.device("cpu")))
    start, seen = objective.validate().loss, 0
    for step in range(150):
        objective.schedule(step)
        result = objective.step(step, seen)
        seen += result.samples
    (terms, _), = result.losses
    assert all(value.isfinite() for value in terms.values())
    assert objective.validate().loss < 0.7 * start


# ---- options -----------------------------------------------------------------------------------------------------

def test_defaults():
    for opts in (parse(["--exp_dir=x"]), parse(["--exp_dir=x", "--objective=adversarial"])):
        assert (opts.mapping_rate, opts.grad_clip, opts.max_steps, opts.val_images) == (1.0, 10.0, 200_000, 500)
    assert parse(["--exp_dir=x", "--mapping_rate=.05", "--decoder_width=64"]).mapping_rate == 0.05
    assert parse(["--exp_dir=x", "--decoder_width=64"]).pigan_hidden_dim == 64


@pytest.mark.parametrize("flags, message", [
    (["--rays=3"], "unrecognized arguments: --rays=3"),
    (["--objective=reconstruction"], "invalid choice"),
    (["--objective=adversarial", "--r1_lambda=-1"], "--r1_lambda -1.0: give at least 0"),
    (["--objective=adversarial", "--keep_square=1.5"], "--keep_square 1.5: give a fraction"),
    (["--objective=adversarial", "--val_images=1"], "--val_images 1: a distance needs 2"),
    (["--objective=adversarial", "--test_output_size=4"], "--test_output_size 4: give 8 pixels"),
    (["--flip=2"], "--flip 2.0: give a probability"),
    (["--objective=style"], "invalid choice"),
])
def test_impossible_options(flags, message):
    with pytest.raises(UserError, match=message):
        parse(["--exp_dir=x", *flags])
