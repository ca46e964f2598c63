"""Photographs that a page sends: the colours of one for a painted head, and masks of faces in them.

A mask of a face is made by a face detector and a face segmenter, if the server was given these. Nothing is kept.
"""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError

from configs.label_spaces import order_table
from datasets.masks.maps import merge_labels
from datasets.masks.mask_input import MaskInput
from datasets.masks.relabel import merged_to
from editing.editor import editable
from models.pigan.cameras import Camera
from photos.colours import PartColours
from photos.detectors import Detect
from photos.prepare import Prepared, Segment, prepare
from photos.reference import read_reference
from photos.style_fit import COLOUR_LAYERS, fit_colours, named_parts
from utils.errors import UserError
from web.server import edits
from web.server.masks import for_page
from web.server.painting import Painting, packed
from web.server.queries import Body, Send, codes_bytes, number
from web.server.studio import Studio
from web.server.turns import Job
from web.volume.baking import Cancelled

SIDE = 512              # pixels of an aligned face and its mask
VIEW = 128              # pixels of the view in which the parts of a head are found
MOST_PIXELS = 64 << 20  # of a photograph
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Faces:
    """What finds faces in photographs, and their parts."""

    detect: Detect
    segment: Segment


@dataclass(frozen=True)
class Reference:
    """A picture whose colours are wanted, as a page sends it: files, and which parts."""

    picture: bytes
    mask: bytes         # empty: to be found by a face segmenter
    order: str          # of the labels in the mask's file
    parts: str          # names, separated by commas; empty: all that the picture shows

    @classmethod
    def from_request(cls, query: Mapping[str, str], body: Body) -> Reference:
        """
        Raises:
            UserError: bytes are missing.
        """
        sizes = number(query, "picture", 1, MOST_BYTES), number(query, "mask", 0, MOST_BYTES, 0)
        picture, mask = (body.take(size, name) for size, name in zip(sizes, ("the picture", "its mask"), strict=True))
        return cls(picture, mask, query.get("order", "celebamask"), query.get("parts", ""))


def describe(studio: Studio, faces: Faces | None) -> dict[str, Any]:
    """What a page needs to know: whose colours can be taken, and whether faces can be found in photographs."""
    return {"colours": list(studio.input.network_space.labels), "faces": faces is not None}


def send_colours(studio: Studio, faces: Faces | None, painting: Painting, reference: Reference, job: Job, send: Send
                 ) -> None:
    """Fit the colours of a painted head to a picture's. Sends `layers`, how near the colours of each part came (mean
    difference of 255, `before` and `after`), and codes of these layers.

    Raises:
        UserError: a file cannot be read, they do not belong together, or no part is in both.
        Cancelled: they are not wanted any more.
    """
    if job.ended():
        raise Cancelled
    net, space = studio.net, studio.input.network_space
    parts = named_parts(reference.parts, space) if reference.parts else None
    picture, labels = _read(studio.input, faces, reference)
    scene = studio.scene(painting)[0]

    def wanted() -> None:
        if job.ended():
            raise Cancelled

    fitted = fit_colours(net, scene.codes, Camera(), _seen(studio, painting), PartColours.of(picture, labels, space),
                         parts, on_evaluation=wanted)
    own = fitted.codes if painting.edit is None else fitted.codes - painting.edit.to(fitted.codes.frequencies)
    send(({"layers": list(COLOUR_LAYERS), "before": fitted.before, "after": fitted.after},
          codes_bytes(packed(own, COLOUR_LAYERS, net.siren.width))))


def send_face(faces: Faces, picture: bytes, job: Job, send: Send) -> None:
    """Send the labels of the largest face in a photograph, and the aligned photograph itself (`picture`).

    Raises:
        UserError: there is no face that could be used; the line says why.
        Cancelled: nobody waits for it any more.
    """
    if job.ended():
        raise Cancelled
    face = _face(faces, picture)
    if job.ended():
        raise Cancelled
    send(({"width": SIDE, "height": SIDE, "warnings": list(face.remarks)}, zlib.compress(face.labels.tobytes(), 6)))
    out = io.BytesIO()
    Image.fromarray(face.image).save(out, format="JPEG", quality=92)
    send(({"picture": "image/jpeg"}, out.getvalue()))


def _seen(studio: Studio, painting: Painting) -> UInt8[np.ndarray, "size size"]:
    """Labels of the head from the front, as the network reads them: those that the model sees, else the mask's."""
    net = studio.net
    if editable(net):
        assert net.semantic_head is not None
        labels = edits.label_map(studio.scene(painting)[0], Camera(), VIEW)
        return merged_to(labels, net.semantic_head.space, studio.input.network_space)
    label = studio.prepared(painting)[0].label
    rows = np.arange(VIEW) * len(label) // VIEW
    return label[np.ix_(rows, rows)]


def _read(reader: MaskInput, faces: Faces | None, reference: Reference
          ) -> tuple[Float[np.ndarray, "side side 3"], UInt8[np.ndarray, "size size"]]:
    """A picture in [0, 1], and its labels as the network reads them."""
    if not reference.mask:
        if faces is None:
            raise UserError("there is no face segmenter here to find the parts of this picture: choose its mask")
        face = _face(faces, reference.picture)
        labels = face.labels if reader.network_space is reader.space else merge_labels(face.labels, reader.space)
        return face.image / 255, labels
    order_table(reference.order, reader.space)
    with _file(reference.picture, "the picture") as picture, _file(reference.mask, "its mask") as mask:
        return read_reference(picture, mask, replace(reader, label_order=reference.order))


def _face(faces: Faces, picture: bytes) -> Prepared:
    with _file(picture, "the photograph") as path, torch.no_grad():
        try:
            size = Image.open(path).size
        except (OSError, UnidentifiedImageError) as error:
            raise UserError("the photograph cannot be read: it is no picture, or a damaged one") from error
        if size[0] * size[1] > MOST_PIXELS:
            raise UserError(f"the photograph has {size[0]} x {size[1]} pixels: send a smaller one")
        return prepare(path, faces.detect, faces.segment, SIDE)


@contextmanager
def _file(data: bytes, called: str) -> Iterator[Path]:
    """A file with these bytes, for as long as the block lasts; messages name it as `called`."""
    with tempfile.TemporaryDirectory(prefix="sem2nerf-picture-") as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)
        try:
            yield path
        except UserError as error:
            raise UserError(for_page(str(error).replace(str(path), called))) from error
