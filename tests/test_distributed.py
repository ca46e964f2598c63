"""Several processes: the same training as one, and what launchers say."""

import datetime
import functools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import child_processes
import psutil
import pytest
import torch
import torch.distributed as dist
from conftest import ROOT
from launching import Run, free_port, train, train_together
from tiny_training import make_all, make_data

from training.runtime import processes
from training.runtime.failure import EXIT_CODE
from training.runtime.logs import launcher
from training.runtime.processes import Launch, World, read_launch
from training.runtime.rendezvous import meet, slurm_rendezvous
from utils.errors import UserError


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("tiny"))


def checkpoint(exp_dir):
    return torch.load(exp_dir / "checkpoints" / "latest_model.pt", weights_only=True)


OTHER_WAY = ["--patch_shift=diagonal", "--use_cond_dis", "--train_decoder"]


@pytest.mark.parametrize("extra", [[], pytest.param(OTHER_WAY, marks=pytest.mark.slow)], ids=["default", "other way"])
def test_two_processes_are_one_with_twice_the_batch(options, tmp_path, extra):
    """Stochastic depth, patches, extreme poses and ray noise included; validation sums of uneven shares too.

    Parameters move by about 3e-4 in these five steps; rounding differs in the order of a sum of two: 1e-6. At a higher
    rate the field's sines would let that difference grow from step to step.
    """
    common = [*options, *extra, "--max_steps=5", "--val_interval=5", "--learning_rate=1e-4", "--seed=4"]
    train_together([*common, "--batch_size=1", f"--exp_dir={tmp_path / 'two'}"], tmp_path, processes=2)
    train([*common, "--batch_size=2", f"--exp_dir={tmp_path / 'one'}"], tmp_path)
    two, one = checkpoint(tmp_path / "two"), checkpoint(tmp_path / "one")
    assert one["state_dict"]["encoder.head.weight"].abs().max() > 1e-4, "it starts at zero"
    for part in ("state_dict", "dis_state_dict"):
        for key, value in one[part].items():
            torch.testing.assert_close(two[part][key], value, rtol=0, atol=1e-6)
    assert two["samples_seen"] == one["samples_seen"] == 10
    assert two["best_val_loss"] == pytest.approx(one["best_val_loss"], abs=1e-6)
    assert len(two["rng"]) == 2


