"""The order of training samples: shuffled anew each epoch, the same for any number of processes."""

from datasets.sample_stream import BatchShard, SampleStream, index_at


def test_every_sample_once_per_epoch():
    order = [index_at(position, 5, seed=0) for position in range(15)]
    epochs = [order[i:i + 5] for i in (0, 5, 10)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 3
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2], "shuffled anew"
    assert order != [index_at(position, 5, seed=1) for position in range(15)]


def take(stream, count):
    return [batch for batch, _ in zip(stream, range(count))]


def test_shares_make_up_the_stream():
    """Two processes with two micro-batches of 3 read, step by step, what one process with batches of 12 reads."""
    alone = take(SampleStream(7, 0, BatchShard(12)), 3)
    halves = [take(SampleStream(7, 0, BatchShard(3, rank, world=2, micro_batches=2)), 6) for rank in (0, 1)]
    together = [[*halves[0][2 * s], *halves[1][2 * s], *halves[0][2 * s + 1], *halves[1][2 * s + 1]] for s in range(3)]
    assert together == alone
    assert take(SampleStream(7, 0, BatchShard(12), start=24), 1) == alone[2:]
