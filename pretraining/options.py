"""Command line of scripts/train_pigan.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from options.arguments import CommandLine, HelpFormatter, Parser, positive
from options.run_options import PER_START, add_devices, add_output, add_run
from utils.errors import UserError

EXAMPLES = """examples:
  a decoder from photographs alone, as pi-GAN was trained:
    python scripts/train_pigan.py --exp_dir out/decoder --data_root data/photographs
  go on where a run stopped:
    python scripts/train_pigan.py --exp_dir out/decoder --auto_resume

checkpoints/generator.pth is the decoder in pi-GAN's own layout: train3d.py takes it as --pigan_weights.
"""

def decoder_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The options that all trainings of a decoder have."""
    parser = Parser(prog=prog, usage=f"{prog} [options]", description=description, epilog=epilog,
                    formatter_class=HelpFormatter)
    add_run(parser)

    model = parser.add_argument_group("model and step")
    model.add_argument("--pigan_curriculum_type", "--camera", default="CelebAMask_HQ",
                       help="camera: CelebAMask_HQ or CatMask")
    model.add_argument("--pigan_hidden_dim", "--decoder_width", type=positive, default=256, help="width of the field")
    model.add_argument("--pigan_weights", "--decoder_weights", metavar="FILE",
                       help="decoder to start from: a pi-GAN state dict or a Sem2NeRF checkpoint; default: random")
    model.add_argument("--mapping_rate", type=float,
                       help="the mapping network's learning rate, as a multiple of the field's")
    model.add_argument("--grad_clip", type=float, help="greatest norm of the gradient; 0: not clipped")
    model.add_argument("--ema", type=float, default=0.999, help="decay of the weights' average, which is what is kept")

    add_output(parser)
    add_devices(parser)
    return parser


def build_parser() -> argparse.ArgumentParser:
    parser = decoder_parser("train_pigan.py", "Pretrain a decoder (pi-GAN) on a folder of images.", EXAMPLES)
    images = parser.add_argument_group("images, and the two networks against each other")
    images.add_argument("--objective", choices=("adversarial",), default="adversarial", help="pi-GAN's own training")
    images.add_argument("--data_root", default="data/CelebA", help="a folder of images")
    images.add_argument("--pigan_steps_conf", "--size_schedule", default="configs/pigan_steps/pigan_celeba64.yaml",
                        help="sizes, batches, learning rates by step, poses, and form of the discriminator")
    images.add_argument("--keep_square", type=float,
                        help="side of the central square that is kept, as a fraction of an image's shorter side; None: "
                        "the steps file's")
    images.add_argument("--resampling", choices=("nearest", "bilinear"), default="nearest",
                        help="how it is resized: pixels are picked, as in the published code, or averaged")
    images.add_argument("--flip", type=float, default=0.5, help="probability that a photograph is mirrored")
    images.add_argument("--pigan_zdim", type=positive, default=256, help="length of z")
    images.add_argument("--dis_channels", type=positive, default=400,
                        help="most channels of the discriminator, at its coarsest resolutions")
    images.add_argument("--r1_lambda", type=float, default=0.2, help="R1 on photographs counts half of this")
    images.add_argument("--pose_lambda", type=float,
                        help="weight of the discriminator's guess at a rendering's camera; None: the steps file's")
    images.add_argument("--workers", type=positive, default=4, help="threads that read images")
    images.add_argument("--val_images", type=positive, help="renderings and photographs compared in validation")
    parser.set_defaults(max_steps=200_000, mapping_rate=1.0, grad_clip=10.0, val_images=500)
    return parser


def check(opts: argparse.Namespace) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such option.
    """
    check_decoder(opts, at_least_0=("r1_lambda", *(("pose_lambda",) if opts.pose_lambda is not None else ())))
    if not 0 <= opts.flip <= 1:
        raise UserError(f"--flip {opts.flip}: give a probability from 0 to 1")
    if opts.keep_square is not None and not 0 < opts.keep_square <= 1:
        raise UserError(f"--keep_square {opts.keep_square}: give a fraction above 0, at most 1")
    if opts.val_images < 2:
        raise UserError(f"--val_images {opts.val_images}: a distance needs 2 images or more, better hundreds")
    if opts.test_output_size < 8:
        raise UserError(f"--test_output_size {opts.test_output_size}: give 8 pixels or more")


def check_decoder(opts: argparse.Namespace, *, at_least_0: Sequence[str] = (), above_0: Sequence[str] = ()) -> None:
    """The same for the options of `decoder_parser`, and for others with a bound."""
    for name in ("grad_clip", *at_least_0):
        if not getattr(opts, name) >= 0:
            raise UserError(f"--{name} {getattr(opts, name)}: give at least 0")
    for name in ("mapping_rate", *above_0):
        if not getattr(opts, name) > 0:
            raise UserError(f"--{name} {getattr(opts, name)}: give a number above 0")
    if not 0 <= opts.ema < 1:
        raise UserError(f"--ema {opts.ema}: give a decay below 1, e.g. 0.999, or 0 for no average")


TRAIN_PIGAN = CommandLine(build_parser, check, PER_START)
parse = TRAIN_PIGAN.parse
