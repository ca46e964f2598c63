"""Command line of scripts/export_mesh.py."""

import argparse
from collections.abc import Sequence

from options.arguments import HelpFormatter, Parser, parse
from options.common import add_debug, add_device, add_mask_files, add_max_points, add_semantic_head
from options.inference_options import add_inputs, add_model, add_style
from utils.errors import UserError

DESCRIPTION = """One semantic mask -> a closed triangle mesh of the head, with colours.

  # the bundled masks with the bundled demo weights: one GLB each, for any viewer
  python scripts/export_mesh.py --exp_dir out/meshes

  # one mask, finer, in all formats, in its own style
  python scripts/export_mesh.py --data_path data/CelebAMask-HQ/mask_samples/90001.png --resolution 224 \\
      --formats glb,ply,obj --latent_mask ''

  # hair, skin, nose ... as parts of the GLB
  python scripts/export_mesh.py --by_label split

One unit is one metre; y is up, the face looks along +z (the axes of glTF); docs/mesh.md says more. Options with a name
that inference3d.py has mean the same; the checkpoint knows what is marked with *.
"""
FORMATS = ("glb", "ply", "obj")
RESOLUTIONS = (16, 1024)


def formats(text: str) -> tuple[str, ...]:
    """'glb,ply' -> ('glb', 'ply'), each once."""
    found = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    unknown = [part for part in found if part not in FORMATS]
    if unknown or not found:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or repr(text)}: give some of {','.join(FORMATS)}")
    return found


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    mesh = parser.add_argument_group("mesh")
    mesh.add_argument("--formats", type=formats, default="glb", metavar="LIST",
                      help=f"files to write, of {','.join(FORMATS)}")
    mesh.add_argument("--resolution", type=int, default=160, metavar="N",
                      help="cells of the grid along each side of the cube that holds the head. Triangles and time grow "
                           "with its square, memory with its cube")
    mesh.add_argument("--by_label", choices=["paint", "split"],
                      help="paint: each vertex in the colour of its label; split: one part for each label. Needs "
                           "weights with a semantic head")
    mesh.add_argument("--density_level", type=float, metavar="DENSITY",
                      help="the density at which the surface is put; by default it is found for each head")
    add_semantic_head(mesh)

    add_inputs(parser, "out/meshes")
    add_style(parser)
    add_model(parser)

    other = parser.add_argument_group("other")
    add_mask_files(other)
    other.add_argument("--seed", type=int, default=0, help="of --use_shuffle")
    add_device(other)
    add_max_points(other)
    add_debug(other)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    opts, given = parse(build_parser(), argv)
    low, high = RESOLUTIONS
    if not low <= opts.resolution <= high:
        raise UserError(f"--resolution {opts.resolution}: give {low} to {high}")
    if opts.mix_alpha is not None and not 0 <= opts.mix_alpha <= 1:
        raise UserError(f"--mix_alpha {opts.mix_alpha}: give a weight from 0 to 1")
    return opts, given
