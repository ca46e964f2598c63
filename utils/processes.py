"""Work spread over processes that each use a single thread."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from utils.errors import UserError

Item, Result = TypeVar("Item"), TypeVar("Result")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")


def map_processes(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function(item)` for every item, results in order; also with one worker the work is done in another process.

    The processes are started afresh (not forked), so that their thread limits hold and every machine works alike. They
    end with this process, even if it is killed; Ctrl-C ends them after the items they are at.

    Raises:
        UserError: a process was killed, as systems do when memory runs out.
        Exception: the first one that `function` raises.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read by the new processes when they load their libraries
    pool = ProcessPoolExecutor(max(1, workers), multiprocessing.get_context("spawn"), _begin)
    try:
        yield from pool.map(function, items)
    except BrokenProcessPool as error:
        raise UserError(f"one of the {workers} worker processes ended (out of memory?); run it again, with fewer "
                        "--workers if it happens again: what is finished is kept") from error
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes in order
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
