"""Command line of scripts/style_mixing.py."""

import argparse
from collections.abc import Sequence

from options import common
from options.arguments import HelpFormatter, Parser, add, add_flag, layer_list, parse, positive, seed, seed_list, weight
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
    common.add_files(files, "out/style_mixing")
    common.add_mask_files(files)

    styles = parser.add_argument_group("styles")
    add(styles, "--n_outputs_to_generate", 5, "random styles per mask: those of --seed and of the seeds after it",
        "--styles", type=positive)
    add(styles, "--seed", 0, "of the first random style", type=seed)
    add(styles, "--style_seeds", None, "these styles instead: seeds and ranges of seeds, such as 0-5,9", type=seed_list,
        metavar="SEEDS")
    styles.add_argument("--style_images", nargs="+", default=[], metavar="PHOTO",
                        help="the colours of these pictures, too, part by part (docs/photos.md): their masks lie in "
                             "mask/ beside their folders. Instead of random styles, unless --style_seeds or "
                             "--n_outputs_to_generate is given")
    add(styles, "--latent_mask", "6,7,8", "layers (0 to 8) whose codes come from a style: colours are in the last "
        "ones. Pictures (--style_images) change layer 8 alone, unless this is given", "--style_layers", type=layer_list,
        metavar="LAYERS")
    add(styles, "--mix_alpha", 1.0, "blend a style in with this weight instead of replacing", "--style_weight",
        type=weight)
    add_flag(styles, "--grid", "one picture of masks x styles (styles.png) instead of a strip per mask")

    video = parser.add_argument_group("videos, instead of pictures")
    add(video, "--interpolate", None, "a video from the head of mask A to that of mask B while the camera turns; with "
        "--style_seeds also from the first of these styles to the last", nargs=2, metavar=("A", "B"))
    add_flag(video, "--sequence", "all masks, in the order of the numbers in their names, as a video. Its colours "
                                  "stay: they are those of the first mask, or of the first of --style_seeds")
    add(video, "--num_frames", 36, "frames from A to B", type=positive)
    add(video, "--trajectory", "turn", "path of the camera with --interpolate: turn is front without its zoom",
        choices=["turn", "front", "orbit", "still"])
    common.add_video_format(video)

    images = parser.add_argument_group("images")
    common.add_views(images)
    add_flag(images, "--use_original_pose", "views from the mask's own pose (needs a pose file) instead of the front")
    common.add_sampler(images)
    common.add_device(images)
    common.add_max_points(images)
    common.add_debug(images)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown, its value is out of range, or options contradict each other.
    """
    opts, given = parse(build_parser(), argv)
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
    of_folders = [f"--{name}" for name in ("data_path", "infer_paths_conf", "n_images", "use_original_pose")
                  if name in given]
    if opts.interpolate and of_folders:
        raise UserError(f"{', '.join(of_folders)} and --interpolate: the two masks are named by --interpolate, and the "
                        "camera turns; leave out one")
    return opts, given
