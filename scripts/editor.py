"""Paint a semantic mask in the browser, and see the head turn. `--help` shows worked commands."""

import argparse
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.editor_options import parse_options
from options.inference_options import find_checkpoint
from utils.cli import command, run
from utils.errors import UserError


@command("end other programs, or give it a smaller model")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    check_packages()

    from web.server.serving import listen

    with listen(opts.port) as listening:  # before anything that takes long
        start(opts, given, listening)


def start(opts: argparse.Namespace, given: set[str], listening: socket.socket) -> None:
    """Load the weights, and serve until Ctrl-C."""
    checkpoint, source = find_checkpoint(opts, given)

    from models.sem2nerf import Sem2NeRF
    from utils.device import pick_device
    from web.server.app import make_app
    from web.server.masks import MaskReader
    from web.server.page import PageFiles
    from web.server.serving import ADDRESS, make_server, serve
    from web.server.studio import Studio

    address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    print(f"weights: {source}", flush=True)
    net = Sem2NeRF.from_checkpoint(checkpoint, pick_device(opts.device))
    studio = Studio(net, MaskReader.of(net.input), checkpoint.name, opts.samples_per_ray)
    studio.warm_up()
    app = make_app(studio, PageFiles())

    def ready() -> None:
        print(f"the editor is at {address} (Ctrl-C ends it)", flush=True)
        if opts.open:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(make_server(app), listening, ready)


def check_packages() -> None:
    """
    Raises:
        UserError: a package that the server needs is not installed.
    """
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"the editor needs starlette and uvicorn ({error.name} is not installed): pip install "
                        "starlette uvicorn") from error
    del starlette


if __name__ == "__main__":
    run(main)
