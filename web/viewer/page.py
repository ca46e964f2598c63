"""A page that shows one head from all sides, in one HTML file that asks for nothing.

    page = viewer_page(scene, "90001", planes.label, net.input.network_space)
    write_text("90001.html", page)
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from configs.label_spaces import LabelSpace, shown_palette
from models.scene import Scene
from web.pages import build_page
from web.volume.baking import bake
from web.volume.packing import pack
from web.volume.viewing import Viewing

TEMPLATE = Path(__file__).with_name("page.html")
# name -> texels along each side of the coarse volume, which is shown first, and of the fine one
QUALITIES = {"normal": (28, 84), "high": (36, 108)}


def viewer_page(
    scene: Scene,
    title: str,
    label: UInt8[np.ndarray, "height width"],
    space: LabelSpace,
    quality: str = "normal",
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The text of the page. With a semantic head, the page shows the labels from all sides as well.

    Args:
        title: of the page, e.g. the mask's name.
        label: the mask as the network sees it, which stands beside the head; labels of `space`.
        quality: a key of QUALITIES.
        cancelled: see `web.volume.baking.bake`.

    Raises:
        Cancelled: `cancelled` said so.
    """
    coarse, fine = bake(scene, QUALITIES[quality], cancelled)
    head = scene.semantic_head
    present = np.unique(label).tolist()
    return build_page(
        TEMPLATE, text={"title": title},
        values={"preset": Viewing.of(scene.preset).as_preset(),
                "parts": [[space.labels[index], shown_palette(space)[index]] for index in present],
                "palette": [] if head is None else shown_palette(head.space)},
        data={"mask": mask_png(label, space), "coarse": pack(coarse), "fine": pack(fine, coarse)})


def mask_png(label: UInt8[np.ndarray, "height width"], space: LabelSpace) -> bytes:
    """A mask in the colours of its labels, as a PNG of a few kilobytes whose pixel values are the labels."""
    image, out = Image.fromarray(label), io.BytesIO()
    image.putpalette(np.array(shown_palette(space), np.uint8).tobytes())
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
