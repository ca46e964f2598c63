"""Renders the views of one run of inference3d.py: its model, its options, its progress bar."""

import argparse
import time
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from datasets.inference_set import MaskItem
from datasets.masks.maps import to_network_input
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from utils.images import resize, to_uint8
from utils.parallel import prefetch_map

RESIZED = 256  # pixels of a saved view with --resize_outputs


class Renderer:
    """Codes, scenes and images.

    Args:
        net: on the first of `devices`.
        opts: of options.inference_options.
        devices: where views are rendered; several share the views of a call.
        label_nc: label channels of the network input.
        views: number of views of the whole run, for the progress bar.
    """

    def __init__(self, net: Sem2NeRF, opts: argparse.Namespace, devices: Sequence[torch.device], label_nc: int,
                 views: int) -> None:
        self.net, self.opts, self.devices, self.label_nc, self.total = net, opts, list(devices), label_nc, views
        self.saved_size = RESIZED if opts.resize_outputs else opts.test_output_size
        self.started = time.perf_counter()
        # moved ray by ray, so that the time left is honest from the first view on; silent unless on a terminal
        self.bar = tqdm(total=views, smoothing=0.05, dynamic_ncols=True, disable=None, bar_format=(
            "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} views, {elapsed} gone, {remaining} left"))

    def codes(self, item: MaskItem) -> Codes:
        """The mask's codes. Masks are encoded one by one, so that a image never depends on its neighbours."""
        mean = self.net.latent_avg
        if self.opts.test_pigan_latent_avg:
            return mean
        planes = [None if plane is None else plane[None].to(mean.frequencies.device)
                  for plane in (item["label"], item["contour"], item["distance"])]
        with torch.no_grad():
            return self.net.encode(to_network_input(*planes, self.label_nc))

    def scene(self, codes: Codes, style: int | Codes) -> Scene:
        """The scene of these codes with the layers of --latent_mask in that style."""
        alpha = 1.0 if self.opts.mix_alpha is None else self.opts.mix_alpha
        return self.net.scene_of(self.net.styled(codes, style, self.opts.latent_mask, alpha),
                                 self.opts.pigan_infer_max_batch, self.opts.precision)

    def views(
        self, scene: Scene, cameras: Sequence[Camera], name: str, first: int, what: str
    ) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
        """Images of these cameras, in order, made as they are asked for.

        `first` tells a mask's views apart for --stochastic_sampling: it is the number of the first camera.
        """
        opts, size = self.opts, self.opts.test_output_size
        if not opts.stochastic_sampling:
            scene.prepare(cameras, size, opts.pigan_infer_ray_step, opts.sampler)
        scenes = [scene] + [scene.on(device) for device in self.devices[1:]]

        def render(number: int) -> UInt8[np.ndarray, "size size 3"]:
            generator = None
            if opts.stochastic_sampling:
                seed = zlib.crc32(f"{opts.seed}/{name}/{first + number}".encode())
                generator = torch.Generator().manual_seed(seed)
            self.bar.set_description_str(f"{name} {what} {number + 1}/{len(cameras)} ", refresh=False)
            view = scenes[number % len(scenes)].render(
                cameras[number], size, opts.pigan_infer_ray_step, sampler=opts.sampler, generator=generator,
                on_rays=lambda rays: self.bar.update(rays / size**2))
            return resize(to_uint8(view.rgb), self.saved_size)

        # on one device a view is the work of all its cores, and Ctrl-C ends it at once
        threads = len(scenes) if len(scenes) > 1 else 0
        return prefetch_map(render, range(len(cameras)), threads, 2 * threads)

    def close(self) -> float:
        """Seconds per view."""
        self.bar.close()
        return (time.perf_counter() - self.started) / self.total
