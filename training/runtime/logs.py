"""The records of a run: console lines, a progress bar, TensorBoard curves and images, all from the main process."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from training.runtime.processes import World
from utils.files import append_text, atomic_path


class RunLog:
    """Writes what happens in a run to the console and to files.

    Args:
        exp_dir: TensorBoard's files go to `logs/` in it, images to `logs/images/`.
        step: the number of steps that are done; later entries in `logs/` are of a run that was not finished, and go.
        max_steps: the number of the last step.
        active: whether to write at all; False for all but the main process.
        progress: show the progress bar even if the output is not a terminal.
    """

    def __init__(self, exp_dir: Path, step: int, max_steps: int, *, active: bool, progress: bool) -> None:
        self.exp_dir, self.max_steps, self.active = exp_dir, max_steps, active
        self._writer: Any = None
        self._since = time.perf_counter(), step
        self._bar = None
        if active:
            with self._curves():
                from torch.utils.tensorboard import SummaryWriter  # takes a second to import

                self._writer = SummaryWriter(str(exp_dir / "logs"), purge_step=step + 1)
            if progress or sys.stderr.isatty():
                self._bar = tqdm(total=max_steps, initial=step, unit="step", dynamic_ncols=True, smoothing=0.05)

    @contextlib.contextmanager
    def _curves(self) -> Iterator[None]:
        """What goes wrong inside ends the curves of this run, and not the run."""
        try:
            yield
        except Exception as error:  # of TensorBoard, protobuf or the disk
            self._writer = None
            self.say(f"TensorBoard fails, this run has no curves from here on: {type(error).__name__}: "
                     + " ".join(str(error).split()))

    def say(self, text: str) -> None:
        """One line on the console."""
        if self.active:
            tqdm.write(text) if self._bar is not None else print(text, flush=True)

    def advance(self) -> None:
        """Count one step as done, in the progress bar."""
        if self._bar is not None:
            self._bar.update()

    def scalars(self, side: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curves `side/name`."""
        if self._writer is not None:
            with self._curves():
                for name, value in values.items():
                    self._writer.add_scalar(f"{side}/{name}", value, step)

    def losses(self, step: int, means: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Add to the curves, and print a line with the speed since the last one.

        Args:
            means: each loss, averaged over the steps since the last call.
            rates: learning rates.
        """
        now = time.perf_counter()
        seconds = (now - self._since[0]) / max(1, step - self._since[1])
        self._since = now, step
        if not self.active:
            return
        self.scalars("train", step, {**means, **rates, "seconds_per_step": seconds})
        shown = "  ".join(f"{name.removeprefix('loss_')} {means[name]:.4g}" for name in sorted(means))
        left = tqdm.format_interval(seconds * (self.max_steps - step))
        self.say(f"step {step}/{self.max_steps}  {shown}  {seconds:.3g} s/step  left {left}")

    def pause(self) -> None:
        """Do not count the time up to now as training time."""
        self._since = time.perf_counter(), self._since[1]

    def image(self, side: str, step: int, panel: UInt8[np.ndarray, "height width 3"]) -> None:
        """Write an RGB image for TensorBoard and, where the 2022 release has it, as
        `logs/images/<side>/faces/<step>.jpg`."""
        if self._writer is not None:
            with self._curves():
                self._writer.add_image(f"{side}/panel", panel, step, dataformats="HWC")
        if self.active:
            with atomic_path(self.exp_dir / "logs" / "images" / side / "faces" / f"{step:04d}.jpg") as path:
                Image.fromarray(panel).save(path, format="JPEG", quality=95)

    def stamp(self, text: str) -> None:
        """Add a line with date and time to timestamp.txt."""
        if self.active:
            append_text(self.exp_dir / "timestamp.txt", f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def command(self, argv: Sequence[str], script: str, world: World) -> None:
        """Add the command line, with its launcher, to train.bash."""
        if self.active:
            argv = [part for part in argv if not re.match(r"-{2}local[-_]rank=", part)]  # the launcher's
            append_text(self.exp_dir / "train.bash", f"{launcher(world, os.environ)} {script} {shlex.join(argv)}\n")

    def close(self) -> None:
        """Write out what is still in memory."""
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            with self._curves():
                self._writer.close()


def launcher(world: World, environment: Mapping[str, str]) -> str:
    """What a command line that starts all processes of a run begins with."""
    if world.size == 1:
        return "python"
    if "RANK" in environment:
        machines = f"--nnodes={world.nodes} " if world.nodes > 1 else ""
        return f"torchrun {machines}--nproc_per_node={world.size // world.nodes}"
    if "SLURM_STEP_NUM_TASKS" in environment:
        return f"srun --nodes={world.nodes} --ntasks={world.size} python"
    return f"mpirun -n {world.size} python"
