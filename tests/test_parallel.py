"""Maps in threads: results in order, memory bounded, masks read once, and PyTorch's thread counts left alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from datasets.inference_set import InferenceDataset, read_all
from utils.parallel import in_one_thread, prefetch_map, thread_map


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


@pytest.fixture
def three_threads():
    """PyTorch uses three threads, here and in threads to come."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_workers_compute_alone_and_nobody_else_notices(three_threads):
    """Two maps at once, one called from a thread that has computed nothing yet, and threads born while they run."""
    inside, looked = threading.Barrier(5, timeout=60), threading.Barrier(5, timeout=60)

    def work(item):
        inside.wait()
        looked.wait()
        return item, torch.get_num_threads()

    def caller(start):
        return list(thread_map(work, range(start, start + 2), 2)), torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(caller, start) for start in (0, 10)]
        inside.wait()  # all four workers are at it
        assert in_new_thread(torch.get_num_threads) == 3
        looked.wait()
        results = [call.result() for call in calls]
    assert results == [([(0, 1), (1, 1)], 3), ([(10, 1), (11, 1)], 3)]
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 3


def test_a_thread_s_own_number_is_kept(three_threads):
    def caller():
        torch.set_num_threads(2)
        list(thread_map(torch.sqrt, [torch.ones(3)] * 4, 2))
        return torch.get_num_threads()

    assert in_new_thread(caller) == 2


def test_in_one_thread_and_nobody_else_notices(three_threads):
    def caller():
        torch.get_num_threads()  # from now on it has a number of its own
        torch.set_num_threads(2)
        in_new_thread(lambda: torch.set_num_threads(3))
        with in_one_thread() as before:
            with in_one_thread() as inner:
                assert (before, inner, torch.get_num_threads(), in_new_thread(torch.get_num_threads)) == (2, 1, 1, 3)
            assert torch.get_num_threads() == 1
        return torch.get_num_threads()

    assert in_new_thread(caller) == 2
    assert in_new_thread(torch.get_num_threads) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_thread_map_keeps_the_order_and_passes_errors_on(workers):
    assert list(thread_map(lambda x: x * x, range(20), workers)) == [x * x for x in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(thread_map(lambda x: 1 / x, [1, 0, 2], workers))
