"""What a run tells: console lines, a progress bar, TensorBoard curves, images; all from the main process."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from utils.files import atomic_path


class RunLog:
    """
    Args:
        exp_dir: logs go to `logs/` in it, for TensorBoard, and images to `logs/images/`.
        step, max_steps: where the run stands, and where it ends.
        active: False for all but the main process.
        progress: show the bar even if the output is no terminal.
    """

    def __init__(self, exp_dir: Path, step: int, max_steps: int, *, active: bool, progress: bool) -> None:
        self.exp_dir, self.max_steps, self.active = exp_dir, max_steps, active
        self._writer: Any = None
        self._since = time.perf_counter(), step
        self._bar = None
        if active:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self._writer = SummaryWriter(str(exp_dir / "logs"), purge_step=step + 1)
            if progress or sys.stderr.isatty():
                self._bar = tqdm(total=max_steps, initial=step, unit="step", dynamic_ncols=True, smoothing=0.05)

    def say(self, text: str) -> None:
        """One line on the console."""
        if self.active:
            tqdm.write(text) if self._bar is not None else print(text, flush=True)

    def advance(self) -> None:
        """One step done."""
        if self._bar is not None:
            self._bar.update()

    def scalars(self, side: str, step: int, values: Mapping[str, float]) -> None:
        """Curves `side/name`."""
        if self.active:
            for name, value in values.items():
                self._writer.add_scalar(f"{side}/{name}", value, step)

    def losses(self, step: int, means: Mapping[str, float], rate: float) -> None:
        """Curves, and a console line with the speed since the last one.

        Args:
            rate: learning rate.
        """
        now = time.perf_counter()
        seconds = (now - self._since[0]) / max(1, step - self._since[1])
        self._since = now, step
        if not self.active:
            return
        self.scalars("train", step, {**means, "learning_rate": rate, "seconds_per_step": seconds})
        shown = "  ".join(f"{name.removeprefix('loss_')} {means[name]:.4g}" for name in sorted(means))
        left = tqdm.format_interval(seconds * (self.max_steps - step))
        self.say(f"step {step}/{self.max_steps}  {shown}  {seconds:.3g} s/step  left {left}")

    def pause(self) -> None:
        """Do not count the time up to now as training time."""
        self._since = time.perf_counter(), self._since[1]

    def image(self, side: str, step: int, panel: UInt8[np.ndarray, "height width 3"]) -> None:
        """An RGB panel, for TensorBoard and as `logs/images/<side>/<step>.png`."""
        if self.active:
            self._writer.add_image(f"{side}/panel", panel, step, dataformats="HWC")
            with atomic_path(self.exp_dir / "logs" / "images" / side / f"{step:07d}.png") as path:
                cv2.imwrite(str(path), panel[..., ::-1])

    def stamp(self, text: str) -> None:
        """A line with date and time in timestamp.txt."""
        if self.active:
            with (self.exp_dir / "timestamp.txt").open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def command(self, argv: Sequence[str], script: str = "scripts/train3d.py") -> None:
        """The command line, for train.bash."""
        if self.active:
            with (self.exp_dir / "train.bash").open("a", encoding="utf-8") as file:
                file.write(f"python {script} {shlex.join(argv)}\n")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()
