"""What the server makes of a mask that a page paints: volumes to look at, coarse to fine, and files to keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from datasets.masks.files import NoFaceError
from datasets.masks.maps import PreparedMask
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from models.viewing import Viewing
from models.volume import SIZES, Cancelled, bake
from models.volume_file import FAST, pack
from utils.errors import UserError
from utils.parallel import in_one_thread
from web.server.masks import MaskReader, check_size, gathered_warnings
from web.server.turns import Job

LAYERS = range(9)      # FiLM layers of the field
MOST_SEED = 2**53 - 1  # the largest whole number that JavaScript counts exactly

Frame = tuple[Mapping[str, Any], bytes]  # what it says, and bytes that belong to it
Send = Callable[[Frame], None]


@dataclass(frozen=True)
class Painting:
    """A mask and a style, as a page sends them."""

    labels: UInt8[np.ndarray, "height width"]
    seed: int = 0
    layers: tuple[int, ...] = ()  # FiLM layers whose codes come from the style of `seed`

    @classmethod
    def from_query(cls, query: Mapping[str, str], body: bytes, labels: int) -> Painting:
        """From the address and the body of a request.

        Args:
            labels: how many labels there are.

        Raises:
            UserError: something is missing, is no number, or does not fit the rest.
        """
        width, height = number(query, "width", 1), number(query, "height", 1)
        check_size(width, height)
        if len(body) != width * height:
            raise UserError(f"{len(body)} bytes for a mask of {width} x {height} pixels: send one byte a pixel")
        values = np.frombuffer(body, np.uint8).reshape(height, width)
        if values.max() >= labels:
            raise UserError(f"label {values.max()}: labels are 0 to {labels - 1}")
        layers = query.get("layers", "")
        if not all(part.isascii() and part.isdigit() and int(part) in LAYERS for part in layers.split(",") if part):
            raise UserError(f"layers {layers[:40]}: give numbers from 0 to {LAYERS[-1]}, separated by commas")
        return cls(values, number(query, "seed", 0, MOST_SEED, 0),
                   tuple(sorted({int(part) for part in layers.split(",") if part})))


def number(query: Mapping[str, str], name: str, low: int, high: int = 10**6, default: int | None = None) -> int:
    """A whole number of an address.

    Raises:
        UserError: it is missing and there is no default, or it is none, or out of range.
    """
    text = query.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise UserError(f"{name} {text[:40]!r}: give a whole number from {low} to {high}")
    return int(text)


class Studio:
    """One model and what pages can ask of it. Methods that compute may run in any thread, one at a time.

    Args:
        reader: reads masks of the model's label space.
        title: what the page says of the weights.
        samples: per ray, of views and videos.
        sizes: of the volumes, see `models.volume.bake`.
    """

    def __init__(self, net: Sem2NeRF, reader: MaskReader, title: str = "", samples: int = 24,
                 sizes: Sequence[int] = SIZES) -> None:
        self.net, self.reader, self.title, self.samples, self.sizes = net, reader, title, samples, sizes
        # a page's labels are those of the table, however the model's own files are numbered
        self.input = replace(net.input, label_order="celebamask")

    def warm_up(self) -> None:
        """Compute the first picture of a sample, so that what is done once is done before anyone waits."""
        if self.reader.samples:
            labels = self.reader.sample(self.reader.samples[0]).labels
            next(bake(self.scene(Painting(labels))[0]))

    def describe(self) -> dict[str, Any]:
        """What a page needs to know, as JSON can say it."""
        space, cut, head = self.input.space, self.input.transform, self.net.semantic_head
        merge = space.merge if self.input.merged and space.merge is not None else range(len(space))
        labels = [{"index": index, "name": name, "colour": list(colour), "ignored": index > 0 and merge[index] == 0}
                  for index, (name, colour) in enumerate(zip(space.labels, space.palette, strict=True))]
        return {
            "title": self.title, "labelSpace": space.name, "labels": labels, "layers": len(LAYERS),
            "seen": cut.crop_size / cut.load_size if cut.crop else 1, "samples": self.reader.samples,
            "orders": self.reader.orders, "encodings": ["auto", "index", "colour"],
            "preset": Viewing.of(self.net.config.camera).as_preset(),
            # of the labels of volumes; None where the model does not know them
            "volumePalette": None if head is None else [list(colour) for colour in head.space.palette],
        }

    def prepared(self, painting: Painting) -> tuple[PreparedMask, list[str]]:
        """A mask in the network's square, and what is odd about it.

        Raises:
            UserError: it shows no face.
        """
        try:
            with gathered_warnings() as warnings:
                planes = self.input.prepare(self.input.labels(painting.labels))
        except NoFaceError as error:
            if not painting.labels.any():
                raise
            raise UserError(f"there is hardly any {self.input.space.face} in what the network sees of the mask: paint "
                            "more of it, and the head appears") from error
        return planes, warnings

    def scene(self, painting: Painting) -> tuple[Scene, list[str]]:
        """The scene of a painting, and what is odd about the mask.

        Raises:
            UserError: the mask shows no face.
        """
        planes, warnings = self.prepared(painting)
        codes = self.net.encode(self.input.tensor(planes, self.net.latent_avg.frequencies.device)[None])
        if painting.layers:
            codes = self.net.styled(codes, painting.seed, painting.layers)
        return self.net.scene_of(codes), warnings

    @torch.no_grad()
    def volumes(self, painting: Painting, job: Job, send: Send) -> None:
        """Send volumes to look at, coarse to fine.

        Raises:
            UserError: the mask shows no face.
            Cancelled: the job is not wanted any more.
        """
        start, coarse = time.perf_counter(), None
        if job.ended():
            raise Cancelled
        # one block per core; what is not divided is small, and the browser needs these cores as well
        with in_one_thread() as threads:
            scene, warnings = self.scene(painting)
            send(({"warnings": warnings}, b""))
            for volume in bake(scene, self.sizes, job.ended, threads):
                data = pack(volume, coarse, FAST)
                if job.ended():
                    raise Cancelled
                send(({"size": volume.size, "seconds": round(time.perf_counter() - start, 3)}, data))
                job.shown += 1
                coarse = coarse or volume
