"""Files of a painted head: the exact view, a row of views, a video, a page that turns it, a mesh."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from configs.data_configs import config_of_preset
from datasets.masks.map_files import save_map
from datasets.masks.maps import PreparedMask
from datasets.masks.relabel import merged_to
from editing.editor import editable
from inference.mesh_files import write_mesh
from inference.view_renderer import ViewRenderer, ViewSettings
from models.pigan.cameras import Camera
from models.pigan.trajectories import sweep, trajectory
from models.scene import Scene
from utils.images import row
from utils.video import write_video
from web.server import edits
from web.server.painting import Painting
from web.server.queries import Send, camera_of, number
from web.server.studio import Studio
from web.server.turns import Job
from web.viewer.page import viewer_page
from web.volume.baking import Cancelled
from web.volume.viewing import Viewing

LARGEST = 1024  # pixels along each side of a view
FRAMES = 36     # of a video, forwards
LEAST_NEWS = 0.01  # how much further a file must be, in parts of all, to be worth a word

Picture = UInt8[np.ndarray, "size size 3"]


@dataclass(frozen=True)
class Order:
    """A file that is wanted, and everything that it is made from."""

    studio: Studio
    painting: Painting
    scene: Scene
    camera: Camera
    size: int
    views: Callable[[Sequence[Camera]], Iterator[Picture]]
    ended: Callable[[], bool]  # whether the file is still wanted: asked before each block of work

    @property
    def planes(self) -> PreparedMask:
        """The mask as the network sees it; of an edited head, which no mask shows, its map from the front alone."""
        net = self.studio.net
        if self.painting.edit is None or not editable(net):
            return self.studio.prepared(self.painting)[0]
        assert net.semantic_head is not None
        labels = edits.label_map(self.scene, Camera(), edits.SIZE, edits.watch(self.ended))
        return PreparedMask(merged_to(labels, net.semantic_head.space, net.input.network_space), None, None)


def save(studio: Studio, kind: str, painting: Painting, query: Mapping[str, str], job: Job, send: Send) -> None:
    """Make a file and send it; before it, how far it is (`progress`, 0 to 1).

    Args:
        kind: a key of KINDS.
        query: size (pixels), and yaw, pitch (radians from the front) and fov (degrees) of the camera.

    Raises:
        UserError: a value is out of range, or the mask shows no face.
        Cancelled: the file is not wanted any more.
    """
    size, camera = number(query, "size", 16, LARGEST, 256), camera_of(query, Viewing.of(studio.net.config.camera))
    if job.ended():
        raise Cancelled
    scene = studio.scene(painting)[0]

    def views(cameras: Sequence[Camera]) -> Iterator[Picture]:
        done, told = 0.0, 0.0

        def progress(_: int, part: float) -> None:
            nonlocal done, told
            if job.ended():
                raise Cancelled
            done += part / len(cameras)
            if done - told >= LEAST_NEWS:
                told = done
                send(({"progress": round(done, 3)}, b""))

        return ViewRenderer(studio.net, ViewSettings(size, studio.samples)).views(scene, cameras, progress=progress)

    suffix, media_type, make = KINDS[kind]
    with torch.no_grad():
        data = make(Order(studio, painting, scene, camera, size, views, job.ended))
    if job.cancelled:
        raise Cancelled
    send(({"suffix": suffix, "mediaType": media_type}, data))


def _view(order: Order) -> bytes:
    return _png(next(order.views([order.camera])))


def _row(order: Order) -> bytes:
    preset = order.studio.net.config.camera
    offsets = config_of_preset(preset.name).eval_yaw_offsets
    painted = order.studio.input.painted(order.planes, order.size)
    return _png(row([painted, *order.views(sweep("h", offsets, len(offsets), preset.fov_deg))]))


def _video(order: Order) -> bytes:
    cameras = trajectory("front", FRAMES, order.studio.net.config.camera.fov_deg)
    with tempfile.TemporaryDirectory(prefix="sem2nerf-video-") as folder:
        path = Path(folder) / "head.mp4"
        write_video(path, order.views(cameras), order.size)
        return path.read_bytes()


def _viewer(order: Order) -> bytes:
    page = viewer_page(order.scene, "head", order.planes.label, order.studio.input.network_space,
                       cancelled=order.ended)
    return page.encode()


def _map(order: Order) -> bytes:
    net = order.studio.net
    assert net.semantic_head is not None
    labels = edits.label_map(order.scene, order.camera, order.size, edits.watch(order.ended))
    with tempfile.TemporaryDirectory(prefix="sem2nerf-map-") as folder:
        return save_map(Path(folder) / "map.png", labels, net.semantic_head.space, net.input.space).read_bytes()


def _mesh(order: Order) -> bytes:
    with tempfile.TemporaryDirectory(prefix="sem2nerf-mesh-") as folder:
        return write_mesh(Path(folder), "head", order.scene.mesh(), None)[0].read_bytes()


def _png(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="PNG")
    return out.getvalue()


# kind -> suffix of the file, its media type, and what makes it
_KINDS: dict[str, tuple[str, str, Callable[[Order], bytes]]] = {
    "view": ("png", "image/png", _view),
    "map": ("png", "image/png", _map),
    "row": ("png", "image/png", _row),
    "video": ("mp4", "video/mp4", _video),
    "viewer": ("html", "text/html", _viewer),
    "mesh": ("glb", "model/gltf-binary", _mesh),
}
# those that can be made with the packages that are installed
KINDS = {kind: maker for kind, maker in _KINDS.items() if kind != "mesh" or find_spec("trimesh")}


def offered(studio: Studio) -> list[str]:
    """Kinds of files that can be made of this model's heads."""
    return [kind for kind in KINDS if kind != "map" or editable(studio.net)]
