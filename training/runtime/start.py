"""How a run begins: alone in its folder, and from which checkpoint.

Only the main process looks at the disk; all get its answer.
"""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.checkpoints import read_checkpoint
from training.runtime import processes
from training.runtime.checkpoints import CheckpointFolder
from training.runtime.folder_lock import folder_locked
from training.runtime.processes import World, is_restart
from utils.errors import UserError
from utils.memory import memory_named


@contextlib.contextmanager
def started(opts: Namespace, memory: str, **place: Any) -> Iterator[World]:
    """While inside, this process is one of a run, and `exp_dir` is the run's alone (see `folder_locked`).

    Args:
        memory: what to lower where memory runs out.
        place: further arguments of `processes.running`.

    Raises:
        UserError: as of `processes.running`; in all processes: another run is going on in the folder, or it cannot be
            written to.
    """
    with processes.running(opts.device, opts.gpu_ids, local_rank=opts.local_rank, debug=opts.debug, **place) as world, \
            memory_named(memory), contextlib.ExitStack() as stack:
        world.on_main(lambda: stack.enter_context(folder_locked(Path(opts.exp_dir), world.report)))
        yield world


def find_start(opts: Namespace, world: World) -> tuple[dict[str, Any] | None, Path | None, bool]:
    """For train3d.py: the checkpoint to start from (None: none), its file, and whether to continue that run or only to
    take its weights.

    A process that torchrun has started again continues its own run.

    Raises:
        UserError: there is a run in `exp_dir` that is neither continued nor overwritten, or no file can be read.
    """

    def look() -> tuple[dict[str, Any] | None, Path | None, bool]:
        restarted = is_restart(os.environ)
        continuing = opts.continue_training or opts.auto_resume or restarted
        newest = _newest(opts, continuing, world)
        if newest is not None:
            return *newest, True
        if opts.checkpoint_path:
            path = Path(opts.checkpoint_path)
            world.report(f"{'continuing' if opts.continue_training else 'starting from the weights of'} {path}")
            return read_checkpoint(path), path, opts.continue_training
        if opts.continue_training and not restarted:
            raise UserError(f"`continue_training`: {Path(opts.exp_dir) / 'checkpoints'} holds no checkpoint; name one "
                            "with `checkpoint_path`, or use `auto_resume`, which starts afresh where there is none")
        return None, None, False

    return world.on_main(look)


def find_own_run(opts: Namespace, world: World) -> dict[str, Any] | None:
    """The newest checkpoint of the run in `exp_dir` to continue with `auto_resume`; None where there is none.

    Raises:
        UserError: as `find_start`.
    """
    newest = world.on_main(lambda: _newest(opts, opts.auto_resume or is_restart(os.environ), world))
    return None if newest is None else newest[0]


def _newest(opts: Namespace, continuing: bool, world: World) -> tuple[dict[str, Any], Path] | None:
    """The newest checkpoint in `exp_dir`, if the run there is to be continued; if it is to be overwritten, it goes."""
    files = CheckpointFolder(Path(opts.exp_dir) / "checkpoints")
    newest = files.load_newest() if continuing else None
    if newest is not None:
        contents, path, problems = newest
        for problem in problems:
            world.report(f"falling back to {path.name}: {problem}")
        world.report(f"continuing {path} after step {contents.get('global_step')}")
        return contents, path
    if files.candidates():
        if not opts.overwrite:
            raise UserError(f"`exp_dir` {opts.exp_dir}: there is a run in it already; continue it with `auto_resume`, "
                            "delete it with `overwrite`, or choose another folder")
        files.clear()
    return None
