"""Files appear whole or not at all: write to a temporary name in the same folder, fsync, rename."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from utils.errors import UserError

PROJECT = Path(__file__).resolve().parents[1]


def in_project(path: str | Path) -> Path:
    """A default path: from the folder one is in if it is there, else from the project's own folder if it is there."""
    path = Path(path)
    return PROJECT / path if not path.exists() and (PROJECT / path).exists() else path


def here(path: str | Path) -> str:
    """Words for a message about a path that is not there, if it starts at the folder one is in."""
    return "" if Path(path).is_absolute() else f" (paths start at the folder you are in, {Path.cwd()})"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` (same suffix); on a clean exit it is fsynced and renamed to `path`.

    If the body raises, the temporary file is removed and an older `path` stays as it was. Parent folders are made. The
    file has the permissions of any new file.

    Raises:
        UserError: the folder cannot be made or written to, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot write {path.name} ({error.strerror or error}); "
                        "check the folder's permissions and the free space") from error
    finally:
        with contextlib.suppress(OSError):  # of a folder that is not there or is a file, which has been said
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # names that the locale cannot spell


def append_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) at the end of a file.

    Raises:
        OSError: the file cannot be written.
    """
    with Path(path).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def read_text(path: str | Path) -> str:
    """A text file that a person wrote: UTF-8, with or without a byte order mark, or UTF-16 with one (Windows).

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no such text.
    """
    data = Path(path).read_bytes()
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Why `read_text` failed, in words."""
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"


def make_folder(path: str | Path) -> Path:
    """Make `path` (and parents) and prove that it can be written to.

    Raises:
        UserError: it cannot be made, is a file, or is not writable.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"{path}: this folder cannot be written to ({error.strerror or error}); "
                        "choose another or change its permissions") from error
    return path
