"""All samples of a data set are looked at before the first step: what cannot be used is named, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.masks.files import NoFaceError
from datasets.training_set import ImagesDataset3D
from training.runtime.processes import World
from utils.errors import UserError
from utils.parallel import prefetch_map
from utils.progress import progress_bar

NAMED = 20  # that the error itself names; each has a line of its own above it
LEAVE_OUT = "leave them out with `train_paths_conf` and `test_paths_conf`"


def check_samples(sides: Sequence[ImagesDataset3D], world: World, threads: int, report: Callable[[str], None]) -> None:
    """Take masks that show hardly any face off the sides, with a line each, and refuse files that cannot be read.

    The processes share the work. What is made of masks is kept where the data set has a cache, so this costs little
    at the next start.

    Args:
        sides: of one data set; they may share masks.
        threads: that read, in each process.

    Raises:
        UserError: samples cannot be read, or no mask with a face is left.
    """
    samples = {path: side for side in sides for path in side.masks}
    own = list(samples.items())[world.rank::world.size]

    def look(sample: tuple[Path, ImagesDataset3D]) -> tuple[Path, str, bool] | None:
        path, side = sample
        try:
            side.check(path)
        except UserError as error:
            return path, str(error), isinstance(error, NoFaceError)
        return None

    found = prefetch_map(look, own, threads, 4 * threads)
    if world.is_main:
        found = progress_bar(found, "checking the data", len(own), "sample")
    problems = {path: (why, faceless) for part in world.gather([problem for problem in found if problem])
                for path, why, faceless in part}
    for why, faceless in problems.values():
        report(f"left out: {why}" if faceless else f"unusable: {why}")
    unusable = {path: why for path, (why, faceless) in problems.items() if not faceless}
    if len(unusable) == 1:
        raise UserError(f"{next(iter(unusable.values()))}; or {LEAVE_OUT.replace('them', 'it')}")
    if unusable:
        names = [path.name for path in unusable]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise UserError(f"`data_root` {sides[0].root}: {len(names)} of {len(samples)} samples cannot be read, each is "
                        f"named above with its reason ({', '.join(names[:NAMED])}{more}); mend them, or {LEAVE_OUT}")
    for side in sides:
        side.masks = [path for path in side.masks if path not in problems]
        if not side.masks:
            raise UserError(f"`data_root` {side.root}: none of its masks shows a face; check `dataset_type`")
