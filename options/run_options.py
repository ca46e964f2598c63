"""Options that all trainings but that of the paper have, worded once. Nothing heavy is imported here."""

import argparse

from options.arguments import add_flag, natural, positive

# what belongs to one start of the program, not to the run
PER_START = frozenset({"exp_dir", "auto_resume", "overwrite", "device", "gpu_ids", "debug", "progress", "local_rank"})


def add_run(parser: argparse.ArgumentParser, exp_dir: str | None = None) -> None:
    """Of any training. `exp_dir` is the folder where none is given; without it, one has to be."""
    run = parser.add_argument_group("run")
    run.add_argument("--exp_dir", required=exp_dir is None, default=exp_dir,
                     help="folder of this run: checkpoints, logs, images")
    run.add_argument("--max_steps", type=positive, help="optimiser steps of the whole run")
    add_flag(run, "--auto_resume", "go on with the newest checkpoint of --exp_dir, if there is one")
    add_flag(run, "--overwrite", "delete an earlier run in --exp_dir")
    run.add_argument("--seed", type=natural, default=0, help="of everything random")
    add_flag(run, "--debug", "show tracebacks of errors")


def add_output(parser: argparse.ArgumentParser, val_interval: int = 2000, size: int = 64) -> None:
    """The intervals of any training."""
    output = parser.add_argument_group("intervals and output")
    output.add_argument("--board_interval", type=positive, default=100, help="steps between console lines and curves")
    output.add_argument("--val_interval", type=natural, default=val_interval,
                        help="steps between validations; 0: none")
    output.add_argument("--test_output_size", type=positive, default=size, help="pixels of validation images")
    output.add_argument("--latest_interval", type=positive, default=500, help="steps between checkpoints")
    output.add_argument("--save_interval", type=natural, default=0,
                        help="steps between iteration_N.pt files; 0: none but the last")
    output.add_argument("--keep_checkpoints", type=natural, default=0, help="how many of these to keep; 0: all")
    add_flag(output, "--progress", "show the progress bar though the output is no terminal")


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Where any training runs."""
    devices = parser.add_argument_group("processes and devices (torchrun starts several)")
    devices.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    devices.add_argument("--gpu_ids", default="0", help="GPU of a single process")
    devices.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
