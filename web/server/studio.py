"""What the server makes of a mask that a page paints: volumes to look at, coarse to fine, and files to keep."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from configs.label_spaces import shown_palette
from datasets.masks.files import NoFaceError
from datasets.masks.maps import PreparedMask
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError
from utils.parallel import in_one_thread
from web.server import edits
from web.server.masks import MaskReader, gathered_warnings
from web.server.painting import LAYERS, Painting
from web.server.queries import Send, camera_of
from web.server.turns import Job
from web.volume.baking import SIZES, Cancelled, bake
from web.volume.packing import FAST, pack
from web.volume.viewing import Viewing

IDLE_SECONDS = 0.3  # of quiet before the finest volume is begun: while it lasts, the browser draws the one before


class Studio:
    """One model and what pages can ask of it. Methods that compute may run in any thread, one at a time.

    Args:
        reader: reads masks of the model's label space.
        title: what the page says of the weights.
        samples: per ray, of views and videos.
        sizes: of the volumes, see `web.volume.baking.bake`.
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
            "volumePalette": None if head is None else [list(colour) for colour in shown_palette(head.space)],
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
            codes = self.net.styled(codes, painting.seed if painting.style is None else painting.style, painting.layers)
        if painting.edit is not None:
            codes = codes + painting.edit.to(codes.frequencies)
        return self.net.scene_of(codes), warnings

    @torch.no_grad()
    def map(self, painting: Painting, query: Mapping[str, str], job: Job, send: Send) -> None:
        """Send the label map of a view, to draw on; see `web.server.edits`.

        Args:
            query: yaw, pitch (radians from the front) and fov (degrees) of the camera.

        Raises:
            UserError: a value is out of range, or the mask shows no face.
            Cancelled: the map is not wanted any more.
        """
        camera = camera_of(query, Viewing.of(self.net.config.camera))
        if job.ended():
            raise Cancelled
        edits.send_map(self.net, self.scene(painting)[0], camera, job, send)

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
            if painting.drawing is not None:
                scene = edits.draw(self.net, scene, painting, job, send)
            for volume in bake(scene, self.sizes, job.ended, threads):
                data = pack(volume, coarse, FAST)
                if job.ended():
                    raise Cancelled
                send(({"size": volume.size, "seconds": round(time.perf_counter() - start, 3)}, data))
                job.shown += 1
                if coarse is not None and volume.size < self.sizes[-1]:
                    job.rest(IDLE_SECONDS)
                coarse = coarse or volume
