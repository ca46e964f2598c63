"""A step's data: read, and on their way to a GPU, while the step before computes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

Loaded = TypeVar("Loaded")
Moved = TypeVar("Moved")


class Place(NamedTuple):
    """Of a micro-batch in the run."""

    step: int  # from 0
    samples_seen: int  # by the steps before, over all processes
    micro_batch: int


class Feed(Generic[Loaded, Moved]):
    """The micro-batches of a run in order. On a CPU each is read when it is asked for.

        feed = Feed(read, move, device)
        loaded, moved = feed.take(place, following)
        ...                                          # launch what is to be computed with it
        feed.send_ahead()
        print(feed.seconds_waited)

    Args:
        read: data at a place of the run, in main memory. It is called in order, after the first time in a thread.
        move: the same on the device (tensors in dataclasses, tuples and mappings); it should wait for nothing.
    """

    def __init__(self, read: Callable[[Place], Loaded], move: Callable[[Loaded], Moved], device: torch.device) -> None:
        self._read, self._move, self._ahead = read, move, device.type != "cpu"
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._reading: tuple[Place, Future[Loaded]] | None = None
        self._sent: tuple[Loaded, Moved] | None = None
        self.seconds_waited = 0.0  # in all calls of `take`

    def take(self, place: Place, following: Place) -> tuple[Loaded, Moved]:
        """The data of a place, and those of `following` begin to be read.

        Raises:
            UserError: of `read`.
        """
        start = time.perf_counter()
        if self._reading is None:
            loaded = self._read(place)
            sent = loaded, self._moved(loaded)
        else:
            expected, future = self._reading
            if expected != place:
                raise ValueError(f"micro-batches are taken in order: {expected} is next, not {place}")
            sent = self._sent or (future.result(), self._moved(future.result()))
        self.seconds_waited += time.perf_counter() - start
        self._sent = None
        if self._ahead:
            self._reading = following, self._pool.submit(self._read, following)
        if self._stream is not None:
            now = torch.cuda.current_stream(self._stream.device)
            now.wait_stream(self._stream)
            for tensor in _tensors(sent[1]):  # made on the other stream: its memory must not be used again too soon
                tensor.record_stream(now)
        return sent

    def send_ahead(self) -> None:
        """Begin to move what comes next, if it has been read."""
        if self._sent is None and self._reading is not None and self._reading[1].done() \
                and self._reading[1].exception() is None:
            loaded = self._reading[1].result()
            self._sent = loaded, self._moved(loaded)

    def _moved(self, loaded: Loaded) -> Moved:
        with contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            return self._move(loaded)

    def close(self) -> None:
        """Wait for what is being read."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _tensors(getattr(value, field.name))
    elif isinstance(value, (tuple, Mapping)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)
