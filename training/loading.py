"""Loaders: from a data set to batches on the training device."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.masks.maps import to_network_input
from datasets.sample_stream import BatchShard, SampleStream
from datasets.training_set import ImagesDataset3D, TrainItem
from training.runtime.processes import STOP_SIGNALS
from training.step import Batch
from utils.errors import UserError
from utils.images import from_bytes


class _Careful(Dataset[Any]):
    """Hands a UserError on as a value: raised in a loader process it would come out wrapped in a traceback."""

    def __init__(self, dataset: ImagesDataset3D) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> TrainItem | UserError:
        try:
            return self.dataset[index]
        except UserError as error:
            return error


def collate(items: list[Any]) -> dict[str, Any] | UserError:
    """Items -> names in a list, everything else stacked (None where the items have None)."""
    for item in items:
        if isinstance(item, UserError):
            return item
    columns = {key: [item[key] for item in items] for key in items[0]}
    return {key: torch.stack(values) if isinstance(values[0], Tensor) else (values if key == "name" else None)
            for key, values in columns.items()}


def training_loader(dataset: ImagesDataset3D, seed: int, share: BatchShard, start: int, workers: int, pin: bool,
                    in_pairs: bool = False) -> DataLoader[Any]:
    """Batches of one process without end, from a position of the sample stream on: the workers stay for the run.

    Args:
        in_pairs: draw heads before and after an edit together.
    """
    pairs = dataset.pairs() if in_pairs else None
    return DataLoader(
        _Careful(dataset), batch_sampler=SampleStream(len(dataset), seed, share, start, pairs), collate_fn=collate,
        num_workers=workers, pin_memory=pin, prefetch_factor=4 if workers else None, worker_init_fn=_start_worker,
        multiprocessing_context=_context(workers),
    )


def validation_loader(dataset: ImagesDataset3D, indices: list[int], batch: int, workers: int, pin: bool
                      ) -> DataLoader[Any]:
    """The given samples once, in order."""
    batches = [indices[i:i + batch] for i in range(0, len(indices), batch)]
    return DataLoader(_Careful(dataset), batch_sampler=batches, collate_fn=collate, num_workers=workers, pin_memory=pin,
                      worker_init_fn=_start_worker, multiprocessing_context=_context(workers))


def checked(loader: DataLoader[Any]) -> Iterator[dict[str, Any]]:
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
    """Unfold a loaded batch on the device."""
    moved = {key: value.to(device, non_blocking=True) for key, value in loaded.items() if isinstance(value, Tensor)}
    masks = to_network_input(moved["label"], moved.get("contour"), moved.get("distance"), label_nc)
    return Batch(masks, from_bytes(moved["image"]), moved["pose"], moved.get("latent"))


def _context(workers: int) -> str | None:
    """Forked workers notice when the training process is killed, and end; those of a fork server do not."""
    return "fork" if workers and sys.platform == "linux" else None


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    for name in STOP_SIGNALS:  # the training process decides when to stop
        signal.signal(name, signal.SIG_IGN)
