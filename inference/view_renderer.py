"""Views of scenes as images, on one device or several.

    renderer = ViewRenderer(net, ViewSettings(size=128, samples=24))
    scene = renderer.scene(net.encode(net.read("90001.png")[None]))
    for image in renderer.views(scene, [Camera(yaw=1.3), Camera(yaw=1.8)]): ...     # (128, 128, 3) uint8
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8

from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from models.view import View
from utils.images import to_uint8
from utils.parallel import prefetch_map

Progress = Callable[[int, float], None]  # index of a view, and what fraction of it has just been finished


@dataclass(frozen=True)
class ViewSettings:
    """How views are rendered; see `models.scene.Scene`."""

    size: int = 256                      # pixels along each side
    samples: int = 24                    # per ray; as many again are placed where the surface is
    sampler: str = "auto"                # exact, grid or auto
    stochastic_seed: int | None = None   # jitters the samples, as the official release does; None: deterministic
    precision: str = "fp32"              # or tf32 or bf16, see `Scene`
    max_block: int | None = None         # most points evaluated at a time; None: as the device likes best
    labels: bool = False                 # also what is seen at each pixel, see `Scene.render`


class ViewRenderer:
    """Renders the views of any number of scenes.

    Args:
        net: on the first of `devices`.
        devices: where views are rendered; several share the views of a call. Default: the model's.
    """

    def __init__(self, net: Sem2NeRF, settings: ViewSettings = ViewSettings(),
                 devices: Sequence[torch.device] | None = None) -> None:
        self.net, self.settings = net, settings
        self.devices = list(devices or [net.latent_avg.frequencies.device])

    def scene(self, codes: Codes) -> Scene:
        """The scene of a batch of one."""
        return self.net.scene_of(codes, self.settings.max_block, self.settings.precision)

    def settled(self, scene: Scene) -> ViewRenderer:
        """The same, with what `auto` chooses for this scene: asking anew for every one of many heads that are alike,
        each seen once, would take longer than rendering them."""
        ours = self.settings
        sampler = scene.sampler_for(ours.size, ours.samples, ours.sampler)
        return ViewRenderer(self.net, replace(ours, sampler=sampler), self.devices)

    def views(self, scene: Scene, cameras: Sequence[Camera], progress: Progress = lambda index, part: None
             ) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        """Images of these cameras, in order, made as they are asked for; see `rendered`."""
        return (to_uint8(view.rgb) for view in self.rendered(scene, cameras, progress=progress))

    def rendered(self, scene: Scene, cameras: Sequence[Camera], name: str = "", first: int = 0,
                 progress: Progress = lambda index, part: None) -> Iterator[View]:
        """Views of these cameras, in order, made as they are asked for.

        Args:
            name, first: tell views apart where samples are jittered: the scene's name, and the number of the first
                camera among all views of this scene. A view's jitter depends on these and the seed alone.
            progress: called as rays are finished; from several threads where there are several devices.
        """
        settings, size = self.settings, self.settings.size
        if settings.stochastic_seed is None:
            scene.prepare(cameras, size, settings.samples, settings.sampler)
        scenes = [scene] + [scene.on(device) for device in self.devices[1:]]

        def render(index: int) -> View:
            generator = None
            if settings.stochastic_seed is not None:
                seed = zlib.crc32(f"{settings.stochastic_seed}/{name}/{first + index}".encode())
                generator = torch.Generator().manual_seed(seed)
            return scenes[index % len(scenes)].render(
                cameras[index], size, settings.samples, sampler=settings.sampler, labels=settings.labels,
                generator=generator, on_rays=lambda rays: progress(index, rays / size**2))

        # on one device a view is the work of all its cores, and Ctrl-C ends it at once
        threads = len(scenes) if len(scenes) > 1 else 0
        return prefetch_map(render, range(len(cameras)), threads, 2 * threads)
