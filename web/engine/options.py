"""Command line of scripts/export_editor.py."""

import argparse
from collections.abc import Sequence

from options.arguments import HelpFormatter, Parser, parse
from options.common import add_checkpoint, add_debug

DESCRIPTION = """Write the editor as one HTML file that needs no server: the network itself runs in the page.

  # with the bundled demo weights, about 7 MB; open it by double click, send it, or put it on any web server
  python scripts/export_editor.py out/editor.html

  # other weights, of faces or of cats
  python scripts/export_editor.py out/cats.html --checkpoint_path my_cats/checkpoints/best_model.pt

docs/editor_engine.md says how it works, which browsers it needs, and how fast it is.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s OUTPUT [options]", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("output", help="the file to write, .html")
    add_checkpoint(parser)
    add_debug(parser)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """The options, and which of them were given.

    Raises:
        UserError: an option is unknown, or there is no file to write.
    """
    return parse(build_parser(), argv)
