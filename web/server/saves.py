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
from datasets.masks.maps import PreparedMask
from inference.mesh_files import write_mesh
from inference.view_renderer import ViewRenderer, ViewSettings
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.trajectories import sweep, trajectory
from models.scene import Scene
from models.viewing import Viewing
from models.volume import Cancelled
from utils.errors import UserError
from utils.images import row
from utils.video import write_video
from web.server.studio import Painting, Send, Studio, number
from web.server.turns import Job
from web.viewer.page import viewer_page

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
        """The mask as the network sees it."""
        return self.studio.prepared(self.painting)[0]


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


def camera_of(query: Mapping[str, str], viewing: Viewing) -> Camera:
    """The camera of a viewer's pose, whose angles count from the front.

    Raises:
        UserError: an angle is no number, or out of range.
    """
    values = []
    for name, default, (low, high) in (("yaw", 0.0, viewing.yaw_range), ("pitch", 0.0, viewing.pitch_range),
                                       ("fov", viewing.fov, viewing.fov_range)):
        text = query.get(name, str(default))
        try:
            values.append(float(text))
        except ValueError:
            raise UserError(f"{name} {text[:40]!r}: give a number") from None
        if not low - 1e-3 <= values[-1] <= high + 1e-3:
            raise UserError(f"{name} {text[:40]}: give a number from {low:.3f} to {high:.3f}")
    yaw, pitch, fov = values
    return Camera(FRONTAL + yaw, FRONTAL + pitch, fov)


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
    "row": ("png", "image/png", _row),
    "video": ("mp4", "video/mp4", _video),
    "viewer": ("html", "text/html", _viewer),
    "mesh": ("glb", "model/gltf-binary", _mesh),
}
# those that can be made with the packages that are installed
KINDS = {kind: maker for kind, maker in _KINDS.items() if kind != "mesh" or find_spec("trimesh")}
