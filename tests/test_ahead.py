"""Work ahead of its use: in order, bounded, and masks are read once."""

import threading

import pytest

from datasets.inference_set import InferenceDataset, read_all
from utils.parallel import prefetch_map


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_in_order_and_no_further_ahead_than_asked(threads):
    begun, lock = [], threading.Lock()

    def work(item):
        with lock:
            begun.append(item)
        return item * item

    results = prefetch_map(work, range(20), threads, 4)
    for i in range(20):
        assert next(results) == i * i
        assert len(begun) <= i + 1 + 4
    assert sorted(begun) == list(range(20))


def test_an_error_ends_it():
    with pytest.raises(ZeroDivisionError):
        list(prefetch_map(lambda x: 1 / x, [1, 0, 2], 1, 1))


class Counted(InferenceDataset):
    """A data set that counts how often each item is read."""

    def __init__(self, length):
        self.read = [0] * length

    def __len__(self):
        return len(self.read)

    def __getitem__(self, index):
        self.read[index] += 1
        return index


def test_masks_are_read_once_as_far_as_they_fit(monkeypatch):
    monkeypatch.setattr("datasets.inference_set.KEPT", 3)
    data = Counted(5)
    masks = read_all(data, threads=1, ahead=2)
    assert data.read == [1] * 5  # all are checked before the first is used
    assert list(masks) == [0, 1, 2, 3, 4]
    assert data.read == [1, 1, 1, 2, 2]
