"""Which masks to read: the files of a folder, or those that a text file names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from configs.data_configs import DataConfig
from utils.errors import UserError
from utils.files import here, read_text, reason

SAMPLES = "mask_samples"  # the folder of masks to try, beside that of all masks
_SIBLINGS = (SAMPLES, "mask", "masks")

# formats that lose detail count as found, so that they are refused by name instead of skipped
_SUFFIXES = {".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jpg", ".jpeg", ".webp", ".gif"}


def find_mask_folder(root: Path, config: DataConfig) -> Path | None:
    """The folder of masks in a data root, if there is one."""
    return next((root / name for name in config.mask_folders if (root / name).is_dir()), None)


def resolve_mask_folder(data_path: Path, config: DataConfig) -> Path:
    """`data_path`, its folder of masks if it is a data root, or its sibling under another of the usual names.

    Raises:
        UserError: there is no such folder.
    """
    if data_path.is_dir():
        inside = None if any(path.is_file() for path in _images(data_path)) else find_mask_folder(data_path, config)
        return inside or data_path
    if data_path.name in config.mask_folders and (sibling := find_mask_folder(data_path.parent, config)):
        return sibling
    if data_path.exists():
        raise UserError(f"`data_path` {data_path}: neither a folder nor a file; give a folder of masks")
    raise UserError(f"`data_path` {data_path}: there is no such folder or file{here(data_path)}; give a folder of "
                    "label PNGs")


def list_folder(folder: Path) -> list[Path]:
    """All masks of a folder and of the folders in it, sorted as text: 1, 10, 2.

    Raises:
        UserError: there are none, a folder cannot be read, or two would write the same result.
    """
    def fail(error: OSError) -> None:
        raise UserError(f"`data_path` {error.filename}: this folder cannot be read ({error.strerror}); change its "
                        "permissions") from error

    paths: list[Path] = []
    for place, folders, _ in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += _images(Path(place))
    paths.sort(key=str)
    if not paths:
        raise UserError(f"`data_path` {folder}: no masks in this folder, nor in those inside; give a folder of label "
                        "PNGs")
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise UserError(f"`data_path` {folder}: {other.relative_to(folder)} and {path.relative_to(folder)} would "
                            "write the same result; keep one")
    return paths


def _images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")]


def read_entries(paths_list: str | Path) -> Iterator[tuple[int, str]]:
    """Lines of a list with their numbers from 1, without empty ones and comments (`#`).

    Raises:
        UserError: the list cannot be read.
    """
    try:
        lines = read_text(paths_list).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"`paths_list` {paths_list}: this list cannot be read ({reason(error)}); give a text file with "
                        "one mask name per line (scripts/make_lists.py writes such lists)") from error
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield number, entry


def entry_stem(entry: str) -> str:
    """The name that a line of a list means, without folder and suffix; of a number also without leading zeros."""
    stem = re.sub(r"\.(png|jpe?g|bmp|tiff?|p[gp]m)$", "", entry.replace("\\", "/").rpartition("/")[2],
                  flags=re.IGNORECASE)
    return str(int(stem)) if stem.isascii() and stem.isdigit() else stem


def list_names(paths_list: str | Path, folder: Path, paths: list[Path]) -> list[Path]:
    """The masks that a list names, in the list's order, each once.

    Every line is a file name of the folder with or without its suffix, `419.jpg` (the photo of mask 419), a path whose
    last part is one of these, or an id (419 finds 00419.png). What is not in the folder is looked for in the data set's
    other folders of masks, such as mask_samples/ beside it.

    Args:
        paths_list: the text file.
        folder: the mask folder.
        paths: the masks of the folder.

    Raises:
        UserError: the list cannot be read, is empty, or names a mask that is not there.
    """
    known = {entry_stem(path.name): path for path in paths}
    entries = list(read_entries(paths_list))
    if not entries:
        raise UserError(f"`paths_list` {paths_list}: the list is empty; write one mask name per line into it")
    if any(entry_stem(entry) not in known for _, entry in entries):
        for place in (folder.resolve().parent / name for name in _SIBLINGS):
            if place.is_dir() and place != folder.resolve():
                for path in sorted(_images(place), key=str):
                    known.setdefault(entry_stem(path.name), path)
    missing = [(number, entry) for number, entry in entries if entry_stem(entry) not in known]
    if missing:
        number, entry = missing[0]
        more = f", nor are {len(missing) - 1} more of its {len(entries)}" if len(missing) > 1 else ""
        raise UserError(f"{paths_list}, line {number}: {entry!r} is not among the masks of {folder}{more}; mend the "
                        "line, or give the folder it belongs to as `data_path`")
    return list(dict.fromkeys(known[entry_stem(entry)] for _, entry in entries))
