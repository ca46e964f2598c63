"""Running blocks of work on all cores, one block a core."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item, Result = TypeVar("Item"), TypeVar("Result")


def map_threads(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function(item)` for every item, results in order.

    A block that fits into one core's cache is best computed by that core alone: PyTorch's own threads would meet at a
    barrier after every operation, which costs more than it gains, and very much more when the machine has other work.
    So each worker here computes with a single thread, and results do not depend on the number of workers.
    """
    if workers == 1:
        yield from map(function, items)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(threads)  # what threads made from now on start with
