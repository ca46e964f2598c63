"""What the engine brings into a page: its scripts, and the data that they read; and the editor with this engine."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

from models.sem2nerf import Sem2NeRF
from web.engine.model_file import model_file
from web.pages import build_page, script
from web.server import edits
from web.server.masks import MaskReader
from web.server.studio import Studio

FOLDER = Path(__file__).parent
EDITOR = FOLDER.parent / "editor/page.html"
# in this order; workers need no more than these
COMPUTING = ("model", "maps", "framing", "oddities", "swin", "random", "codes", "edits", "plain_kernels",
             "wasm_kernels", "bake", "views", "core")
# the last one defines `sem2nerf.makeEngine`
PAGE = (*COMPUTING, "png", "mask_files", "label_map", "local_engine", "make_engine")
_ENGINE_OF_THE_SERVER = re.compile(r"<!-- engine.*?<!-- end of engine -->", re.DOTALL)


def editor_page(net: Sem2NeRF, title: str) -> str:
    """The editor in one page, with this network and the bundled samples of its kind of heads.

    Raises:
        UserError: the network is too large for a browser.
    """
    reader = MaskReader.of(net.input)
    data = {**page_data(net), **{f"sample-{number}": path.read_bytes()
                                 for number, path in enumerate(reader.sample_files.values())}}
    page = build_page(EDITOR, values={"about": described_page(net, reader, title)}, data=data)
    return _ENGINE_OF_THE_SERVER.sub(lambda _: page_scripts(), page, count=1)


def described_page(net: Sem2NeRF, reader: MaskReader, title: str = "") -> dict[str, Any]:
    """What the page needs to know: what the server says, without refining edits, for which there are no gradients."""
    about = {**Studio(net, reader, title).describe(), **edits.describe(net)}
    if about["edits"] is not None:
        about["edits"] = {"map": about["edits"]["map"]}
    return about


def page_data(net: Sem2NeRF) -> dict[str, bytes]:
    """`data` for `web.pages.build_page`: the model (deflated), kernels, and the workers' script.

    Raises:
        UserError: the network is too large for a browser.
    """
    return {"model": zlib.compress(model_file(net), 9), "kernels": (FOLDER / "kernels.wasm").read_bytes(),
            "worker": "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8")
                                for name in (*COMPUTING, "worker")).encode()}


def page_scripts() -> str:
    """The engine's scripts as elements of a page."""
    return "\n".join(f"<script>\n{script(FOLDER / f'{name}.js')}</script>" for name in PAGE)
