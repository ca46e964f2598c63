"""Command line of scripts/train_pigan.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from options.arguments import HelpFormatter, Parser, add_flag, natural, options_of_run, positive
from options.arguments import parse as parse_given
from utils.errors import UserError

EXAMPLES = """examples:
  a decoder of SynthHeads, whose codes, views and depths are known:
    python synth_heads/scripts/build_synth_heads.py --merged --depth --norms varied --size 160 --num_heads 8000 --views 3
    python scripts/train_pigan.py --exp_dir out/decoder --objective reconstruction --pigan_hidden_dim 128
  a decoder from photographs alone, as pi-GAN was trained:
    python scripts/train_pigan.py --exp_dir out/decoder --objective adversarial --data_root data/photographs
  go on where a run stopped:
    python scripts/train_pigan.py --exp_dir out/decoder --auto_resume

checkpoints/generator.pth is the decoder in pi-GAN's own layout: train3d.py takes it as --pigan_weights.
"""

# what belongs to one start of the program, not to the run
PER_START = frozenset({"exp_dir", "auto_resume", "overwrite", "device", "gpu_ids", "debug", "progress", "local_rank"})


# defaults that depend on the objective
DEFAULTS: dict[str, dict[str, Any]] = {
    "reconstruction": {},  # those of the parser
    "adversarial": {"max_steps": 200_000, "mapping_rate": 0.05, "grad_clip": 10.0, "val_images": 500},
}
ONLY = "only with --objective "  # title of a group of options


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="train_pigan.py", description="Pretrain a decoder (pi-GAN).", epilog=EXAMPLES,
                    formatter_class=HelpFormatter)
    run = parser.add_argument_group("run")
    run.add_argument("--exp_dir", required=True, help="folder of this run: checkpoints, logs, images")
    run.add_argument("--objective", choices=tuple(DEFAULTS), default="reconstruction",
                     help="reconstruction: data with known codes and several views of each head; adversarial: any "
                          "folder of images, against a discriminator")
    run.add_argument("--max_steps", type=positive, default=24000,
                     help="optimiser steps of the whole run; adversarial: 200000")
    add_flag(run, "--auto_resume", "go on with the newest checkpoint of --exp_dir, if there is one")
    add_flag(run, "--overwrite", "delete an earlier run in --exp_dir")
    run.add_argument("--seed", type=natural, default=0, help="of everything random")
    add_flag(run, "--debug", "show tracebacks of errors")

    data = parser.add_argument_group("data, model, step")
    data.add_argument("--data_root", default="data/SynthHeads", help="the data set; adversarial: a folder of images")
    data.add_argument("--pigan_curriculum_type", default="CelebAMask_HQ", help="camera: CelebAMask_HQ or CatMask")
    data.add_argument("--pigan_hidden_dim", type=positive, default=256, help="width of the field")
    data.add_argument("--pigan_weights", metavar="FILE",
                      help="decoder to start from: a pi-GAN state dict or a Sem2NeRF checkpoint; default: random")
    data.add_argument("--mapping_rate", type=float, default=2.0,
                      help="the mapping network's rate, as a multiple of the field's; adversarial: 0.05")
    data.add_argument("--grad_clip", type=float, default=1.0,
                      help="greatest norm of the gradient; 0: not clipped; adversarial: 10")
    data.add_argument("--ema", type=float, default=0.999, help="decay of the weights' average, which is what is kept")

    views = parser.add_argument_group(ONLY + "reconstruction")
    views.add_argument("--more_data", nargs="*", default=[], metavar="DATA_ROOT", help="further data sets to train on")
    views.add_argument("--num_heads", type=natural, default=0, help="read so many heads of a data set at most; 0: all")
    views.add_argument("--batch_size", type=positive, default=48, help="heads a process and step")
    views.add_argument("--rays", type=positive, default=64, help="rays of each head")
    views.add_argument("--label_balance", type=float, default=0.35,
                       help="share of the rays that are drawn evenly over the labels of the mask, for small parts")
    views.add_argument("--rare_share", type=float, default=0.3,
                       help="heads that show a label that less than this share of the heads show come up more often")
    views.add_argument("--rendered_rays", type=natural, default=4,
                       help="of these, so many are rendered too (without depth: all)")
    views.add_argument("--render_lambda", type=float, default=0.3, help="weight of the rendered rays' colours")
    views.add_argument("--occupancy_lambda", type=float, default=0.3, help="weight of solid against empty space")
    views.add_argument("--edit_lambda", type=float, default=0.0,
                       help="weight of what an edit of one part changes, for data sets built with --edits; "
                            "heads are then drawn in pairs, before and after")
    views.add_argument("--learning_rate", type=float, default=2e-4, help="of the field; the schedule is a cosine")

    images = parser.add_argument_group(ONLY + "adversarial")
    images.add_argument("--pigan_steps_conf", default="configs/pigan_steps/pigan_celeba.yaml",
                          help="sizes, batches, learning rates by step, and poses")
    images.add_argument("--keep_square", type=float, default=1.0,
                          help="side of the central square that is kept, as a share of a image's shorter side")
    images.add_argument("--pigan_zdim", type=positive, default=256, help="length of z")
    images.add_argument("--dis_channels", type=positive, default=400, help="of the discriminator's coarse maps")
    images.add_argument("--r1_lambda", type=float, default=0.2, help="R1 on photographs counts half of this")
    images.add_argument("--pose_lambda", type=float, default=15.0,
                          help="weight of the discriminator's guess at a rendering's camera")
    images.add_argument("--workers", type=positive, default=4, help="threads that read images")

    output = parser.add_argument_group("intervals and output")
    output.add_argument("--board_interval", type=positive, default=100, help="steps between console lines and curves")
    output.add_argument("--val_interval", type=natural, default=2000, help="steps between validations; 0: none")
    output.add_argument("--val_images", type=positive, default=16,
                        help="held-out heads to validate on; adversarial: images, 500")
    output.add_argument("--test_output_size", type=positive, default=64, help="pixels of validation images")
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
        UserError: a value is out of range, or belongs to another objective than the run's.
    """
    opts, given = parse_given(build_parser(), argv)
    names = set(vars(opts)) - PER_START
    earlier = options_of_run(Path(opts.exp_dir), names) if opts.auto_resume else {}
    objective = opts.objective if "objective" in given else earlier.get("objective", opts.objective)
    parser = build_parser()
    parser.set_defaults(**{**DEFAULTS.get(objective, {}), **earlier})
    opts = parser.parse_args(argv)
    for name, owner in _owners(parser).items():
        if owner == opts.objective:
            continue
        if name in given:
            raise UserError(f"--{name} is {ONLY}{owner}; leave it out, or give that objective")
        delattr(opts, name)
    _check(opts)
    return opts