def test_accumulating_is_a_larger_batch(options, tmp_path):
    """Without a discriminator, whose spectral norm is refined with every micro-batch."""
    common = [*options, "--max_steps=3", "--val_interval=0", "--learning_rate=1e-3", "--dis_lambda=0"]
    train([*common, "--batch_size=1", "--grad_accum=4", f"--exp_dir={tmp_path / 'small'}"], tmp_path)
    train([*common, "--batch_size=4", f"--exp_dir={tmp_path / 'large'}"], tmp_path)
    small, large = checkpoint(tmp_path / "small"), checkpoint(tmp_path / "large")
    assert large["state_dict"]["encoder.head.weight"].abs().max() > 1e-4, "it starts at zero"
    for key, value in large["state_dict"].items():
        torch.testing.assert_close(small["state_dict"][key], value, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_process_that_fails_says_why_and_ends_them_all(tmp_path):
    """Although the process group cannot be left: the second process meets a photograph that it cannot read."""
    options = make_all(tmp_path)
    for rank in (0, 1):
        make_data(tmp_path / f"data{rank}")
    for photograph in (tmp_path / "data1" / "CelebA-HQ-img").glob("*.jpg"):
        photograph.write_bytes(photograph.read_bytes()[:500])
    script = str(ROOT / "tests" / "training_process.py")
    agent = child_processes.start(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}",
         "--redirects=3", f"--log-dir={tmp_path / 'logs'}", script, *options, f"--data_root={tmp_path}/data{{rank}}",
         f"--exp_dir={tmp_path / 'run'}", "--batch_size=1", "--max_steps=30", "--val_interval=0", "--workers=1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def said(rank: int) -> str:
        return "".join(path.read_text() for path in (tmp_path / "logs").rglob(f"{rank}/stderr.log"))

    end, ranks = time.monotonic() + 200, []
    while "error: " not in said(1):
        ranks = psutil.Process(agent.pid).children(recursive=True) or ranks
        assert time.monotonic() < end, "it says nothing"
        assert agent.poll() is None, said(1)
        time.sleep(0.05)
    assert len(ranks) >= 2
    output, _ = child_processes.finish(agent, timeout=60)
    assert agent.returncode != 0, output
    assert "exitcode  : 2 " in output
    assert psutil.wait_procs(ranks, timeout=15)[1] == []
    (error,) = said(1).splitlines()
    assert error.startswith("error: ")
    assert ".jpg: this photograph cannot be read" in error
    assert "Traceback" not in said(0)


def fail_or_wait(failing: int):
    """In a process of a training: one fails in its second step; the other one then waits in an operation that does not
    return when a connection breaks, and does not see signals, as one of NCCL."""
    from training.objectives.sem2nerf import Sem2NeRFObjective

    step = Sem2NeRFObjective.step

    def other(self, number, seen):
        if number == 1 and self.world.rank == failing:
            raise UserError("`data_root` broken: this cannot be read")
        if number == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        return step(self, number, seen)

    Sem2NeRFObjective.step = other


@pytest.mark.parametrize("failing", [0, 1])
def test_a_process_that_waits_for_one_that_failed_ends_too(options, tmp_path, failing):
    """Without a launcher that would end it, whether or not the process that fails holds the store."""
    port = str(free_port())
    runs = [Run([*options, f"--exp_dir={tmp_path / 'run'}", "--batch_size=1", "--max_steps=9"], tmp_path,
                name=f"rank{rank}", damage=functools.partial(fail_or_wait, failing),
                environment={"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2",
                             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}) for rank in (0, 1)]
    failed, waiting = runs[failing], runs[1 - failing]
    assert failed.wait() == 2
    assert waiting.wait(timeout=30) == EXIT_CODE
    assert failed.output.splitlines()[-1].startswith("error: --data_root broken: this cannot be read")
    last = waiting.output.splitlines()[-1]
    assert last.startswith("error: ")
    assert "its own message says why" in last


@pytest.mark.parametrize(("error", "code", "line"), [
    (UserError("`data_root` /x: there is no such folder"), 2, "error: --data_root /x: there is no such folder"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (ZeroDivisionError("a defect"), 1, "ZeroDivisionError: a defect"),
    (RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer"), 2,
     "error: the connection to the other processes is lost; if one of them has ended, its own message says why "
     "([gloo/transport/tcp/pair.cc:538] Connection closed by peer)"),
])
def test_how_one_of_several_processes_ends(monkeypatch, capsys, error, code, line):
    """Its message is out before it ends, and it does not try to leave the process group."""
    class Ended(BaseException):
        pass

    def end(with_code):
        raise Ended(with_code, capsys.readouterr().err.splitlines()[-1])

    left = []
    monkeypatch.setattr(processes, "read_launch", lambda *_: Launch(1, 2))
    monkeypatch.setattr(processes, "_join", lambda launch, device, _: processes.World(device, launch.rank, launch.size))
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: left.append(True))
    with pytest.raises(Ended) as ended, processes.running("cpu"):
        raise error
    assert ended.value.args == (code, line)
    assert not left
    with processes.running("cpu"):
        pass
    assert left == [True]


def test_a_process_alone_fails_as_any_program():
    with pytest.raises(UserError, match="x"), processes.running("cpu", single=True):
        raise UserError("x")


def test_launchers():
    assert read_launch({}) == Launch(0, 1)
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert read_launch(torchrun) == Launch(5, 8, 1, 4)
    assert read_launch({"RANK": "1", "WORLD_SIZE": "2"}, local_rank=1) == Launch(1, 2, 1, 1)
    srun = {"SLURM_PROCID": "9", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "41001",
            "SLURM_STEP_TASKS_PER_NODE": "8(x2)", "SLURM_STEP_NODELIST": "gpu-a[03-04],login"}
    assert read_launch(srun) == Launch(9, 16, 1, 8, own_gpus=True)
    assert slurm_rendezvous(srun) == {"MASTER_ADDR": "gpu-a03", "MASTER_PORT": "21001"}
    for nodes, first in {"node7": "node7", "rack[1-2]-gpu": "rack1-gpu", "a[02,05-07]b[1-3],c[1-2]": "a02b1",
                         "login,gpu[1-2]": "login"}.items():
        assert slurm_rendezvous({"SLURM_STEP_NODELIST": nodes})["MASTER_ADDR"] == first
    batch_script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"}
    assert read_launch(batch_script) == Launch(0, 1), "plain python in a batch script is alone"


@pytest.mark.parametrize("environment, size, nodes, start", [
    ({}, 1, 1, "python"), ({"RANK": "0"}, 8, 1, "torchrun --nproc_per_node=8"),
    ({"RANK": "0", "SLURM_STEP_NUM_TASKS": "2"}, 16, 2, "torchrun --nnodes=2 --nproc_per_node=8"),
    ({"SLURM_STEP_NUM_TASKS": "16"}, 16, 2, "srun --nodes=2 --ntasks=16 python"),
    ({"OMPI_COMM_WORLD_SIZE": "4"}, 4, 1, "mpirun -n 4 python"),
])
def test_the_command_line_of_a_run_has_its_launcher(environment, size, nodes, start):
    assert launcher(World(torch.device("cpu"), size=size, nodes=nodes), environment) == start


def together(store, ranks, size):
    """Names that processes of these ranks, all alive at once, get from `meet`; None for those that wait in vain."""
    def one(rank):
        try:
            return meet(store, rank, size, datetime.timedelta(seconds=2 if len(ranks) == size else 0.4))
        except RuntimeError:
            return None

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, ranks))


def test_each_attempt_meets_under_a_name_of_its_own():
    """Whatever processes that are dead have left in the store: offers that were closed, or never."""
    store = dist.HashStore()
    names = []
    for size in (1, 3, 3, 2):
        found = together(store, list(range(size)), size)
        assert len(set(found)) == 1
        names.append(found[0])
        assert together(store, [1, 2], 3) == [None, None], "process 0 never came"
        assert together(store, [0, 2], 3) == [None, None], "process 1 never came"
        assert together(store, [2, 1, 0], 3)[0] is not None
    assert None not in names
    assert len(set(names)) == len(names)
