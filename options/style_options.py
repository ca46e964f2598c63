"""Command line of scripts/style_mixing.py."""

import argparse
from collections.abc import Sequence

from options.arguments import (
    HelpFormatter,
    Parser,
    add_flag,
    layer_list,
    parse,
    positive,
    ray_samples,
    seed,
    seed_list,
)
from options.common import add_checkpoint, add_debug, add_device, add_mask_files, add_max_points, add_video_format
from utils.errors import UserError

DESCRIPTION = """Masks in many styles (colours): strips, a grid, and videos between heads.

  # every bundled mask in five random styles, one strip each
  python scripts/style_mixing.py --exp_dir out/styles --n_outputs_to_generate 5

  # all masks x the styles of these seeds, as one picture
  python scripts/style_mixing.py --exp_dir out/styles --style_seeds 0-5,9 --grid

  # the colours of pictures beside those of a seed
  python scripts/style_mixing.py --exp_dir out/styles --style_seeds 3 --style_images data/mine/images/*.png --grid

  # the head of one mask becomes that of another while the camera turns
  python scripts/style_mixing.py --exp_dir out/styles --num_frames 48 --interpolate \\
      data/CelebAMask-HQ/mask_samples/90001.png data/CelebAMask-HQ/mask_samples/90008_hat.png

  # a folder of numbered masks as a video whose colours stay
  python scripts/style_mixing.py --exp_dir out/styles --sequence --data_path my_masks

Styles replace the codes of the layers --latent_mask; sizes and samples come from the checkpoint unless they are given.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    files = parser.add_argument_group("files")
    files.add_argument("--exp_dir", default="out/style_mixing", help="folder for the results")
    add_checkpoint(files)
    files.add_argument("--data_path", default="data/CelebAMask-HQ/mask_samples", help="folder of masks, or one mask")
    files.add_argument("--infer_paths_conf", "--mask_list", help="text file with one mask name or id per line")
    files.add_argument("--n_images", type=positive, metavar="N", help="only the first N masks")
    add_mask_files(files)

    styles = parser.add_argument_group("styles")
    styles.add_argument("--n_outputs_to_generate", "--styles", type=positive, default=5,
                        help="random styles per mask: those of --seed and of the seeds after it")
    styles.add_argument("--seed", type=seed, default=0, help="of the first random style")
    styles.add_argument("--style_seeds", type=seed_list, metavar="SEEDS",
                        help="these styles instead: seeds and ranges of seeds, such as 0-5,9")
    styles.add_argument("--style_images", nargs="+", default=[], metavar="PHOTO",
                        help="the colours of these pictures, too, part by part (docs/photos.md): their masks lie in "
                             "mask/ beside their folders. Instead of random styles, unless --style_seeds or "
                             "--n_outputs_to_generate is given")
    styles.add_argument("--latent_mask", "--style_layers", type=layer_list, default="6,7,8", metavar="LAYERS",
                        help="layers (0 to 8) whose codes come from a style: colours are in the last ones. Pictures "
                             "(--style_images) change layer 8 alone, unless this is given")
    styles.add_argument("--mix_alpha", "--style_weight", type=float, default=1.0,
                        help="blend a style in with this weight instead of replacing")
    add_flag(styles, "--grid", "one picture of masks x styles (styles.png) instead of a strip per mask")

    video = parser.add_argument_group("videos, instead of pictures")
    video.add_argument("--interpolate", nargs=2, metavar=("A", "B"),
                       help="a video from the head of mask A to that of mask B while the camera turns; with "
                            "--style_seeds also from the first of these styles to the last")
    add_flag(video, "--sequence", "all masks, in the order of the numbers in their names, as a video. Its colours "
                                  "stay: they are those of the first mask, or of the first of --style_seeds")
    video.add_argument("--num_frames", type=positive, default=36, help="frames from A to B")
    video.add_argument("--trajectory", choices=["turn", "front", "orbit", "still"], default="turn",
                       help="path of the camera with --interpolate: turn is front without its zoom")
    add_video_format(video)

    images = parser.add_argument_group("images")
    images.add_argument("--test_output_size", "--image_size", type=positive, default=256,
                        help="* pixels along each side of a view")
    images.add_argument("--pigan_infer_ray_step", "--samples_per_ray", type=ray_samples, default=24,
                        help="* samples per ray; as many again are placed where the surface is")
    add_flag(images, "--use_original_pose", "views from the mask's own pose (needs a pose file) instead of the front")
    images.add_argument("--sampler", choices=["auto", "exact", "grid"], default="auto",
                        help="how samples are placed, see scripts/inference3d.py --help")
    add_device(images)
    add_max_points(images)
    add_debug(images)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown, its value is out of range, or options contradict each other.
    """
    opts, given = parse(build_parser(), argv)
    if not 0 <= opts.mix_alpha <= 1:
        raise UserError(f"--mix_alpha {opts.mix_alpha}: give a weight from 0 to 1")
    if not opts.latent_mask:
        raise UserError("--latent_mask '': name the layers that styles replace, e.g. 6,7,8")
    kinds = [f"--{name}" for name in ("interpolate", "sequence", "grid") if getattr(opts, name)]
    if len(kinds) > 1:
        raise UserError(f"{' and '.join(kinds)}: give one of them; each is a kind of output of its own")
    if opts.style_images and (opts.interpolate or opts.sequence):
        raise UserError("--style_images is for strips and grids; leave it out of videos")
    if opts.style_images and not given & {"style_seeds", "n_outputs_to_generate"}:
        opts.n_outputs_to_generate = 0
    if opts.interpolate and opts.num_frames < 2:
        raise UserError("--num_frames 1: a video from one head to another has two frames at least")
    if opts.interpolate and given & {"data_path", "infer_paths_conf", "n_images", "use_original_pose"}:
        names = ", ".join(f"--{name}" for name in ("data_path", "infer_paths_conf", "n_images", "use_original_pose")
                          if name in given)
        raise UserError(f"{names} and --interpolate: the two masks are named by --interpolate, and the camera turns; "
                        "leave out one")
    return opts, given
