"""Command line of synth_heads/scripts/train_decoder.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse

from options.arguments import CommandLine, natural, positive
from options.run_options import PER_START
from pretraining.options import check_decoder, decoder_parser
from utils.errors import UserError

EXAMPLES = """examples:
  a decoder of SynthHeads, whose z, views and depths are known:
    python synth_heads/scripts/build_synth_heads.py --merged --depth --norms varied --size 160 \\
        --num_heads 8000 --views 3
    python synth_heads/scripts/train_decoder.py --exp_dir out/decoder --pigan_hidden_dim 128
  go on where a run stopped:
    python synth_heads/scripts/train_decoder.py --exp_dir out/decoder --auto_resume

checkpoints/generator.pth is the decoder in pi-GAN's own layout: train3d.py takes it as --pigan_weights.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = decoder_parser("train_decoder.py", "Pretrain a decoder (pi-GAN) on heads whose z is known.", EXAMPLES)
    data = parser.add_argument_group("data")
    data.add_argument("--data_root", default="data/SynthHeads", help="a data set of build_synth_heads.py")
    data.add_argument("--more_data", nargs="*", default=[], metavar="DATA_ROOT", help="further data sets to train on")
    data.add_argument("--num_heads", type=natural, default=0, help="heads read of each data set at most; 0: all")
    data.add_argument("--rare_share", type=float, default=0.3,
                      help="heads come up more often if they show a label that a smaller fraction of heads shows")
    data.add_argument("--val_images", type=positive, default=16, help="held-out heads to validate on")

    step = parser.add_argument_group("rays and losses")
    step.add_argument("--batch_size", type=positive, default=48, help="heads per process and step")
    step.add_argument("--rays", type=positive, default=64, help="rays of each head")
    step.add_argument("--label_balance", type=float, default=0.35,
                      help="fraction of the rays that are drawn evenly over the labels of the mask, for small parts")
    step.add_argument("--rendered_rays", type=natural, default=4,
                      help="how many of the rays are rendered, too (without depth: all)")
    step.add_argument("--render_lambda", type=float, default=0.3, help="weight of the rendered rays' colours")
    step.add_argument("--occupancy_lambda", type=float, default=0.3, help="weight of solid against empty space")
    step.add_argument("--edit_lambda", type=float, default=0.0,
                      help="weight of what an edit of one part changes, so that edits leave the rest of a head alone; "
                           "for data sets built with --edits, whose heads are then drawn in pairs, before and after")
    step.add_argument("--learning_rate", type=float, default=2e-4, help="of the field; it falls along a cosine")
    parser.set_defaults(max_steps=24_000, mapping_rate=2.0, grad_clip=1.0)
    return parser


def check(opts: argparse.Namespace) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such option.
    """
    check_decoder(opts, at_least_0=("render_lambda", "occupancy_lambda", "edit_lambda"), above_0=("learning_rate",))
    for name in ("label_balance", "rare_share"):
        if not 0 <= getattr(opts, name) <= 1:
            raise UserError(f"--{name} {getattr(opts, name)}: give a fraction, 0 to 1")
    if opts.edit_lambda and opts.batch_size % 2:
        raise UserError(f"--batch_size {opts.batch_size}: with --edit_lambda heads come in pairs; give an even number")


TRAIN_DECODER = CommandLine(build_parser, check, PER_START)
parse = TRAIN_DECODER.parse
