"""The order in which training samples are read: an endless stream, shuffled anew each epoch.

What stands at a position of the stream is a function of the seed and the position alone. A run that stopped goes on
from its position, and processes that share a batch take neighbouring positions, without talking to each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler


@dataclass(frozen=True)
class BatchShard:
    """Which positions of every step belong to one process."""

    batch: int  # samples of one micro-batch of one process
    rank: int = 0
    world: int = 1
    micro_batches: int = 1  # of a step, one after the other

    @property
    def step_samples(self) -> int:
        """Samples of one step, over all processes and micro-batches."""
        return self.batch * self.world * self.micro_batches

    def positions(self, start: int, micro_batch: int) -> list[int]:
        """This process's positions in one micro-batch of the step whose first sample stands at `start`."""
        first = start + (micro_batch * self.world + self.rank) * self.batch
        return list(range(first, first + self.batch))


def index_at(position: int, length: int, seed: int) -> int:
    """Which of `length` samples stands at a position of the stream; each comes up once per epoch."""
    epoch, within = divmod(position, length)
    return int(_order(length, seed, epoch)[within])


@lru_cache(maxsize=4)
def _order(length: int, seed: int, epoch: int) -> Int[np.ndarray, " length"]:
    return np.random.default_rng(np.random.SeedSequence((seed, epoch))).permutation(length)


class SampleStream(Sampler[list[int]]):
    """Batch sampler of one process, without end.

    Args:
        length: samples of the data set.
        start: position of the first sample of the first step (of all processes).
    """

    def __init__(self, length: int, seed: int, shard: BatchShard, start: int = 0) -> None:
        self.length, self.seed, self.shard, self.start = length, seed, shard, start

    def at(self, position: int) -> int:
        """Which sample stands at a position of the stream."""
        return index_at(position, self.length, self.seed)

    def __iter__(self) -> Iterator[list[int]]:
        start = self.start
        while True:
            for micro_batch in range(self.shard.micro_batches):
                yield [self.at(position) for position in self.shard.positions(start, micro_batch)]
            start += self.shard.step_samples
