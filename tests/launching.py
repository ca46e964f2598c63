"""Training runs in processes of their own, started in a blink.

Importing PyTorch takes seconds. A server process does it once, computes nothing, and forks: each child is a fresh
process that can be killed like any other.
"""

import contextlib
import importlib
import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path

import psutil
from child_processes import end, register, tree

ROOT = Path(__file__).resolve().parents[1]
PRELOAD = ["launching", "torch.utils.tensorboard", "scripts.train3d", "training.objectives.sem2nerf",
           "pretraining.adversarial"]


def context():
    ctx = multiprocessing.get_context("forkserver")
    for folder in (str(ROOT), str(ROOT / "tests")):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ctx.set_forkserver_preload(PRELOAD)
    return ctx


def _train(argv, environment, output, damage, script):
    """Runs in the child: a script (its module, or one of scripts/) with its console in a file."""
    import torch

    torch.set_num_threads(1)
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if damage is not None:
        damage()
    from utils.cli import run

    run(importlib.import_module(script if "." in script else f"scripts.{script}").main, argv)


class Run:
    """One process of a training; `output` is what it printed."""

    def __init__(self, argv, folder: Path, environment=None, name="console", damage=None, script="train3d"):
        self.path = Path(folder) / f"{name}.txt"
        self.process = context().Process(target=_train,
                                         args=(list(argv), environment or {}, str(self.path), damage, script))
        self.process.start()
        register(self.process.pid)

    @property
    def output(self) -> str:
        return self.path.read_text() if self.path.exists() else ""

    def wait(self, timeout=240) -> int:
        """Its exit code."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            end(tree(psutil.Process(self.process.pid)))
            raise AssertionError(f"still running after {timeout} s: {self.output}")
        return self.process.exitcode

    def wait_for(self, condition, timeout=240) -> None:
        """Until `condition()` holds or the process has ended."""
        end = time.monotonic() + timeout
        while not condition() and self.process.is_alive():
            assert time.monotonic() < end, self.output
            time.sleep(0.005)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def train(argv, folder, **kwargs) -> str:
    """One whole run that must succeed; what it printed."""
    run = Run(argv, folder, **kwargs)
    assert run.wait() == 0, run.output
    return run.output


def train_together(argv, folder, processes: int, script="train3d") -> list[str]:
    """A run of several processes on this machine that must succeed."""
    port = str(free_port())
    runs = [Run(argv, folder, name=f"rank{rank}", script=script,
                environment={"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank),
                             "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
            for rank in range(processes)]
    assert [run.wait() for run in runs] == [0] * processes, [run.output for run in runs]
    return [run.output for run in runs]
