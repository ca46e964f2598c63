"""Paint a semantic mask in the browser, and see the head turn. `--help` shows worked commands."""

import argparse
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.editor_options import parse_options
from options.inference_options import find_checkpoint
from utils.cli import command, run
from utils.errors import UserError

if TYPE_CHECKING:
    from web.server.studio import Studio


@command("end other programs, or give it a smaller model")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    check_packages()
    checkpoint, source = find_checkpoint(opts, given)

    from web.server.app import make_app
    from web.server.page import PageFiles
    from web.server.serving import ADDRESS, listen, serve

    listening = listen(opts.port)
    address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    print(f"weights: {source}", flush=True)
    app = make_app(load_studio(opts, checkpoint), PageFiles())

    def ready() -> None:
        print(f"the editor is at {address} (Ctrl-C ends it)", flush=True)
        if opts.open:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(app, listening, ready)


def check_packages() -> None:
    """
    Raises:
        UserError: a package that the server needs is not installed.
    """
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"the editor needs starlette and uvicorn ({error.name} is not installed): pip install starlette "
                        "uvicorn") from error
    del starlette


def load_studio(opts: argparse.Namespace, checkpoint: Path) -> "Studio":
    """The model of a checkpoint, ready to be asked; the first answer is not slower than others."""
    from configs.data_configs import DATA_CONFIGS
    from models.sem2nerf import Sem2NeRF
    from utils.device import pick_device
    from utils.files import in_project
    from web.server.masks import MaskReader
    from web.server.studio import Studio

    net = Sem2NeRF.from_checkpoint(checkpoint, pick_device(opts.device))
    data = next(config for config in DATA_CONFIGS.values() if config.label_space is net.input.space)
    folder = in_project(data.data_root / "mask_samples")
    reader = MaskReader(net.input.space, net.input.label_order, folder if folder.is_dir() else None)
    studio = Studio(net, reader, checkpoint.name, opts.samples_per_ray)
    studio.warm_up()
    return studio


if __name__ == "__main__":
    run(main)
