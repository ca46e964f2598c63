"""Command line of scripts/edit3d.py."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from options.arguments import (
    HelpFormatter,
    Parser,
    add_flag,
    layer_list,
    natural,
    parse,
    positive,
    ray_samples,
    seed,
)
from options.common import add_checkpoint, add_debug, add_device, add_mask_files, add_semantic_head, add_video_format
from utils.errors import UserError

DESCRIPTION = """Edit a head from any side: draw on its label map, and get the 3D head that looks like it.

  # 1. the label map as it is seen from the side, to draw on with an image editor (its colours are those of the masks)
  python scripts/edit3d.py --mask data/CelebAMask-HQ/mask_samples/90002.png --yaw=.5 --render_map --out out/map

  # 2. the edit: the head, changed to look like the drawing from there, and views of it
  python scripts/edit3d.py --mask data/CelebAMask-HQ/mask_samples/90002.png --yaw=.5 --edit drawn.png --out out/edit

  # 3. and so on, from another side
  python scripts/edit3d.py --codes out/edit/codes.pt --yaw=-.4 --render_map --out out/next

docs/editing.md tells how it works and what to expect.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    scene = parser.add_argument_group("the head")
    scene.add_argument("--mask", help="its mask; or:")
    scene.add_argument("--codes", help="its codes, as an earlier edit has written them (codes.pt)")
    add_checkpoint(scene)
    add_semantic_head(scene)
    add_mask_files(scene, "of the mask alone: ")
    scene.add_argument("--latent_mask", "--style_layers", type=layer_list, default="8", metavar="LAYERS",
                       help="layers (0 to 8) whose codes come from a random style, as in inference3d.py; '' keeps the "
                            "mask's own codes in all layers")
    scene.add_argument("--inject_code_seed", "--style_seed", type=seed, default=0, help="seed of that style")

    edit = parser.add_argument_group("the edit")
    edit.add_argument("--yaw", type=float, default=0.0, help="side from which it is drawn, radians from the front; "
                      "below 0 the person's left side is seen")
    edit.add_argument("--pitch", type=float, default=0.0, help="radians from the front; below 0 from above")
    add_flag(edit, "--render_map", "write map.png, the label map from this side to draw on, and view.png, and end")
    edit.add_argument("--edit", help="that map, drawn on: a PNG of label numbers or of the colours of the masks")
    edit.add_argument("--refine_steps", type=natural, default=60,
                      help="of the optimisation after the first answer; 0: none, which saves most of the time")
    edit.add_argument("--out", default="out/edit3d", help="folder for the results")

    images = parser.add_argument_group("images")
    images.add_argument("--test_output_size", "--image_size", type=positive, default=256,
                        help="pixels along each side of the map and of views; by default what the checkpoint was "
                             "trained for, or %(default)s where it does not say")
    images.add_argument("--pigan_infer_ray_step", "--samples_per_ray", type=ray_samples, default=24,
                        help="samples per ray; by default what the checkpoint was trained for, or %(default)s where "
                             "it does not say")
    add_flag(images, "--render_videos", "also a video")
    images.add_argument("--trajectory", choices=["front", "orbit"], default="front", help="path of its camera")
    images.add_argument("--num_frames", type=positive, default=36, help="its frames")
    add_video_format(images)
    add_device(images)
    add_debug(images)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown, its value is out of range, or options contradict each other.
    """
    opts, given = parse(build_parser(), argv)
    if (opts.mask is None) == (opts.codes is None):
        raise UserError("give the head to edit, either by --mask or by --codes")
    if (opts.edit is None) != bool(opts.render_map):
        raise UserError("give either --render_map, which writes the label map to draw on, or --edit with a map that "
                        "was drawn on")
    if opts.codes is not None and (styled := given & {"latent_mask", "inject_code_seed", "mask_encoding",
                                                      "label_order"}):
        raise UserError(f"--{min(styled)} is about a mask; leave it out with --codes, which hold the style already")
    for name, what in (("mask", "mask"), ("edit", "drawing; --render_map writes the map to draw on"),
                       ("codes", "file of codes, as an edit writes it")):
        path = getattr(opts, name)
        if path is not None and not Path(path).is_file():
            raise UserError(f"--{name} {path}: there is no such {what}")
    for name, most in (("yaw", math.pi), ("pitch", math.pi / 2)):
        if not abs(getattr(opts, name)) <= most:
            raise UserError(f"--{name} {getattr(opts, name)}: give radians from the front, {-most:.2f} to {most:.2f}")
    return opts, given
