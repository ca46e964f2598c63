"""A page that holds the engine alone, and arrays on their way to and from it."""

import base64
from pathlib import Path

import numpy as np
import torch

from models.pigan.codes import Codes
from models.sem2nerf import Sem2NeRF
from web.engine.model_file import in_single_precision
from web.engine.page import page_data, page_scripts
from web.pages import build_page

TEMPLATE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>The engine</title>
<script src="{viewer}/page_data.js"></script>
<!-- data -->
ENGINE
<script>
const bytesOf = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const floatsOf = text => new Float32Array(bytesOf(text).buffer);
const textOf = array => {{
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return btoa(text);
}};
const kernelsOf = plain =>
  plain ? new sem2nerf.PlainKernels() : sem2nerf.WasmKernels.create(sem2nerf.pageBytes("kernels"));
</script></html>
"""


def write_page(folder: Path, net: Sem2NeRF) -> Path:
    """A page with the engine's scripts and data, ready for `open_page`."""
    template, page = folder / "template.html", folder / "engine.html"
    template.write_text(TEMPLATE.format(viewer=Path(__file__).resolve().parents[2] / "web/viewer"))
    page.write_text(build_page(template, data=page_data(net), values={"about": {"samples": []}})
                    .replace("ENGINE", page_scripts()))
    return page


def packed(array: np.ndarray | torch.Tensor | bytes) -> str:
    """For `bytesOf` and `floatsOf` in the page."""
    return base64.b64encode(array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes()).decode()


def floats(text: str) -> np.ndarray:
    """What `textOf` gave of a Float32Array."""
    return np.frombuffer(base64.b64decode(text), np.float32)


def octets(text: str) -> np.ndarray:
    """What `textOf` gave of a Uint8Array."""
    return np.frombuffer(base64.b64decode(text), np.uint8)


def as_stored(net: Sem2NeRF) -> Sem2NeRF:
    """The same network with the rounding of `model_file`, and biases and norms that are not 0 and 1."""
    state, generator = net.state_dict(), torch.Generator().manual_seed(5)
    for name, value in state.items():
        if ".siren." not in name and (name.endswith("bias") or "norm" in name):
            value = value + 0.1 * torch.randn(value.shape, generator=generator)
        state[name] = value if in_single_precision(name) else value.half().float()
    net.load_state_dict(state)
    return net


def one_row(codes: Codes) -> np.ndarray:
    """Frequencies, then phase shifts."""
    return torch.cat([codes.frequencies[0], codes.phase_shifts[0]]).numpy()

