"""Options that all trainings but that of the paper have, worded once. Nothing heavy is imported here."""

import argparse

from options.arguments import add, add_flag, natural, positive

# what belongs to one start of the program, not to the run
PER_START = frozenset({"exp_dir", "auto_resume", "overwrite", "device", "gpu_ids", "debug", "progress", "local_rank"})


def add_run(parser: argparse.ArgumentParser, exp_dir: str | None = None) -> None:
    """Of any training. `exp_dir` is the folder where none is given; without it, one has to be."""
    run = parser.add_argument_group("run")
    add(run, "--exp_dir", exp_dir, "folder of this run: checkpoints, logs, images", required=exp_dir is None)
    add(run, "--max_steps", None, "optimiser steps of the whole run", type=positive)
    add_flag(run, "--auto_resume", "go on with the newest checkpoint of --exp_dir, if there is one")
    add_flag(run, "--overwrite", "delete an earlier run in --exp_dir")
    add(run, "--seed", 0, "of everything random", type=natural)
    add_flag(run, "--debug", "show tracebacks of errors")


def add_output(parser: argparse.ArgumentParser, val_interval: int = 2000, size: int = 64) -> None:
    """The intervals of any training."""
    output = parser.add_argument_group("intervals and output")
    add(output, "--board_interval", 100, "steps between console lines and curves", type=positive)
    add(output, "--val_interval", val_interval, "steps between validations; 0: none", type=natural)
    add(output, "--test_output_size", size, "pixels of validation images", type=positive)
    add(output, "--latest_interval", 500, "steps between checkpoints", type=positive)
    add(output, "--save_interval", 0, "steps between iteration_N.pt files; 0: none but the last", type=natural)
    add(output, "--keep_checkpoints", 0, "how many of these to keep; 0: all", type=natural)
    add_flag(output, "--progress", "show the progress bar though the output is no terminal")


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Where any training runs."""
    devices = parser.add_argument_group("processes and devices (torchrun starts several)")
    add(devices, "--device", "auto", "auto, cpu, cuda or cuda:N")
    add(devices, "--gpu_ids", "0", "GPU of a single process")
    add(devices, "--local_rank", 0, None, "--local-rank")
