"""Which masks to read: the files of a folder, or those that a text file names."""

import re
from itertools import pairwise
from pathlib import Path

from configs.data_configs import DataConfig
from utils.errors import UserError

# other images than PNG count as found, so that they are refused by name instead of skipped
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif"}


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of a file name: numbers by value (2 before 10), 419 before 419_hair."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", path.stem)
    return [(0, int(piece), "") if piece.isascii() and piece.isdigit() else (1, 0, piece) for piece in pieces]


def resolve_mask_folder(data_path: Path, config: DataConfig) -> Path:
    """`data_path`, or its sibling under another of the data set's usual names (`mask`, `masks`).

    Raises:
        UserError: there is no such folder.
    """
    if data_path.is_dir():
        return data_path
    if data_path.name in config.mask_folders:
        for name in config.mask_folders:
            if (data_path.parent / name).is_dir():
                return data_path.parent / name
    if data_path.exists():
        raise UserError(f"`data_path` {data_path}: neither a folder nor a file; give a folder of masks")
    raise UserError(f"`data_path` {data_path}: there is no such folder or file; give a folder of label PNGs, such as "
                    f"{config.data_root / 'mask_samples'}")


def list_folder(folder: Path) -> list[Path]:
    """All masks of a folder in natural order.

    Raises:
        UserError: there are none, the folder cannot be read, or two would write the same result.
    """
    try:
        paths = sorted((path for path in folder.iterdir()
                        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")),
                       key=lambda path: (natural_key(path), path.name))
    except OSError as error:
        raise UserError(f"`data_path` {folder}: this folder cannot be read ({error.strerror}); change its "
                        "permissions") from error
    if not paths:
        inside = next((entry for entry in sorted(folder.iterdir()) if entry.is_dir()), None)
        hint = f" (it has folders: did you mean {inside}?)" if inside else ""
        raise UserError(f"`data_path` {folder}: no masks in this folder{hint}; give a folder of label PNGs")
    for one, other in pairwise(paths):
        if one.stem == other.stem:
            raise UserError(f"`data_path` {folder}: {one.name} and {other.name} would write the same result; keep one")
    return paths


def list_names(paths_list: str | Path, folder: Path, paths: list[Path]) -> list[Path]:
    """The masks that a list names, in the list's order, each once.

    Every line is a file name of the folder with or without its suffix, `419.jpg` (the photo of mask 419), a path whose
    last part is one of these, or an id (419 finds 00419.png); empty lines and `#` comments are skipped.

    Args:
        paths_list: the text file.
        folder: the mask folder, for messages.
        paths: the masks of the folder.

    Raises:
        UserError: the list cannot be read, is empty, or names a mask that is not there.
    """
    try:
        lines = Path(paths_list).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"`paths_list` {paths_list}: this list cannot be read ({reason}); give a text file with "
                        "one mask name per line (scripts/build_celeba_mask.py writes such lists)") from error
    by_stem = {path.stem: path for path in paths}
    by_number = {int(stem): path for stem, path in by_stem.items() if stem.isascii() and stem.isdigit()}
    chosen: dict[Path, None] = {}
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        stem = re.sub(r"\.(png|jpe?g)$", "", entry.replace("\\", "/").rpartition("/")[2], flags=re.IGNORECASE)
        path = by_stem.get(stem)
        if path is None and stem.isascii() and stem.isdigit():
            path = by_number.get(int(stem))
        if path is None:
            raise UserError(f"{paths_list}, line {number}: {entry!r} is not among the masks of {folder}; mend the "
                            "line, or give the folder it belongs to as `data_path`")
        chosen[path] = None
    if not chosen:
        raise UserError(f"`paths_list` {paths_list}: the list is empty; write one mask name per line into it")
    return list(chosen)
