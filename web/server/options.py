"""Command line of scripts/editor.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from options.arguments import HelpFormatter, Parser, add_flag, parse, port, ray_samples
from options.common import add_checkpoint, add_debug, add_device
from options.eval_options import SEGMENTERS
from utils.errors import UserError

DETECTORS = ("auto", "yunet", "mtcnn")
DESCRIPTION = """Paint a semantic mask in the browser, and see the head turn while you paint.

  # with the bundled demo weights; open the address that it prints
  python scripts/editor.py

  # photographs of faces become masks to paint on
  python scripts/editor.py --face_segmenter bisenet

  # other weights, of faces or of cats, and the browser opened at once
  python scripts/editor.py --checkpoint_path pretrained_models/sem2nerf_catmask_pretrained.pt --open

The server answers to this machine only (127.0.0.1). docs/editor.md says how it works, and how to reach it from others.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)
    add_checkpoint(parser)
    parser.add_argument("--port", type=port, default=8123, help="of the address; 0: any that is free")
    add_flag(parser, "--open", "open the page in the browser")
    add_device(parser)
    parser.add_argument("--samples_per_ray", type=ray_samples, default=24,
                        help="of the views and videos that are saved; as many again are placed where the surface is")
    parser.add_argument("--face_segmenter", choices=SEGMENTERS,
                        help="makes masks of photographs: bisenet for true ones, synthheads for computer-made heads")
    parser.add_argument("--segmenter_weights", type=Path, help="its file, if it is not in pretrained_models/")
    parser.add_argument("--detector", choices=DETECTORS, default="auto",
                        help="finds the faces; auto: yunet where its file is there, else mtcnn")
    parser.add_argument("--detector_weights", type=Path, help="YuNet's file, if it is not in pretrained_models/")
    add_debug(parser)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """The options, and which of them were given.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    opts, given = parse(build_parser(), argv)
    if opts.face_segmenter is None and (alone := {"segmenter_weights", "detector", "detector_weights"} & given):
        raise UserError(f"`{min(alone)}` is for photographs; say with `face_segmenter` what labels their parts")
    return opts, given
