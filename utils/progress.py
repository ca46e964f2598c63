"""Showing how far something long has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

FIRST, NEXT = 2.0, 15.0  # seconds until a line is written, where there is no terminal


def progress_bar(items: Iterable[Item], what: str, total: int, unit: str = "mask") -> Iterator[Item]:
    """The items. On stderr: what is done with them, how many are through, and how long the others will take."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, unit=unit, dynamic_ncols=True)
        return
    begun = time.monotonic()
    due = begun + FIRST
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now >= due and done < total:
            due = now + NEXT
            left = (now - begun) / done * (total - done)
            print(f"{what}: {done} of {total} {unit}s, about {left:.0f} s left", file=sys.stderr, flush=True)
