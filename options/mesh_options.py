"""Command line of scripts/export_mesh.py."""

import argparse
from collections.abc import Sequence

from options import common
from options.arguments import HelpFormatter, Parser, add, bounded_integer, parse, some_of
from options.inference_options import add_inputs, add_style

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


def cells(text: str) -> int:
    """Of the grid: fewer show no head, more fill any memory."""
    return bounded_integer(text, 16, 1024)


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    mesh = parser.add_argument_group("mesh")
    add(mesh, "--formats", "glb", f"files to write, of {','.join(FORMATS)}", type=some_of(FORMATS), metavar="LIST")
    add(mesh, "--resolution", 160, "cells of the grid along each side of the cube that holds the head. Triangles and "
        "time grow with its square, memory with its cube", type=cells, metavar="N")
    add(mesh, "--by_label", None, "paint: each vertex in the colour of its label; split: one part for each label. "
        "Needs weights with a semantic head", choices=["paint", "split"])
    add(mesh, "--density_level", None, "the density at which the surface is put; by default it is found for each head",
        type=float, metavar="DENSITY")
    common.add_semantic_head(mesh)

    add_inputs(parser, "out/meshes")
    add_style(parser)
    common.add_model(parser.add_argument_group("of the paper: model"))

    other = parser.add_argument_group("other")
    common.add_mask_files(other)
    add(other, "--seed", 0, "of --use_shuffle")
    common.add_device(other)
    common.add_max_points(other)
    common.add_debug(other)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    return parse(build_parser(), argv)
