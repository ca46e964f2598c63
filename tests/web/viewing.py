"""What the tests of the viewer share: a small scene, its page, and what the page shows."""

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from tiny import FACE_OPTS, tiny_model

from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import style_code
from models.scene import Scene
from web.viewer.page import QUALITIES, viewer_page

MASK = ROOT / "data/CelebAMask-HQ/mask_samples/90001.png"
PIXELS = "async ([size, pose]) => (await viewer.picture(size, { ...viewer.pose, ...pose })).toDataURL()"
STILL = {"reduced_motion": "reduce"}  # no greeting turn


def lumps() -> Scene:
    """Of a network that knows labels, with colours that change from place to place."""
    net = tiny_model(FACE_OPTS, contrast=20)
    net.siren.final_layer.weight.mul_(10)
    net.siren.final_layer.bias.fill_(-2000)
    weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    net.semantic_head = SemanticHead((1, 3), "CelebAMask_HQ_merged", weight, torch.zeros(16))
    return net.scene_of(style_code(net.siren, 1))


def write_page(scene: Scene, folder: Path) -> Path:
    """A page of few texels, whose name and title have letters that mean something in HTML."""
    net, path = tiny_model(), folder / "<b>.html"
    labels = net.input.prepare(net.input.labels(MASK)).label
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(QUALITIES, "normal", (8, 32))
        path.write_text(viewer_page(scene, "<b>&\"", labels, net.input.network_space), encoding="utf-8")
    return path


def opened(open_page, path: Path, **settings):
    """The page, once the head is there."""
    page = open_page(path, **{**STILL, **settings})
    page.evaluate("ready")
    return page


def picture(page, size=96, **pose):
    """The viewer's image of this pose, whatever the canvas."""
    return _pixels(base64.b64decode(page.evaluate(PIXELS, [size, pose]).partition(",")[2]))


def shown(page):
    """What stands on the canvas."""
    page.wait_for_function("() => !viewer.drawing && !viewer.wanted && !viewer.moving")
    return _pixels(page.locator("canvas").screenshot())


def pose(page):
    return page.evaluate("viewer.pose")


def psnr(a, b):
    error = np.square((a - b) / 255).mean()
    return -10 * math.log10(error) if error else math.inf


def _pixels(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)
