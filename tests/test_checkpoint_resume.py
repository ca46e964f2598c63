"""Runs that are interrupted in every way, and go on as if nothing had happened."""

import errno
import json
import os
import random
import signal
import time

import pytest
import torch
from decoder_runs import assert_same
from launching import Run, train
from tiny_training import make_all

from training.runtime.checkpoints import BEST, LATEST, PREVIOUS, CheckpointFolder
from utils.errors import UserError

FAST = ("--board_interval=1", "--latest_interval=1", "--learning_rate=1e-3", "--ema=0.9", "--image_interval=1000",
        "--val_interval=0", "--save_interval=4", "--seed=1")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return [*make_all(tmp_path_factory.mktemp("tiny")), *FAST]


def checkpoint(exp_dir, name=LATEST):
    return torch.load(exp_dir / "checkpoints" / name, weights_only=True)


def assert_same_run(one, other):
    """Weights, average, both optimisers, counters; `opts` hold the folder's name, `rng` what libraries drew."""
    assert_same({k: v for k, v in one.items() if k not in ("opts", "rng")},
                {k: v for k, v in other.items() if k not in ("opts", "rng")})


@pytest.fixture(scope="module")
def uninterrupted(options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train([*options, "--max_steps=12", f"--exp_dir={folder}"], folder)
    return folder


def kill_and_resume(options, exp_dir, folder, kills, seed):
    """Run to step 12, killed at random moments; every start but the first goes on with what is there."""
    rng = random.Random(seed)
    argv = [*options, "--max_steps=12", "--auto_resume", f"--exp_dir={exp_dir}"]
    latest = exp_dir / "checkpoints" / LATEST
    for number in range(kills):
        run = Run(argv, folder, name=f"run{number}")
        before = latest.stat().st_ino if latest.exists() else None
        # let it come to a new checkpoint, so that all kills do not fall into the start
        run.wait_for(lambda before=before: latest.exists() and latest.stat().st_ino != before)
        time.sleep(rng.random() * 0.25)
        if run.process.is_alive():
            os.kill(run.process.pid, signal.SIGKILL)
        run.wait()
    return train(argv, folder, name="last")


def test_killed_and_resumed_is_the_same_run(options, uninterrupted, tmp_path):
    kill_and_resume(options, tmp_path / "run", tmp_path, kills=3, seed=0)
    assert_same_run(checkpoint(tmp_path / "run"), checkpoint(uninterrupted))
    names = {path.name for path in (tmp_path / "run" / "checkpoints").glob("*.pt")}
    assert names >= {LATEST, PREVIOUS, "iteration_4.pt", "iteration_8.pt", "iteration_12.pt"}


@pytest.mark.slow
def test_killed_ten_times(options, uninterrupted, tmp_path):
    kill_and_resume([*options, "--workers=1"], tmp_path / "run", tmp_path, kills=10, seed=1)
    assert_same_run(checkpoint(tmp_path / "run"), checkpoint(uninterrupted))


class ThirdCheckpoint:
    """From the third checkpoint on, saving writes a few bytes and then does something else."""

    def __init__(self, ending):
        self.ending = ending

    def __call__(self):
        import models.checkpoints as module

        save, count = module.torch.save, 0

        def save_or_end(contents, path):
            nonlocal count
            count += 1
            if count >= 3:
                path.write_bytes(b"half a file")
                self.ending()
            save(contents, path)

        module.torch.save = save_or_end


def kill_myself():
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


def test_killed_while_writing_a_checkpoint(options, uninterrupted, tmp_path):
    argv = [*options, "--max_steps=12", "--auto_resume", f"--exp_dir={tmp_path / 'run'}"]
    run = Run(argv, tmp_path, damage=ThirdCheckpoint(kill_myself))
    assert run.wait() == -signal.SIGKILL, run.output
    assert checkpoint(tmp_path / "run")["global_step"] == 2
    train(argv, tmp_path, name="again")
    assert_same_run(checkpoint(tmp_path / "run"), checkpoint(uninterrupted))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_told_to_stop(options, uninterrupted, tmp_path, name):
    """Finishes its step, saves, exits 0; options are taken over from the run when it is continued."""
    quiet = [*options, "--latest_interval=1000", "--save_interval=0", "--max_steps=12"]
    run = Run([*quiet, f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    run.wait_for(lambda: "step 3/12" in run.output)
    os.kill(run.process.pid, getattr(signal, name))
    assert run.wait() == 0, run.output
    step = checkpoint(tmp_path / "run")["global_step"]
    assert 3 <= step < 12
    assert f"stopped at step {step} ({name})" in run.output
    output = train(["--device=cpu", f"--exp_dir={tmp_path / 'run'}", "--continue_training"], tmp_path, name="again")
    assert f"continuing {tmp_path / 'run' / 'checkpoints' / LATEST} after step {step}" in output
    assert_same_run(checkpoint(tmp_path / "run"), checkpoint(uninterrupted))
    assert (tmp_path / "run" / "train.bash").read_text().count("python scripts/train3d.py") == 2
    assert json.loads((tmp_path / "run" / "opt.json").read_text())["learning_rate"] == 1e-3


def test_full_disk_leaves_the_old_file_whole(options, tmp_path):
    full = ThirdCheckpoint(fill_the_disk)
    run = Run([*options, "--max_steps=12", f"--exp_dir={tmp_path / 'run'}"], tmp_path, damage=full)
    assert run.wait() == 2
    assert "No space left on device" in run.output
    assert "Traceback" not in run.output
    assert checkpoint(tmp_path / "run")["global_step"] == 2
    assert not list((tmp_path / "run" / "checkpoints").glob(".*")), "nothing half-written stays"


class PoisonedBatch:
    """The photograph in the fifth batch holds NaN."""

    def __call__(self):
        import training.objectives.sem2nerf as module

        move, count = module.to_device, 0

        def poisoned(*arguments):
            nonlocal count
            count += 1
            batch = move(*arguments)
            if count == 5:
                batch.images.fill_(float("nan"))
            return batch

        module.to_device = poisoned


def test_nan_stops_the_run(options, tmp_path):
    run = Run([*options, "--max_steps=12", "--train_rand_pose_prob=0", "--board_interval=100", "--latest_interval=2",
               f"--exp_dir={tmp_path / 'run'}"], tmp_path, damage=PoisonedBatch())
    assert run.wait() == 2
    assert "step 5: loss_l2 is nan (batch: " in run.output
    assert "--grad_clip 1" in run.output
    assert "Traceback" not in run.output
    saved = checkpoint(tmp_path / "run")
    assert saved["global_step"] == 4
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_earlier_run_in_the_way(options, uninterrupted, tmp_path):
    run = Run([*options, "--max_steps=13", f"--exp_dir={uninterrupted}"], tmp_path)
    assert run.wait() == 2
    assert "there is a run in it already" in run.output
    assert "--overwrite" in run.output
    run = Run([*options, f"--exp_dir={tmp_path / 'nothing'}", "--continue_training"], tmp_path, name="nothing")
    assert run.wait() == 2
    assert "holds no checkpoint" in run.output


def test_nothing_left_to_train(options, uninterrupted, tmp_path):
    last = uninterrupted / "checkpoints" / LATEST
    output = train([*options, "--max_steps=12", f"--exp_dir={tmp_path / 'run'}", f"--checkpoint_path={last}",
                    "--continue_training"], tmp_path)
    assert "finished at step 12; no step was left to train, so no checkpoint was written" in output
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def save(folder, step):
    folder.save({"format": "sem2nerf", "state_dict": {}, "opts": {}, "global_step": step}, milestone=step % 2 == 0)


def test_fallbacks(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2)
    assert folder.load_newest() is None
    for step in range(1, 8):
        save(folder, step)
    assert [path.name for path in folder.iterations()] == ["iteration_6.pt", "iteration_4.pt"]
    contents, path, problems = folder.load_newest()
    assert (contents["global_step"], path.name, problems) == (7, LATEST, [])
    for name, expected in ((LATEST, 6), (PREVIOUS, 6), ("iteration_6.pt", 4)):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        contents, path, problems = folder.load_newest()
        assert contents["global_step"] == expected
        assert name in problems[-1]
    (tmp_path / "iteration_4.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 4 checkpoints can be read.*`overwrite`"):
        folder.load_newest()
    (tmp_path / BEST).write_bytes(b"")
    folder.clear()
    assert not list(tmp_path.glob("*.pt"))
