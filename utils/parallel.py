"""Maps that compute several items at a time: in threads ahead of their use, in threads of one core, in processes."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from utils.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")
_thread_counts = threading.Lock()  # held while PyTorch's number for new threads is not what it should be


def prefetch_map(function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
                 ) -> Iterator[Result]:
    """`function(item)` for every item, results in order, in threads that work at most `ahead` items before their use.

    So memory does not grow with the number of items. Without threads each item waits for its turn.
    """
    if threads == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def thread_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function(item)` for every item, results in order.

    A block that fits into one core's cache is best computed by that core alone: PyTorch's own threads would meet at a
    barrier after every operation, which costs more than it gains, and very much more when the machine has other work.
    So each worker here computes with a single thread, and results do not depend on the number of workers. Several
    threads may call this at once; the number of threads that PyTorch uses in them stays what it is.
    """
    import torch  # takes a second to import, which worker processes without it need not wait for

    if workers == 1:
        yield from map(function, items)
        return
    with _thread_counts:
        torch.get_num_threads()  # the calling thread has its own number from now on
    with ThreadPoolExecutor(workers, initializer=_use_threads, initargs=(1,)) as pool:
        yield from pool.map(function, items)


@contextmanager
def in_one_thread() -> Iterator[int]:
    """While inside, PyTorch uses no thread besides this one for what is computed in it; others are not affected.

    For many small operations on a machine that has other work: PyTorch's threads wait for each other after every
    operation, and do not sleep while they wait.

    Yields:
        how many threads PyTorch used before.
    """
    import torch

    before = torch.get_num_threads()
    _use_threads(1)
    try:
        yield before
    finally:
        _use_threads(before)


def _use_threads(number: int) -> None:
    """Let PyTorch use so many threads, this one among them, for what is computed in this one.

    PyTorch keeps one number for each thread and one for threads that are yet to compute something. `set_num_threads`
    sets both, so the second is set back at once, by another thread.
    """
    import torch

    with _thread_counts, ThreadPoolExecutor(1) as other:
        torch.get_num_threads()  # a thread that asks for the first time would take the number for new threads later
        of_new_threads = other.submit(torch.get_num_threads).result()
        torch.set_num_threads(number)
        other.submit(torch.set_num_threads, of_new_threads).result()


def process_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int,
                values: Sequence[Any] = (None,)) -> Iterator[Result]:
    """`function(item)` for every item, results in order; also with one worker the work is done in another process.

    `values` (devices, say) are dealt out to the processes in turn: `own_value()` gives a process the one it got.

    The processes are started afresh (not forked), so that their thread limits hold and every machine works alike. They
    end with this process, even if it is killed; Ctrl-C ends them after the items that they are working on.

    Raises:
        UserError: a process was killed, as systems do when memory runs out.
        Exception: the first one that `function` raises.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read by the new processes when they load their libraries
    context, workers = multiprocessing.get_context("spawn"), max(1, workers)
    dealt = context.SimpleQueue()
    for number in range(workers):
        dealt.put(values[number % len(values)])
    pool = ProcessPoolExecutor(workers, context, _begin, (dealt,))
    try:
        yield from pool.map(function, items)
    except BrokenProcessPool as error:
        raise UserError(f"one of the {workers} worker processes ended (out of memory?); run it again, with fewer "
                        "`workers` if it happens again: what is finished is kept") from error
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def own_value() -> Any:
    """What `process_map` dealt out to this process; None in any other."""
    return _own_value


_own_value: Any = None


def _begin(dealt: Any) -> None:
    global _own_value
    _own_value = dealt.get()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes in order
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
