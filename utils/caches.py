"""Folders in which libraries keep compiled code, where their own choice cannot be written to."""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path

# variables that name such folders: of numba, torch.compile, Triton and matplotlib
VARIABLES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR")


def choose_writable_caches() -> None:
    """Where there is no home folder that can be written to, as in many containers, let caches lie in the system's
    folder for temporary files; variables that are set stay as they are. Call it before the libraries are imported.

    numba would refuse to compile, and torch.compile asks for the user's name, which a container may not know.
    """
    if _has_home_and_name():
        return
    try:
        base = Path(tempfile.gettempdir()) / f"sem2nerf-caches-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        base.mkdir(mode=0o700, exist_ok=True)
        if not _writable(base):  # another user's
            base = Path(tempfile.mkdtemp(prefix="sem2nerf-caches-"))
    except OSError:  # nothing can be written at all: what needs a cache will say so
        return
    for name in VARIABLES:
        os.environ.setdefault(name, str(base / name.lower()))


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _has_home_and_name() -> bool:
    try:
        return _writable(Path.home()) and bool(getpass.getuser())
    except (RuntimeError, KeyError, OSError, ImportError):  # neither the environment nor the list of users says them
        return False
