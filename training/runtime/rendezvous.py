"""How the processes of a run find each other, also after torchrun has started them again."""

from __future__ import annotations

import datetime
import os
import re
import secrets
import time
import zlib
from collections.abc import Mapping

import torch.distributed as dist

from utils.errors import UserError

TIMEOUT = datetime.timedelta(minutes=30)
POLL_SECONDS = 0.05


def own_rendezvous(environment: Mapping[str, str], one_machine: bool) -> dict[str, str]:
    """MASTER_ADDR and MASTER_PORT where the launcher names none.

    mpirun does not say on which machines it starts processes. On a single one they meet at a port that follows from
    the job's name, or from the process that has started them all.

    Raises:
        UserError: they are on several machines that nothing names.
    """
    if "SLURM_STEP_NODELIST" in environment or "SLURM_NODELIST" in environment:
        return slurm_rendezvous(environment)
    if not one_machine:
        raise UserError("the processes are on several machines: name the first of them to all processes with "
                        "MASTER_ADDR, and a free port there with MASTER_PORT (mpirun -x MASTER_ADDR=NODE "
                        "-x MASTER_PORT=29500 ...)")
    job = environment.get("PMIX_NAMESPACE") or environment.get("OMPI_MCA_ess_base_jobid") or str(os.getppid())
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + zlib.crc32(job.encode()) % 20000)}


def slurm_rendezvous(environment: Mapping[str, str]) -> dict[str, str]:
    """MASTER_ADDR and MASTER_PORT of a SLURM job step: its first node, and a port that follows from the job's id."""
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST") or "localhost"
    first = re.split(r",(?![^\[]*\])", nodes)[0]  # at a comma that is not in brackets: rack[1,3-4]-gpu,login
    return {"MASTER_ADDR": re.sub(r"\[([0-9]+)[^\]]*\]", r"\1", first),
            "MASTER_PORT": str(20000 + int(environment.get("SLURM_JOB_ID", 0)) % 20000)}


def launcher_store(rank: int, size: int) -> dist.Store | None:
    """The part of torchrun's key-value store that belongs to this attempt; None without torchrun.

    torchrun keeps one store for all its attempts (seen in PyTorch 2.14, with a fixed port and with a rendezvous of its
    own), and its processes use it without a prefix. Processes that are started again would read the addresses of those
    that died, and wait for them. The restart count cannot tell attempts apart: each node counts its own failures, and
    the count stays the same when a node joins or leaves. So the processes agree on a name, see `meet`.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
                          wait_for_workers=False, timeout=TIMEOUT)
    return dist.PrefixStore(meet(dist.PrefixStore("sem2nerf", store), rank, size), store)


def meet(store: dist.Store, rank: int, size: int, timeout: datetime.timedelta = TIMEOUT) -> str:
    """Agree on a name that all processes of this attempt know, and no process of an earlier attempt.

    Process 0 stores a new random name as its offer. Every other process writes a random number under the name that it
    reads. When all have written, process 0 closes its offer with the list of these numbers. A process that does not
    find its own number in the list of a closed offer has read the offer of an earlier attempt, and reads again until
    there is a new one.

    Args:
        rank, size: number of this process, and how many there are.

    Raises:
        RuntimeError: not all processes came within `timeout`.
    """
    own = secrets.token_hex(8)
    if rank == 0:
        answers = [f"{own}/{other}" for other in range(1, size)]
        store.set("offer", own)
        if answers:
            store.wait(answers, timeout)
        store.set(f"{own}/closed", " ".join(store.get(answer).decode() for answer in answers))
        return own
    store.wait(["offer"], timeout)
    end, answered = time.monotonic() + timeout.total_seconds(), None
    while time.monotonic() < end:
        offer = store.get("offer").decode()
        if offer != answered:
            store.set(f"{offer}/{rank}", own)
            answered = offer
        if store.check([f"{offer}/closed"]) and own in store.get(f"{offer}/closed").decode().split():
            return offer
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"process 0 has not come within {timeout}")
