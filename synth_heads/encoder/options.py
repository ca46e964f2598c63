"""Command line of synth_heads/scripts/train_encoder.py: that of train3d.py, and losses on heads whose z is known."""

from __future__ import annotations

import argparse

from options import train_options
from options.arguments import CommandLine
from utils.errors import UserError

EXAMPLES = """examples:
  a warm start: regression of FiLM codes; no image is rendered
    python synth_heads/scripts/train_encoder.py --exp_dir=out/warm --dataset_type=synthheads_seg_to_3dface \\
        --latent_lambda=1 --l2_lambda=0 --lpips_lambda=0 --dis_lambda=0 --use_merged_labels --use_contour

docs/demo_model.md has the whole recipe; all other options are those of scripts/train3d.py.
"""
LOSSES = (*train_options.LOSSES, "latent_lambda", "z_lambda")


def build_parser() -> argparse.ArgumentParser:
    parser = train_options.build_parser("train_encoder.py", "Train Sem2NeRF on heads whose z is known.", EXAMPLES)
    option = train_options.option_group(parser, "losses on known z (latents.npz or z.npz in --data_root)")
    option("--latent_lambda", 0.0, "weight of the distance between the predicted FiLM codes and those of the known z: "
           "a fast start, since nothing has to be rendered for it")
    option("--z_lambda", 0.0, "weight of the distance between the predicted and the known z, with --encoder_output "
           "z: small parts of a face count as much as hair")
    option("--edit_lambda", 0.0, "weight of what an edit of one part changes in the image, and with --z_lambda in z: "
           "an edited mask then changes the edited part alone; for data built with --edits")
    return parser


def check(opts: argparse.Namespace) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such option.
    """
    train_options.check(opts, LOSSES)
    if not opts.edit_lambda >= 0:
        raise UserError(f"--edit_lambda {opts.edit_lambda}: give at least 0")
    if opts.z_lambda and not opts.encoder_not_zplus:
        raise UserError("--z_lambda: only an encoder that predicts z can be compared with one; add "
                        "--encoder_not_zplus, or use --latent_lambda")
    if opts.edit_lambda and opts.batch_size % 2:
        raise UserError(f"--batch_size {opts.batch_size}: with --edit_lambda heads come in pairs; give an even number")
    if opts.edit_lambda and not (opts.l2_lambda or opts.z_lambda):
        raise UserError("--edit_lambda: it compares images, or z; give --l2_lambda or --z_lambda a weight too")


TRAIN_ENCODER = CommandLine(build_parser, check, train_options.PER_START)
parse = TRAIN_ENCODER.parse
