"""The processes of a run, one or many: started by plain python, torchrun, torch.distributed.launch or SLURM's srun."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.runtime.failure import FailureWatch
from training.runtime.rendezvous import TIMEOUT, launcher_store, own_rendezvous
from utils.cli import report
from utils.device import pick_device, pick_local_device
from utils.errors import UserError

Answer = TypeVar("Answer")
Report = Callable[[str], None]  # prints a line
# a system without SIGUSR1 cannot send it
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name))


@dataclass(frozen=True)
class World:
    """This process among all of a run."""

    device: torch.device
    rank: int = 0
    size: int = 1
    nodes: int = 1
    group: Any = None  # CPU group for small objects; None for a single process
    watch: FailureWatch | None = None  # ends this process if another one fails; None for a single process

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """`value` of every process, on every process (plain data and CPU tensors)."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def report(self, text: str) -> None:
        """Print a line, settings in it as flags, on the main process only."""
        if self.is_main:
            print(UserError(text).with_settings(lambda name: f"--{name}"))

    def on_main(self, look: Callable[[], Answer]) -> Answer:
        """What `look` returns in the main process, or its UserError, in all of them."""
        if self.size == 1:
            return look()
        answers: list[Any] = [None]
        if self.is_main:
            try:
                answers = [look()]
            except UserError as error:
                answers = [error]
        dist.broadcast_object_list(answers, src=0, group=self.group)
        if isinstance(answers[0], UserError):
            raise answers[0]
        return answers[0]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes: for losses whose graph changes from step to step, which
        `parallel` does not support. The same parameters must have gradients in all processes."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(joined)
        parts = (joined / self.size).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def parallel(self, module: nn.Module, static_graph: bool) -> nn.Module:
        """`module`, its gradients averaged over all processes.

        Args:
            static_graph: every step computes the same operations.
        """
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        with warnings.catch_warnings():  # PyTorch 2.14 has a new name for it, which those before do not know
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")
            return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False,
                                           static_graph=static_graph, gradient_as_bucket_view=True)


# number, how many, number on this machine, how many there: of Open MPI, of MPICH and Intel MPI, of MVAPICH, of Cray's
MPI_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"),
)


