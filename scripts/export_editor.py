"""Write the editor with its network as one HTML file that needs no server. `--help` shows worked commands."""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.inference_options import find_checkpoint
from utils.cli import command, run
from utils.errors import UserError
from utils.files import write_text
from web.engine.options import parse_options


@command()
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    output = Path(opts.output)
    if output.suffix.lower() not in (".html", ".htm") or output.is_dir():
        raise UserError(f"{output}: the editor is a page; give a file name that ends in .html")
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}", flush=True)

    from models.sem2nerf import Sem2NeRF
    from web.engine.page import editor_page

    write_text(output, editor_page(Sem2NeRF.from_checkpoint(checkpoint), checkpoint.name))
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB): open it in a browser", flush=True)


if __name__ == "__main__":
    run(main)
