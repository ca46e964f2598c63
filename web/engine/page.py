"""What the engine brings into a page: its scripts, and the data that they read."""

from __future__ import annotations

import zlib
from pathlib import Path

from models.sem2nerf import Sem2NeRF
from web.engine.model_file import model_file

FOLDER = Path(__file__).parent
# in this order; workers need no more than these
COMPUTING = ("model", "maps", "oddities", "swin", "random", "codes", "plain_kernels", "wasm_kernels", "bake", "core")
READING = ("png", "mask_files")


def page_scripts() -> list[Path]:
    """The scripts of the page itself; `sem2nerf.makeEngine` is in the last one."""
    return [FOLDER / f"{name}.js" for name in (*COMPUTING, *READING, "local_engine", "make_engine")]


def page_data(net: Sem2NeRF) -> dict[str, bytes]:
    """`data` for `web.pages.build_page`: the model (deflated), kernels and the workers' script.

    Raises:
        UserError: the network is too large for a browser.
    """
    return {"model": zlib.compress(model_file(net), 9), "kernels": (FOLDER / "kernels.wasm").read_bytes(),
            "worker": worker_script().encode()}


def worker_script() -> str:
    """Everything that a worker runs, in one script."""
    return "\n".join((FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in (*COMPUTING, "worker"))