def _owners(parser: argparse.ArgumentParser) -> dict[str, str]:
    """The objective of each option that belongs to one."""
    groups = [group for group in parser._action_groups if (group.title or "").startswith(ONLY)]
    return {action.dest: group.title.removeprefix(ONLY) for group in groups for action in group._group_actions}


def _check(opts: argparse.Namespace) -> None:
    values = vars(opts)
    for name in ("render_lambda", "occupancy_lambda", "edit_lambda", "grad_clip", "r1_lambda", "pose_lambda"):
        if not values.get(name, 0) >= 0:
            raise UserError(f"--{name} {values[name]}: give at least 0")
    for name in ("learning_rate", "mapping_rate"):
        if not values.get(name, 1) > 0:
            raise UserError(f"--{name} {values[name]}: give a number above 0")
    for name in ("label_balance", "rare_share"):
        if not 0 <= values.get(name, 0) <= 1:
            raise UserError(f"--{name} {values[name]}: give a share, 0 to 1")
    if values.get("edit_lambda") and opts.batch_size % 2:
        raise UserError(f"--batch_size {opts.batch_size}: with --edit_lambda heads come in pairs; give an even number")
    if not 0 <= opts.ema < 1:
        raise UserError(f"--ema {opts.ema}: give a decay below 1, e.g. 0.999, or 0 for no average")
    if opts.objective == "adversarial":
        if not 0 < opts.keep_square <= 1:
            raise UserError(f"--keep_square {opts.keep_square}: give a share above 0, at most 1")
        if opts.val_images < 2:
            raise UserError(f"--val_images {opts.val_images}: a distance needs 2 images or more, better hundreds")
        if opts.test_output_size < 8:
            raise UserError(f"--test_output_size {opts.test_output_size}: give 8 pixels or more")