@dataclass(frozen=True)
class Launch:
    """The place that a launcher gives this process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0     # number among the processes on this machine
    local_size: int = 1     # how many these are
    own_gpus: bool = False  # each process may see only the GPUs that it has for itself


def read_launch(environment: Mapping[str, str], local_rank: int = 0) -> Launch:
    """From the variables that torchrun (or torch.distributed.launch), mpirun or srun set.

    Args:
        local_rank: of the command line, for launchers that pass it there.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Launch(int(environment["RANK"]), int(environment["WORLD_SIZE"]),
                      int(environment.get("LOCAL_RANK", local_rank)), int(environment.get("LOCAL_WORLD_SIZE", 1)))
    # before SLURM: in a batch script mpirun starts its helpers with srun, whose variables its processes inherit
    for names in MPI_VARIABLES:
        if all(name in environment for name in names[:3]):
            rank, size, local = (int(environment[name]) for name in names[:3])
            return Launch(rank, size, local, int(environment.get(names[3], size)))
    # only srun sets SLURM_STEP_NUM_TASKS: plain python inside a batch script is a single process
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        local_size = re.match(r"[0-9]+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))  # e.g. 8(x2)
        return Launch(int(environment["SLURM_PROCID"]), int(environment["SLURM_STEP_NUM_TASKS"]),
                      int(environment["SLURM_LOCALID"]), int(local_size[0]) if local_size else 1, own_gpus=True)
    if "PMI_RANK" in environment and "PMI_SIZE" in environment:  # an MPI that counts no processes per machine: one
        rank, size = int(environment["PMI_RANK"]), int(environment["PMI_SIZE"])
        return Launch(rank, size, rank, size)
    return Launch()


def is_restart(environment: Mapping[str, str]) -> bool:
    """Whether torchrun has started this process again after a failure."""
    return int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


@contextlib.contextmanager
def running(device: str = "auto", gpu_ids: str = "0", *, dist_url: str = "env://", local_rank: int = 0,
            world_size: int = 1, single: bool = False, debug: bool = False) -> Iterator[World]:
    """This process's place among those of a run, while inside:

        with processes.running(opts.device, opts.gpu_ids, debug=opts.debug) as world:
            ...

    If the body fails in one of several processes, that process says why and ends at once, and the others end too (see
    `FailureWatch`). It must not leave the process group first: under NCCL the others, which may be waiting for this
    process in an operation of the body, would have to leave it too, and nobody would ever read the message.

    Args:
        device, gpu_ids: see `utils.device`; each of several processes on a machine has a GPU of its own.
        dist_url: how the processes find each other, as for `torch.distributed.init_process_group`.
        local_rank: number of the process on its machine, for launchers that pass it on the command line.
        world_size: of the command line; more than 1 without a launcher is refused.
        single: stay alone, whatever the environment says.
        debug: show the traceback of an error that a user can mend, too.

    Raises:
        UserError: the device does not exist, or the others cannot be reached.
        Exception: what the body raises, if this process is the only one.
    """
    launch = Launch() if single else read_launch(os.environ, local_rank)
    if launch.size == 1 and world_size > 1 and not single:
        raise UserError(f"`world_size` {world_size}: this process was started alone; start all of them with "
                        "torchrun or srun (docs/training.md shows how)")
    chosen = (pick_device(device, gpu_ids) if launch.size == 1 else
              pick_local_device(device, launch.local_rank, launch.own_gpus))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        torch.backends.cudnn.deterministic = True  # a run that is resumed gives the same numbers
    if launch.size == 1:
        yield World(chosen)
        return
    world = _join(launch, chosen, dist_url)
    try:
        yield world
        if world.watch is not None:
            world.watch.stop()
            dist.barrier(world.group)  # the process that holds the store of all ends last
    except (Exception, KeyboardInterrupt) as error:
        code = report(_explained(error), debug)
        sys.stdout.flush()
        sys.stderr.flush()
        if world.watch is not None:
            world.watch.tell()
        os._exit(code)
    dist.destroy_process_group()


def _join(launch: Launch, device: torch.device, dist_url: str) -> World:
    """Meet the other processes.

    Raises:
        UserError: they cannot be reached.
    """
    on_gpu = device.type == "cuda"
    if "MASTER_ADDR" not in os.environ:
        os.environ.update(own_rendezvous(os.environ, launch.local_size == launch.size))
    try:
        store = launcher_store(launch.rank, launch.size) if dist_url == "env://" else None
        dist.init_process_group("nccl" if on_gpu else "gloo", init_method=dist_url if store is None else None,
                                store=store, rank=launch.rank, world_size=launch.size, timeout=TIMEOUT,
                                device_id=device if on_gpu else None)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"`dist_url` {dist_url}: the other processes cannot be reached ({error}); check MASTER_ADDR, "
                        "MASTER_PORT and the network") from error
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    watch = FailureWatch(dist.distributed_c10d._get_default_store(), launch.rank)
    return World(device, launch.rank, launch.size, max(1, launch.size // max(1, launch.local_size)), group, watch)


def _explained(error: BaseException) -> BaseException:
    """An error of the connection between the processes is mostly the consequence of another process's error."""
    if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/transport" in str(error)):
        explained = UserError("the connection to the other processes is lost; if one of them has ended, its own "
                              f"message says why ({error})")
        explained.__cause__ = error
        return explained
    return error


class StopRequest:
    """Notes SIGTERM, SIGUSR1 (SLURM's warning before it takes the machine away) and Ctrl-C, so that a loop can ask for
    them between two steps. A second Ctrl-C ends the program at once.

        with StopRequest(world) as stop:
            ...
            if stop.agreed(): save and leave
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.received: str | None = None  # name of the signal
        self._before: dict[int, Any] = {}
        self._pending: tuple[Any, torch.Tensor] | None = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {name: signal.signal(name, self._receive) for name in STOP_SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)
        if self._pending is not None and kind is None:
            self._pending[0].wait()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def agreed(self) -> bool:
        """Whether any process was asked to stop: the same answer in all of them. Call it once a step.

        With several processes it is the answer to the call before: the processes exchange what they have received
        while they compute a step, so that no process waits for the exchange.
        """
        if self.world.size == 1:
            return self.received is not None
        answer = False
        if self._pending is not None:
            work, flag = self._pending
            work.wait()
            answer = bool(flag.item())
        flag = torch.tensor([int(self.received is not None)])
        self._pending = dist.all_reduce(flag, group=self.world.group, async_op=True), flag
        return answer
