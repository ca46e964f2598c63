"""Loaders: from a data set to batches on the training device."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import warnings
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datasets.masks.files import MaskWarning
from datasets.masks.maps import to_network_input
from datasets.sample_stream import SampleStream
from datasets.training_set import ImagesDataset3D
from training.runtime.processes import STOP_SIGNALS
from training.step import Batch
from utils.errors import UserError
from utils.images import from_bytes


def collate(items: list[Any]) -> dict[str, Any]:
    """Items -> names in a list, everything else stacked (None where the items have None)."""
    def column(values: list[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.stack(values)
        if isinstance(values[0], dict):
            return {key: column([value[key] for value in values]) for key in values[0]}
        return None if values[0] is None else values

    return column(items)


def training_loader(dataset: ImagesDataset3D, sampler: SampleStream, workers: int, pin: bool) -> DataLoader[Any]:
    """The batches of one process without end, as the sampler says: the loader processes stay for the run."""
    return _loader(dataset, sampler, workers, pin, prefetch=4)


def validation_loader(dataset: ImagesDataset3D, indices: Sequence[int], batch: int, workers: int, pin: bool
                      ) -> DataLoader[Any]:
    """The given samples once, in order."""
    batches = [list(indices[i:i + batch]) for i in range(0, len(indices), batch)]
    return _loader(dataset, batches, workers, pin, prefetch=2)


def _loader(dataset: ImagesDataset3D, batches: Iterable[list[int]], workers: int, pin: bool, prefetch: int
            ) -> DataLoader[Any]:
    numbers: Any = range(len(dataset))  # each batch of which becomes one of items in `_read`
    # forked workers notice when the training process is killed, and end; those of a fork server do not
    context = "fork" if workers and sys.platform == "linux" else None
    return DataLoader(numbers, batch_sampler=batches, collate_fn=partial(_read, dataset), num_workers=workers,
                      pin_memory=pin, prefetch_factor=prefetch if workers else None, worker_init_fn=_start_worker,
                      multiprocessing_context=context)


def _read(dataset: ImagesDataset3D, indices: Sequence[int]) -> dict[str, Any] | UserError:
    """A batch, or a UserError as a value: raised in a loader process it would come out wrapped in a traceback."""
    try:
        return collate([dataset[index] for index in indices])
    except UserError as error:
        return error


def checked(loader: DataLoader[Any]) -> Generator[dict[str, Any], None, None]:
    """The loader's batches. When this ends, in whichever way, the loader processes are gone: close it
    (`contextlib.closing`) if it may not be read to its end.

    They do not react to the signal by which Python ends such processes at its own exit, and it would wait for them.

    Raises:
        UserError: of the data set, as it was raised in a loader process.
    """
    others = set(multiprocessing.active_children())
    batches = iter(loader)
    workers = set(multiprocessing.active_children()) - others
    try:
        for loaded in batches:
            if isinstance(loaded, UserError):
                raise loaded
            yield loaded
    finally:
        del batches  # the last reference: the loader asks its processes to end, and waits a little
        for worker in workers:
            worker.kill()
            worker.join()


def to_device(loaded: dict[str, Any], label_nc: int, device: torch.device) -> Batch:
    """Move a loaded batch to the device, and unfold it there."""
    def moved(value: Any) -> Any:
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else None

    masks = to_network_input(moved(loaded["label"]), moved(loaded["contour"]), moved(loaded["distance"]), label_nc)
    extra = {name: moved(value) for name, value in loaded["extra"].items()}
    return Batch(masks, from_bytes(moved(loaded["image"])), moved(loaded["pose"]), extra)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    warnings.filterwarnings("ignore", category=MaskWarning)  # said before the first step
    for name in STOP_SIGNALS:  # the training process decides when to stop
        signal.signal(name, signal.SIG_IGN)
