"""Running out of memory, on a GPU or not, as an error that says what to lower."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from utils.errors import UserError

# what PyTorch, its libraries and OpenCV say where the exception's type does not
_GPU = ("cuda out of memory", "cuda error: out of memory", "alloc_failed", "hip out of memory",
        "mps backend out of memory")
_CPU = ("can't allocate memory", "cannot allocate memory", "not enough memory", "insufficient memory", "bad_alloc",
        "failed to map segment")
_LOADER = ("dataloader worker", "shared memory")


@contextlib.contextmanager
def memory_named(remedy: str) -> Iterator[None]:
    """While inside, running out of memory is a UserError.

    Args:
        remedy: what to lower, with settings in backticks.

    Raises:
        UserError: memory ran out; also where a loader process was killed or found no shared memory.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not (what := lack_of_memory(error)):
            raise
        raise UserError(f"{what}; {remedy}") from error


def lack_of_memory(error: BaseException) -> str | None:
    """Which memory ran out, in words; None if the error is of another kind."""
    text = " ".join(str(error).split())
    words = text.lower()
    asked = re.search(r"allocate ([0-9]+(?:\.[0-9]+)?)\.? ?([A-Za-z]+)", text)
    wanted = f" ({asked[1]} {asked[2]} more were asked for)" if asked else ""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in names or any(sign in words for sign in _GPU):
        return f"the GPU is out of memory{wanted}"
    if isinstance(error, RuntimeError) and any(sign in words for sign in _LOADER) and (
            "killed by signal" in words or "bus error" in words or "unable to open" in words):
        return "a loader process ran out of memory or of shared memory (/dev/shm); lower `workers`"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or (
            any(sign in words for sign in _CPU)):
        return f"out of memory{wanted}"
    return None
