"""Paint a semantic mask in the browser, and see the head turn. `--help` shows worked commands."""

import argparse
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.inference_options import find_checkpoint
from utils.cli import command, run
from utils.errors import UserError
from web.server.options import parse_options

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    from models.sem2nerf import Sem2NeRF
    from web.server.pictures import Faces


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
    faces = find_faces(opts, net)
    studio = Studio(net, MaskReader.of(net.input), checkpoint.name, opts.samples_per_ray)
    studio.warm_up()
    app = make_app(studio, PageFiles(), faces)

    def ready() -> None:
        print(f"the editor is at {address} (Ctrl-C ends it)", flush=True)
        if opts.open:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(make_server(app), listening, ready)


def find_faces(opts: argparse.Namespace, net: "Sem2NeRF") -> "Faces | None":
    """What finds faces in photographs and labels their parts, if it is wanted.

    Raises:
        UserError: its files are missing, or the weights are not for faces.
    """
    if opts.face_segmenter is None:
        return None

    from configs.paths_config import YUNET_WEIGHTS
    from evaluation.face_segmentation.registry import load_segmenter
    from photos.detectors import load_detector
    from photos.prepare import SPACE
    from utils.files import in_project
    from web.server.pictures import Faces

    if net.input.space != SPACE:
        raise UserError(f"`face_segmenter` labels the parts of {SPACE.name}; these weights read {net.input.space.name}")
    device = net.latent_avg.frequencies.device
    weights = opts.detector_weights
    if weights is None and opts.detector != "mtcnn" and in_project(YUNET_WEIGHTS).is_file():
        weights = in_project(YUNET_WEIGHTS)
    detect = load_detector(opts.detector, weights)
    segmenter = load_segmenter(opts.face_segmenter, opts.segmenter_weights, device)
    return Faces(detect, lambda image: segmenter.segment(image.to(device)))


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
