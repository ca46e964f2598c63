"""Command line of scripts/train_pigan.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from options.arguments import HelpFormatter, Parser, add_flag, natural, options_of_run, positive
from utils.errors import UserError

EXAMPLES = """examples:
  a decoder of SynthHeads, whose codes, views and depths are known:
    python scripts/build_synth_heads.py --merged --depth --norms varied --size 160 --num_heads 8000 --views 3
    python scripts/train_pigan.py --exp_dir out/decoder --objective reconstruction --pigan_hidden_dim 128
  go on where a run stopped:
    python scripts/train_pigan.py --exp_dir out/decoder --auto_resume

checkpoints/generator.pth is the decoder in pi-GAN's own layout: train3d.py takes it as --pigan_weights.
"""

# what belongs to one start of the program, not to the run
PER_START = frozenset({"exp_dir", "auto_resume", "overwrite", "device", "gpu_ids", "debug", "progress", "local_rank"})


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="train_pigan.py", description="Pretrain a decoder (pi-GAN).", epilog=EXAMPLES,
                    formatter_class=HelpFormatter)
    run = parser.add_argument_group("run")
    run.add_argument("--exp_dir", required=True, help="folder of this run: checkpoints, logs, pictures")
    run.add_argument("--objective", choices=("reconstruction",), default="reconstruction",
                     help="reconstruction: data with known codes and several views of each head")
    run.add_argument("--max_steps", type=positive, default=24000, help="optimiser steps of the whole run")
    add_flag(run, "--auto_resume", "go on with the newest checkpoint of --exp_dir, if there is one")
    add_flag(run, "--overwrite", "delete an earlier run in --exp_dir")
    run.add_argument("--seed", type=natural, default=0, help="of everything random")
    add_flag(run, "--debug", "show tracebacks of errors")

    data = parser.add_argument_group("data")
    data.add_argument("--data_root", default="data/SynthHeads", help="the data set")
    data.add_argument("--num_heads", type=natural, default=0, help="read so many heads at most; 0: all")

    model = parser.add_argument_group("model")
    model.add_argument("--pigan_curriculum_type", default="CelebAMask_HQ", help="camera: CelebAMask_HQ or CatMask")
    model.add_argument("--pigan_hidden_dim", type=positive, default=256, help="width of the field")

    step = parser.add_argument_group("step")
    step.add_argument("--batch_size", type=positive, default=48, help="heads a process and step")
    step.add_argument("--rays", type=positive, default=80, help="rays of each head")
    step.add_argument("--rendered_rays", type=natural, default=8,
                      help="of these, so many are rendered too (without depth: all)")
    step.add_argument("--render_lambda", type=float, default=0.3, help="weight of the rendered rays' colours")
    step.add_argument("--occupancy_lambda", type=float, default=0.02, help="weight of solid against empty space")
    step.add_argument("--learning_rate", type=float, default=4e-4, help="of the field; the schedule is a cosine")
    step.add_argument("--mapping_rate", type=float, default=1.5, help="the mapping network's rate, as a multiple")
    step.add_argument("--grad_clip", type=float, default=1.0, help="greatest norm of the gradient; 0: not clipped")
    step.add_argument("--ema", type=float, default=0.999, help="decay of the weights' average, which is what is kept")

    output = parser.add_argument_group("intervals and output")
    output.add_argument("--board_interval", type=positive, default=100, help="steps between console lines and curves")
    output.add_argument("--val_interval", type=natural, default=2000, help="steps between validations; 0: none")
    output.add_argument("--val_images", type=positive, default=16, help="held-out heads to validate on")
    output.add_argument("--test_output_size", type=positive, default=64, help="pixels of validation pictures")
    output.add_argument("--latest_interval", type=positive, default=500, help="steps between checkpoints")
    output.add_argument("--save_interval", type=natural, default=0, help="steps between iteration_N.pt files; 0: none")
    output.add_argument("--keep_checkpoints", type=natural, default=0, help="how many of these to keep; 0: all")
    add_flag(output, "--progress", "show the progress bar though the output is no terminal")

    devices = parser.add_argument_group("processes and devices (torchrun starts several)")
    devices.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    devices.add_argument("--gpu_ids", default="0", help="GPU of a single process")
    devices.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse and check. With --auto_resume, options that are not given are those of the run.

    Raises:
        UserError: a value is out of range.
    """
    parser = build_parser()
    opts = parser.parse_args(argv)
    if opts.auto_resume:
        parser.set_defaults(**options_of_run(Path(opts.exp_dir), set(vars(opts)) - PER_START))
        opts = parser.parse_args(argv)
    for name in ("render_lambda", "occupancy_lambda", "grad_clip"):
        if not getattr(opts, name) >= 0:
            raise UserError(f"--{name} {getattr(opts, name)}: give at least 0")
    for name in ("learning_rate", "mapping_rate"):
        if not getattr(opts, name) > 0:
            raise UserError(f"--{name} {getattr(opts, name)}: give a number above 0")
    if not 0 <= opts.ema < 1:
        raise UserError(f"--ema {opts.ema}: give a decay below 1, e.g. 0.999, or 0 for no average")
    return opts
