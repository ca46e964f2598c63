"""No process that a test starts outlives that test, and none outlives the test run.

Whatever a test starts goes through here or through `launching.Run`: it has a deadline, and `conftest.py` ends it and
all its descendants after the test. What escapes is found by a mark in its environment at the end of the run.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Sequence

import psutil

MARK = "SEM2NERF_TEST_RUN"  # in the environment of every process that is started from this one
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # each of several that share the tests looks after its own
if not os.environ.get(MARK, "").startswith(f"{_WORKER}:"):
    os.environ[MARK] = f"{_WORKER}:{os.getpid()}-{time.time()}"

_started: list[psutil.Process] = []


def register(pid: int) -> None:
    """This process ends with the test that is running."""
    with contextlib.suppress(psutil.NoSuchProcess):
        _started.append(psutil.Process(pid))


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: Iterable[psutil.Process]) -> None:
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def end_started() -> None:
    """After a test: nothing of what it registered goes on."""
    while _started:
        end(tree(_started.pop()))


def start(argv: Sequence[str], **options) -> subprocess.Popen:
    """A command of its own."""
    process = subprocess.Popen([*map(str, argv)], text=True, **options)
    register(process.pid)
    return process


def finish(process: subprocess.Popen, timeout: float) -> tuple[str, str]:
    """What a command printed, once it has ended.

    Raises:
        AssertionError: it had not within `timeout` seconds; it is gone now.
    """
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end(tree(psutil.Process(process.pid)))
        # descendants that are gone hold no pipe any more: this returns
        raise AssertionError(f"still running after {timeout} s: {process.args}, {process.communicate()}") from None


def run(argv: Sequence[str], timeout: float = 240, **options) -> subprocess.CompletedProcess:
    """A whole command, output captured."""
    process = start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    output, errors = finish(process, timeout)
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)


def leftovers() -> list[psutil.Process]:
    """Processes that this one started, directly or not, and that are alive. Python's own helpers do not count."""
    me = psutil.Process()
    children = me.children(recursive=True)
    marked = [process for process in psutil.process_iter() if process.pid != me.pid and _is_marked(process)]
    return [process for process in {*children, *marked} if not _is_helper(process, me) and process.is_running()
            and process.status() != psutil.STATUS_ZOMBIE]


def _is_marked(process: psutil.Process) -> bool:
    try:
        return process.environ().get(MARK) == os.environ[MARK]
    except psutil.Error:
        return False


def _is_helper(process: psutil.Process, me: psutil.Process) -> bool:
    """The server that forks processes, and the one that tracks their resources: they end with this process."""
    try:
        command = " ".join(process.cmdline())
        return process.ppid() == me.pid and ("multiprocessing.forkserver" in command
                                             or "multiprocessing.resource_tracker" in command)
    except psutil.NoSuchProcess:
        return True
