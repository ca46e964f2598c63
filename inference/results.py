"""The files that a run of inference writes for each mask: a row of views, an overlay, a strip of styles, a video.

    renderer = ViewRenderer(net, ViewSettings(size=128))
    results = Results(renderer, ResultSettings(views=5), Path("images"), Path("videos"))
    for item in read_all(data):
        paths = results.write(item)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from datasets.inference_set import MaskItem
from inference.extras import ExtraSettings, painted, write_extras
from inference.view_renderer import ViewRenderer
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.pigan.siren import style_code
from models.pigan.trajectories import sweep, trajectory
from models.scene import Scene
from models.view import View
from utils.images import overlay, resize, row, save_png, to_uint8
from utils.video import write_video

FIRST_FRAME = 1000  # frames are numbered from here, views of a row from 0

# Writes one more file of a mask: its scene, the mask, the path without suffix -> path
Writer = Callable[[Scene, MaskItem, Path], Path]
Recolouring = Callable[[MaskItem, Codes], Codes]
Progress = Callable[[str, float], None]  # what is rendered, and what fraction of a view has just been finished


@dataclass(frozen=True)
class VideoSettings:
    """A video of each mask."""

    trajectory: str = "front"  # see `models.pigan.trajectories.trajectory`
    frames: int = 36           # of one pass over the path
    ping_pong: bool = False    # forwards, then backwards
    suffix: str = "mp4"        # or gif


@dataclass(frozen=True)
class ResultSettings:
    """What is written for each mask, beside the row of views."""

    views: int = 5                                 # in the row
    sweep: str = "h"                               # what they sweep: see `models.pigan.trajectories.sweep`
    yaw_offsets: Sequence[float] = (-0.45, -0.25, 0.0, 0.25, 0.45)   # radians from the frontal yaw; of five views
    own_pose: bool = False                         # the row begins with the mask's own pose
    overlay_weight: float = 0.0                    # above 0: also mask, view, and the mask laid over it
    couple: bool = False                           # also mask and view side by side
    saved_size: int | None = None                  # pixels of each view in the files; None: as rendered
    style_layers: tuple[int, ...] = (8,)           # FiLM layers whose codes come from a style
    style_seed: int = 0
    style_weight: float = 1.0                      # below 1 the style is blended in
    suffix: str = ""                               # of the names of files, where codes are not the mask's own
    strip: tuple[int, int] | None = None           # seed of the last style, and images, of a strip of styles
    mean_head: bool = False                        # the decoder's mean codes instead of the mask's
    video: VideoSettings | None = None
    extras: ExtraSettings = field(default_factory=ExtraSettings)    # label maps, distances, transparent backgrounds

    @property
    def views_per_mask(self) -> int:
        """How many views are rendered for a mask."""
        extra = (self.overlay_weight > 0 or self.couple) and not self.own_pose
        return (self.views + self.own_pose + extra + (self.strip[1] if self.strip else 0)
                + (self.video.frames if self.video else 0))


def stem_of(name: str, style_layers: Sequence[int], style_seed: int) -> str:
    """What the files of a mask in a style are called, without their suffix."""
    return f"{name}_mask{''.join(map(str, style_layers))}_seed{style_seed}" if style_layers else name


class Results:
    """Writes the files of one mask after another.

    Args:
        images, videos: folders, made when they are needed.
        progress: called as rays are finished.
        recolour: gives the mask's codes other colours, or fits them to a photograph, before any style.
        writers: of further files, beside the images.
    """

    def __init__(self, renderer: ViewRenderer, settings: ResultSettings, images: Path, videos: Path,
                 progress: Progress = lambda what, part: None, recolour: Recolouring | None = None,
                 writers: Sequence[Writer] = ()) -> None:
        self.renderer, self.net, self.settings = renderer, renderer.net, settings
        self.images, self.videos, self.progress = images, videos, progress
        self.recolour, self.writers = recolour, writers

    def write(self, item: MaskItem) -> Iterator[Path]:
        """Write the files of a mask; gives their paths, one by one.

        Raises:
            UserError: a file cannot be written.
        """
        ours, name, mask, own = self.settings, item.name, item.painted, Camera(*item.pose or ())
        stem = stem_of(name, ours.style_layers, ours.style_seed) + ours.suffix
        codes = self._codes(item)
        if self.recolour is not None:
            codes = self.recolour(item, codes)
        scene = self._scene(codes, ours.style_seed)
        fov_deg = self.net.config.camera.fov_deg
        cameras = [own] * ours.own_pose + sweep(ours.sweep, ours.yaw_offsets, ours.views, fov_deg)
        rendered = list(self._rendered(scene, cameras, name, 0, "view"))
        views = [self._image(view) for view in rendered]
        yield save_png(self.images / f"{stem}.png", row([mask, *views]))
        for write in self.writers:
            yield write(scene, item, self.images / stem)
        yield from write_extras(ours.extras, self.images, stem, rendered, views, item, self.net)

        if ours.overlay_weight > 0 or ours.couple:
            view = views[0] if ours.own_pose else next(self._views(scene, [own], name, len(cameras), "overlay"))
            if ours.overlay_weight > 0:
                shown = row([mask, view, overlay(view, mask, ours.overlay_weight)])
                yield save_png(self.images / f"{stem}_overlay.png", shown)
            if ours.couple:
                yield save_png(self.images / f"{stem}_coupled.png", row([mask, view]))
        if ours.strip:
            seed, count = ours.strip
            first, last = style_code(self.net.siren, ours.style_seed), style_code(self.net.siren, seed)
            styles = [first.lerp(last, float(weight)) for weight in np.linspace(0, 1, count)]
            views = [next(self._views(self._scene(codes, style), [own], name, len(cameras) + 1 + i, "style"))
                     for i, style in enumerate(styles)]
            yield save_png(self.images / f"{stem}-{seed}_styles.png", row([mask, *views]))
        if ours.video:
            yield from self._write_videos(ours.video, scene, name, self.videos / f"{stem}.{ours.video.suffix}")

    def _write_videos(self, video: VideoSettings, scene: Scene, name: str, path: Path) -> Iterator[Path]:
        """Frame by frame, as they are rendered; label maps, where they are wanted, in a second video."""
        cameras = trajectory(video.trajectory, video.frames, self.net.config.camera.fov_deg)
        size, maps = self.settings.saved_size or self.renderer.settings.size, []
        head = self.net.semantic_head

        def frames() -> Iterator[UInt8[np.ndarray, "size size 3"]]:
            shown = []
            for view in self._rendered(scene, cameras, name, FIRST_FRAME, "frame"):
                frame = self._image(view)
                if self.settings.extras.labels and head is not None:
                    maps.append(painted(view, head.space, size))
                if video.ping_pong:
                    shown.append(frame)
                yield frame
            yield from shown[-2:0:-1]  # neither end twice, so that the loop does not stutter

        write_video(path, frames(), size)
        yield path
        if maps:
            second = path.with_name(f"{path.stem}_labels{path.suffix}")
            write_video(second, [*maps, *(maps[-2:0:-1] if video.ping_pong else [])], size)
            yield second

    @torch.no_grad()
    def _codes(self, item: MaskItem) -> Codes:
        """The mask's codes. Masks are encoded one by one, so that an image never depends on its neighbours."""
        if self.settings.mean_head:
            return self.net.latent_avg
        return self.net.encode(self.net.input.tensor(item.planes, self.renderer.devices[0])[None])

    def _scene(self, codes: Codes, style: int | Codes) -> Scene:
        ours = self.settings
        return self.renderer.scene(self.net.styled(codes, style, ours.style_layers, ours.style_weight))

    def _views(self, scene: Scene, cameras: Sequence[Camera], name: str, first: int, what: str
               ) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        """Images to save; see `ViewRenderer.rendered`."""
        return map(self._image, self._rendered(scene, cameras, name, first, what))

    def _rendered(self, scene: Scene, cameras: Sequence[Camera], name: str, first: int, what: str) -> Iterator[View]:
        def progress(index: int, part: float) -> None:
            self.progress(f"{name} {what} {index + 1}/{len(cameras)}", part)

        return self.renderer.rendered(scene, cameras, name, first, progress)

    def _image(self, view: View) -> UInt8[np.ndarray, "size size 3"]:
        """As it is saved."""
        image = to_uint8(view.rgb)
        return resize(image, self.settings.saved_size) if self.settings.saved_size else image
