"""The checkpoint files of a run, and which of them to go on from.

    checkpoints/latest_model.pt     written every `latest_interval` steps, and when the run is told to stop
    checkpoints/previous_model.pt   the latest one before that, in case the newest is damaged
    checkpoints/iteration_N.pt      kept every `save_interval` steps
    checkpoints/best_model.pt       that of the lowest validation loss

Each file is whole at any moment: a new one is written beside the old one and then takes its name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.checkpoints import read_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.files import atomic_path

LATEST, PREVIOUS, BEST = "latest_model.pt", "previous_model.pt", "best_model.pt"


class CheckpointFolder:
    """`<exp_dir>/checkpoints`: writes a run's checkpoints, and finds the one to continue from.

    Args:
        folder: need not exist yet.
        keep: how many iteration_N.pt to keep; 0: all.
    """

    def __init__(self, folder: Path, keep: int = 0) -> None:
        self.folder, self.keep = folder, keep

    def iterations(self) -> list[Path]:
        """The iteration_N.pt files, newest first."""
        numbered = [(int(match[1]), path) for path in self.folder.glob("iteration_*.pt")
                    if (match := re.fullmatch(r"iteration_([0-9]+)\.pt", path.name))]
        return [path for _, path in sorted(numbered, reverse=True)]

    def candidates(self) -> list[Path]:
        """Files to continue from, newest first."""
        return [path for path in (self.folder / LATEST, self.folder / PREVIOUS) if path.exists()] + self.iterations()

    def save(self, contents: Mapping[str, Any], milestone: bool = False) -> Path:
        """Write the latest checkpoint; with `milestone` also keep it as iteration_N.pt.

        Raises:
            UserError: the disk is full or the folder cannot be written to; the files before are as they were.
        """
        latest = self.folder / LATEST
        if latest.exists():
            _same_file(latest, self.folder / PREVIOUS)
        save_checkpoint(latest, contents)
        if milestone:
            _same_file(latest, self.folder / f"iteration_{contents['global_step']}.pt")
            for old in self.iterations()[self.keep:] if self.keep else ():
                old.unlink(missing_ok=True)
        return latest

    def save_best(self, contents: Mapping[str, Any]) -> None:
        """Write best_model.pt.

        Raises:
            UserError: as `save`.
        """
        save_checkpoint(self.folder / BEST, contents)

    def load_newest(self) -> tuple[dict[str, Any], Path, list[str]] | None:
        """The newest whole checkpoint, its file, and one line for each newer file that cannot be read; None where there
        are no files.

        Raises:
            UserError: there are files, and all are damaged.
        """
        problems: list[str] = []
        for path in self.candidates():
            try:
                return read_checkpoint(path), path, problems
            except UserError as error:
                problems.append(str(error))
        if problems:
            raise UserError(f"{self.folder}: none of {len(problems)} checkpoints can be read; the newest: {problems[0]}"
                            ". Start again with `overwrite`")
        return None

    def clear(self) -> None:
        """Remove the checkpoints of an earlier run."""
        for path in (*self.candidates(), self.folder / BEST):
            path.unlink(missing_ok=True)


def _same_file(source: Path, target: Path) -> None:
    """Let `target` be the file that `source` is now: a second name for it, or a copy where that is not possible."""
    temporary = target.with_name(f".{target.name}.link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)
        return
    with contextlib.suppress(FileNotFoundError):
        temporary.replace(target)
    temporary.unlink(missing_ok=True)  # renaming onto another name of the same file does nothing
