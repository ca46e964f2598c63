"""The masks of a run of inference: every one is read before the first is used, and no small set is read twice."""

from collections.abc import Iterator

from datasets.inference_set import InferenceDataset, MaskItem
from utils.parallel import prefetch_map

KEPT = 200  # masks that stay in memory after the check, a megabyte each at 512 px


class MaskReader:
    """Masks in order.

    Args:
        data: where they come from.
        threads: so many read at a time; 0 reads in the caller's.
        ahead: so many are read before they are asked for.

    Raises:
        UserError: a file is no mask of this data set. All are read here, so that this is found before hours of
            rendering and not after.
    """

    def __init__(self, data: InferenceDataset, threads: int = 1, ahead: int = 1) -> None:
        self.data, self.threads, self.ahead = data, threads, ahead
        self.kept: list[MaskItem] = []
        for item in self._read(0):
            if len(self.kept) < KEPT:
                self.kept.append(item)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[MaskItem]:
        yield from self.kept
        yield from self._read(len(self.kept))

    def _read(self, first: int) -> Iterator[MaskItem]:
        return prefetch_map(self.data.__getitem__, range(first, len(self.data)), self.threads, self.ahead)
