"""The editor's server in a thread of the tests, around a small model or the demo weights."""

import contextlib
import http.client
import json
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import ROOT

from models.sem2nerf import Sem2NeRF
from web.server.app import make_app
from web.server.masks import MaskReader
from web.server.page import PageFiles
from web.server.pictures import Faces
from web.server.serving import listen, make_server, serve
from web.server.studio import Studio
from web.volume.baking import SIZES

FACES = ROOT / "data/CelebAMask-HQ/mask_samples"


class RunningEditor:
    """`address` is its page's; `studio` its model."""

    def __init__(self, net: Sem2NeRF, port: int = 0, sizes: Sequence[int] = SIZES, title: str = "some weights",
                 faces: Faces | None = None) -> None:
        self.studio = Studio(net, MaskReader.of(net.input), title, sizes=sizes)
        listening = listen(port)
        self.port = listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.address = f"http://{self.host}/"
        self._server, ready = make_server(make_app(self.studio, PageFiles(), faces)), threading.Event()
        self._thread = threading.Thread(target=serve, args=(self._server, listening, ready.set))
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}, timeout: float = 300
            ) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def run(self, labels: np.ndarray, path: str = "/run", **query: Any) -> list[tuple[dict[str, Any], bytes]]:
        """All frames of an answer to a painting."""
        status, body = self.ask("POST", painting_path(labels, path, **query), labels.tobytes())
        assert status == 200, body
        return list(frames(body))


def painting_path(labels: np.ndarray, path: str = "/run", **query: Any) -> str:
    height, width = labels.shape
    values = {"tab": "test", "width": width, "height": height, "seed": 0, "layers": "", **query}
    return path + "?" + "&".join(f"{name}={value}" for name, value in values.items())


def frames(body: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Frames of a whole answer."""
    at = 0
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        facts = json.loads(body[at + 4:at + 4 + length])
        at += 4 + length
        yield facts, body[at:at + facts["bytes"]]
        at += facts["bytes"]


@contextlib.contextmanager
def running(net: Sem2NeRF, port: int = 0, sizes: Sequence[int] = SIZES, faces: Faces | None = None
            ) -> Iterator[RunningEditor]:
    editor = RunningEditor(net, port, sizes, faces=faces)
    try:
        yield editor
    finally:
        editor.stop()


def demo() -> Sem2NeRF:
    return Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")


def sample(name: str = "90001", folder: Path = FACES) -> np.ndarray:
    from PIL import Image

    return np.array(Image.open(folder / f"{name}.png"))
