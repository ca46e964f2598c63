"""The command line of training."""

import json
import sys

import child_processes
import pytest
from conftest import GOLDEN, ROOT

from options.train_options import build_parser, parse
from training.size_schedule import Stage, read_stages, stage_at
from utils.errors import UserError


def test_every_official_option(golden):
    expected = json.loads((GOLDEN / "tables.json").read_text())["train_option_defaults"]
    ours = vars(build_parser().parse_args([]))
    assert {name: ours.get(name, "missing") for name in expected} == expected


def test_booleans_are_real():
    def value(*flags):
        return parse(["--exp_dir=x", *flags]).train_decoder

    assert value() is False
    assert value("--train_decoder") is True
    assert value("--train_decoder", "False") is False
    assert value("--train_decoder=true") is True
    with pytest.raises(UserError, match="'maybe' is neither true nor false"):
        value("--train_decoder", "maybe")


def test_launchers_spelling():
    assert parse(["--exp_dir=x", "--local-rank=3"]).local_rank == 3
    assert parse(["--exp_dir=x", "--local_rank=3"]).local_rank == 3


@pytest.mark.parametrize("flags, message", [
    ([], "--exp_dir is missing"),
    (["--exp_dir=x", "--batch_size=0"], "--batch_size 0: give at least 1"),
    (["--exp_dir=x", "--l2_lambda=nan"], "--l2_lambda nan: give at least 0"),
    (["--exp_dir=x", "--learning_rate=0"], "--learning_rate 0.0: give a rate above 0"),
    (["--exp_dir=x", "--output_size=0"], "--output_size 0: give a number of pixels"),
    (["--exp_dir=x", "--ema=1"], "--ema 1.0: give a decay below 1"),
    (["--exp_dir=x", "--train_rand_pose_prob=2"], "--train_rand_pose_prob 2.0"),
    (["--exp_dir=x", "--pigan_infer_ray_step=2"], "--pigan_infer_ray_step 2: give at least 3"),
    (["--exp_dir=x", "--optim_name=rangre"], "--optim_name"),
    (["--exp_dir=x", "--scheduler_name=step"], "--scheduler_name"),
    (["--exp_dir=x", "--l2_lambda=0", "--lpips_lambda=0", "--dis_lambda=0"], "nothing would be learnt"),
])
def test_impossible_values(flags, message):
    with pytest.raises(UserError, match=message):
        parse(flags)


def test_continuing_keeps_the_options_of_the_run(tmp_path):
    earlier = {**vars(parse([f"--exp_dir={tmp_path}", "--batch_size=7", "--seed=5"])), "device": "cuda:3"}
    (tmp_path / "opt.json").write_text(json.dumps(earlier))
    opts = parse([f"--exp_dir={tmp_path}", "--continue_training", "--seed=6"])
    assert (opts.batch_size, opts.seed, opts.device) == (7, 6, "auto")
    assert parse([f"--exp_dir={tmp_path}"]).batch_size == 2
    (tmp_path / "opt.json").write_text("{")
    with pytest.raises(UserError, match=r"opt\.json"):
        parse([f"--exp_dir={tmp_path}", "--auto_resume"])


def test_plain_names_and_hidden_flags():
    def values(*flags):
        return parse(["--exp_dir=x", *flags])

    assert values("--samples_per_ray=9").pigan_infer_ray_step == 9
    assert [values(*flags).encoder_not_zplus for flags in (
        [], ["--encoder_output=z"], ["--encoder_output=codes"], ["--encoder_not_zplus"])] == [False, True, False, True]
    with pytest.raises(UserError, match="'w' is neither codes nor z"):
        values("--encoder_output=w")
    assert values("--distributed_train", "--discriminator_type=patch", "--label_nc=8").label_nc == 8
    shown = build_parser().format_help()
    titles = ["of the paper:", "speed and memory:", "beyond the paper:"]
    assert sorted(titles, key=shown.index) == titles
    assert not any(word in shown for word in ("SUPPRESS", "--label_nc", "--distributed_train", "--discriminator_type"))


def test_help_is_instant_and_has_examples():
    done = child_processes.run([sys.executable, "-X", "importtime", str(ROOT / "scripts" / "train3d.py"), "--help"])
    assert done.returncode == 0
    assert "torchrun --nproc_per_node=8" in done.stdout
    assert "import torch" not in done.stderr
    assert " torch\n" not in done.stderr


def test_stages(tmp_path):
    file = tmp_path / "steps.yaml"
    file.write_text("0: {batch_size: 1, img_size: 64, resolution_vol: 32}\n100: {img_size: 128, resolution_vol: 32}\n")
    stages = read_stages(file)
    assert stages == (Stage(0, 64, 32), Stage(100, 128, 32))
    assert stages[0].others == {"batch_size": 1}
    assert [stage_at(stages, step).img_size for step in (0, 99, 100, 5000)] == [64, 64, 128, 128]
    for content, message in (("", "from step 0"), ("5: {img_size: 64}", "from step 0"), ("0: [", "not YAML"),
                             ("0: {img_size: x}", "needs img_size"), ("0: {img_size: 8, num_steps: 1}", "at least 3")):
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            read_stages(file)
    with pytest.raises(UserError, match="configs/pigan_steps"):
        read_stages(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("name", ["sem2nerf", "small", "cpu"])
def test_shipped_stages(name):
    (stage,) = read_stages(ROOT / "configs" / "pigan_steps" / f"{name}.yaml")
    assert stage.resolution_vol in (32, 64, 128)
    assert stage.num_steps == (28 if name == "sem2nerf" else None)
    assert stage.img_size > stage.resolution_vol
