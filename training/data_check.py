"""A data set before the first step: what cannot be trained on is left out or named, all of it at once."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets.masks.files import MaskWarning, NoFaceError
from datasets.photographs import check_photograph
from datasets.poses import image_id
from datasets.training_set import ImagesDataset3D
from training.runtime.processes import Report, World
from utils.errors import UserError, listed_warnings
from utils.progress import progress_bar

SHOWN = 20    # of what cannot be read, with its reason
MANY = 1000   # masks from which on a line says that they are being read


def check_masks(data: ImagesDataset3D, sides: Sequence[list[Path]], world: World, report: Report) -> list[list[Path]]:
    """The masks of each side that can be trained on. Each is read once, which fills the map cache, by one of the
    processes; of photographs only the ends are looked at. What is odd about masks is reported once for all that it is
    odd about.

    Args:
        data: knows how masks are read, and their photographs.
        sides: masks of `data`.
        report: prints a line.

    Raises:
        UserError: as `check_files`.
    """
    def check(path: Path) -> None:
        data.read_planes(path)
        check_photograph(data.images[image_id(path)])

    return check_files(check, sides, world, report)


def check_files(check_one: Callable[[Path], object], sides: Sequence[list[Path]], world: World, report: Report
                ) -> list[list[Path]]:
    """The masks of each side that `check_one` has nothing against; each is looked at once, by one of the processes.

    Args:
        check_one: raises a UserError.

    Raises:
        UserError: files cannot be read, or most masks show no face.
    """
    masks = list(dict.fromkeys(path for side in sides for path in side))
    if len(masks) >= MANY:
        report(f"reading {len(masks)} masks once, so that bad ones are found before the first step")

    def check(path: Path) -> tuple[Path, str, bool] | None:
        try:
            check_one(path)
        except UserError as error:
            return path, str(error), isinstance(error, NoFaceError)
        return None

    with listed_warnings() as odd, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        mine = masks[world.rank::world.size]
        found = pool.map(check, mine)
        own = [bad for bad in (progress_bar(found, "masks read", len(mine)) if world.is_main else found) if bad]
    parts = world.gather((own, odd))
    bad = sorted(item for found, _ in parts for item in found)
    for line in _joined([text for _, texts in parts for text in texts]):
        report(f"warning: {line}")
    warnings.filterwarnings("ignore", category=MaskWarning)  # all has been said
    unread = [text for _, text, faceless in bad if not faceless]
    if unread:
        more = f"; and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
        many = f" ({len(unread)} files in all; nothing has been trained)" if len(unread) > 1 else ""
        raise UserError(f"{'; '.join(unread[:SHOWN])}{more}{many}. Lists without them (`train_paths_conf`, "
                        "`test_paths_conf`) will do as well")
    if bad and 2 * len(bad) > len(masks):
        raise UserError(f"{bad[0][1]} ({len(bad)} of {len(masks)} masks are like this)")
    if bad:
        report(f"left out, since they show no face (or too little of one): {', '.join(path.name for path, *_ in bad)}")
    out = {path for path, *_ in bad}
    return [[path for path in side if path not in out] for side in sides]


def _joined(texts: list[str]) -> list[str]:
    """Warnings that differ in names and numbers only become one, which says how many they are."""
    kinds: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        kinds.setdefault(re.sub(r"[0-9.]+", "", text.partition(": ")[2]), []).append(text)
    return [found[0] + (f" (and {len(found) - 1} more like this)" if len(found) > 1 else "")
            for found in kinds.values()]
