"""One run per folder: a lock that ends with the process that holds it, in whichever way that ends."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from utils.errors import UserError
from utils.files import make_folder

LOCK = ".lock"
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def folder_locked(exp_dir: Path, report: Callable[[str], None] = print) -> Iterator[None]:
    """While inside, no other process gets in here with the same folder. The folder is made, and goes again if nothing
    has been put into it.

    The system keeps the lock, for this process alone: a process that is killed leaves none, nor do the loader processes
    that it has forked.

    Raises:
        UserError: another process is inside; or the folder cannot be written to.
    """
    made = [folder for folder in (exp_dir, *exp_dir.parents) if not folder.exists()]
    path = make_folder(exp_dir) / LOCK
    descriptor = _acquired(path, report)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is locked: who has opened it meanwhile sees that it is gone
        os.close(descriptor)
        with contextlib.suppress(OSError):  # it is not empty
            for folder in made:
                folder.rmdir()


def _acquired(path: Path, report: Callable[[str], None]) -> int:
    """A descriptor of the locked file."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in _HELD:
                holder = path.read_text(encoding="utf-8").strip() or "unknown"
                os.close(descriptor)
                raise UserError(f"`exp_dir` {path.parent}: a run is going on in it ({holder}); wait until it ends, "
                                "stop it, or choose another folder") from error
            report(f"{path.parent}: this file system has no locks ({error.strerror}), so a second start would not be "
                   "noticed")
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):  # else the run before has just removed it
                os.ftruncate(descriptor, 0)
                text = f"process {os.getpid()} on {platform.node()}, since {datetime.now():%Y-%m-%d %H:%M:%S}"
                os.write(descriptor, text.encode())
                return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 2**20, os.SEEK_SET)  # beyond the text, which others read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
