"""What a page shows a head of: a mask, its colours, and edits from any side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from numpy import ndarray

from editing.editor import STEPS
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.pigan.siren import FILM_LAYERS
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError
from web.server.masks import check_size
from web.server.queries import Body, camera_of, number
from web.volume.viewing import Viewing

LAYERS = range(FILM_LAYERS)
MOST_SEED = 2**53 - 1   # the largest whole number that JavaScript counts exactly
MOST_STEPS = 5 * STEPS  # of a refinement


@dataclass(frozen=True)
class Drawing:
    """The label map of a head from some side, and what somebody has drawn on it; labels of mask files."""

    camera: Camera
    before: UInt8[ndarray, "size size"]
    after: UInt8[ndarray, "size size"]
    steps: int = 0  # of a refinement


@dataclass(frozen=True)
class Painting:
    """A mask and a style, as a page sends them, and what was edited."""

    labels: UInt8[ndarray, "height width"]
    seed: int = 0
    layers: tuple[int, ...] = ()    # FiLM layers whose codes come from the style of `seed`, or from `style`
    style: Codes | None = None      # of a picture; only `layers` count
    edit: Codes | None = None       # what edits add to the codes of mask and style
    drawing: Drawing | None = None  # an edit that is being drawn, of the head that all this makes

    @classmethod
    def from_request(cls, query: Mapping[str, str], body: Body, net: Sem2NeRF) -> Painting:
        """From the address and the body of a request.

        The body holds the labels, then, where the address says so, codes of the style (`style`, those of `layers`
        alone), codes of edits (`edit`), and two maps of `map` x `map` pixels.

        Raises:
            UserError: something is missing, is no number, or does not fit the rest.
        """
        width, height, count = number(query, "width", 1), number(query, "height", 1), len(net.input.space)
        check_size(width, height)
        labels = body.labels(height, width, count, "a mask")
        text = query.get("layers", "")
        if not all(part.isascii() and part.isdigit() and int(part) in LAYERS for part in text.split(",") if part):
            raise UserError(f"layers {text[:40]}: give numbers from 0 to {LAYERS[-1]}, separated by commas")
        layers, style, edit, drawing = tuple(sorted({int(part) for part in text.split(",") if part})), None, None, None
        if layers and number(query, "style", 0, 1, 0):
            style = spread(body.codes(len(layers) * net.siren.width, "codes of the style"), layers, net.siren.width)
        if number(query, "edit", 0, 1, 0):
            edit = body.codes(FILM_LAYERS * net.siren.width, "codes of the edits")
        if size := number(query, "map", 0, default=0):
            check_size(size, size)
            camera = camera_of(query, Viewing.of(net.config.camera))
            before, after = (body.labels(size, size, count, "a map") for _ in range(2))
            drawing = Drawing(camera, before, after, number(query, "refine", 0, MOST_STEPS, 0))
        return cls(labels, number(query, "seed", 0, MOST_SEED, 0), layers, style, edit, drawing)


def spread(codes: Codes, layers: Sequence[int], width: int) -> Codes:
    """Codes of some layers as codes of all, 0 in the others; `packed` is the way back."""
    columns = _columns(layers, width)
    values = []
    for part in (codes.frequencies, codes.phase_shifts):
        whole = part.new_zeros(1, FILM_LAYERS * width)
        whole[:, columns] = part
        values.append(whole)
    return Codes(*values)


def packed(codes: Codes, layers: Sequence[int], width: int) -> Codes:
    """The codes of some layers alone."""
    columns = _columns(layers, width)
    return Codes(codes.frequencies[:, columns], codes.phase_shifts[:, columns])


def _columns(layers: Sequence[int], width: int) -> torch.Tensor:
    return torch.cat([torch.arange(layer * width, (layer + 1) * width) for layer in layers])
