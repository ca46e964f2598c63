"""A head's codes refined until its view looks like its own photograph.

    fit = PhotoFit(net, config)
    codes = fit(item, net.encode(...))          # of a mask of a data set, whose photograph lies beside it
    fit.report[item.name].after                 # PSNR, dB

First the colour layer takes the colours of the photograph's parts (`photos.style_fit`), which costs little; then all
layers move (`editing.descent`, whose way edits go, too). Losses: the mean squared difference of pixels, half of which
are drawn evenly and half evenly over the parts, so that eyes and lips count; LPIPS of every fourth pixel of the view,
where its weights are there; and the mean square of the move in standard deviations of the codes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from configs.data_configs import DataConfig
from datasets.inference_set import MaskItem
from editing.descent import DescentSettings, SoftView, descend
from editing.directions import code_directions
from evaluation.metrics.image_quality import psnr
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.sem2nerf import Sem2NeRF
from photos.colours import PartColours
from photos.reference import framed_photo, known_pose, photo_beside
from photos.style_fit import fit_colours
from utils.errors import UserError

SIZE, SAMPLES = 128, 24     # of the view that is compared
GRID = 32                   # pixels along each side of the image that LPIPS looks at; a step has GRID^2 rays then
Perceptual = Callable[[Tensor, Tensor], Tensor]     # two batches of RGB images in [-1, 1] -> their distance


@dataclass(frozen=True)
class PhotoFitSettings(DescentSettings):
    """Beside how the codes move: what a step looks at, and what its losses weigh."""

    colour_steps: int = 60          # of the colour layer alone, at most
    steps: int = 80                 # of all layers
    directions: int = 96
    rays: int = 384                 # per step, half of them evenly over the parts
    step_weight: float = 0.01
    colour_weight: float = 30.0     # of the mean squared difference of colours in [0, 1]
    perceptual_weight: float = 1.0  # of LPIPS


@dataclass(frozen=True)
class FittedPhoto:
    """How near a view is to its photograph, before and after: PSNR in dB over all pixels of the framed view."""

    codes: Codes
    before: float
    after: float
    seconds: float      # of the processor


def fit_photo(net: Sem2NeRF, codes: Codes, camera: Camera, photo: Float[np.ndarray, "size size 3"],
              labels: UInt8[np.ndarray, "size size"], perceptual: Perceptual | None = None,
              settings: PhotoFitSettings = PhotoFitSettings()) -> FittedPhoto:
    """Codes whose view looks more like a photograph; those that were given, where that does not succeed.

    Args:
        codes: of one head.
        camera: the photograph's.
        photo: RGB in [0, 1], framed as the model's views are.
        labels: of the photograph, in `net.input.network_space`.
        perceptual: LPIPS, or None to go without.
    """
    begun, codes, size, device = time.process_time(), codes.detach(), len(photo), codes.frequencies.device
    target = torch.from_numpy(photo).to(torch.float32).flatten(0, 1).to(device)
    truth = torch.from_numpy(photo).to(torch.float32).permute(2, 0, 1) * 2 - 1

    def seen(of: Codes) -> tuple[float, Float[Tensor, "size size"]]:
        view = net.scene_of(of).render(camera, size, SAMPLES, sampler="grid" if _grid(net) else "exact")
        return psnr(view.rgb.clamp(-1, 1), truth), view.depth

    before, depth = seen(codes)
    reference = PartColours.of(photo, labels, net.input.network_space)
    coloured = fit_colours(net, codes, camera, labels, reference, steps=settings.colour_steps).codes
    tried = [(before, codes), (seen(coloured)[0], coloured)]
    start = max(tried, key=lambda pair: pair[0])[1]
    view = SoftView(net.siren, net.config.camera, None, camera, depth, settings)
    chances = torch.from_numpy(_chances(labels))

    def loss(moved: Codes, softness: float, generator: torch.Generator) -> Tensor:
        rays = (torch.multinomial(chances, settings.rays, generator=generator) if perceptual is None
                else _every_fourth(size, generator)).to(device)
        colours = view.render(moved, rays, softness, generator).rgb
        total = settings.colour_weight * (colours - target[rays]).square().mean()
        if perceptual is not None:
            images = [(values.t().reshape(1, 3, GRID, -1) * 2 - 1) for values in (colours, target[rays])]
            total = total + settings.perceptual_weight * perceptual(*images)
        return total

    fitted = descend(start, code_directions(net.siren, settings.directions), loss, view, settings.steps)
    after, best = max([*tried, (seen(fitted)[0], fitted)], key=lambda pair: pair[0])
    return FittedPhoto(best, before, after, time.process_time() - begun)


@dataclass
class PhotoFit:
    """Fits one head after another to its own photograph."""

    net: Sem2NeRF
    config: DataConfig
    perceptual: Perceptual | None = None
    settings: PhotoFitSettings = PhotoFitSettings()
    report: dict[str, FittedPhoto] = field(default_factory=dict)    # by the masks' names

    def __call__(self, item: MaskItem, codes: Codes) -> Codes:
        """The head's codes, nearer to its photograph.

        Raises:
            UserError: there is no photograph of this mask, it cannot be read, or its pose is not known.
        """
        photo, pose = photo_beside(item.path), item.pose or known_pose(item.path, self.config)
        if photo is None:
            raise UserError(f"`fit_photo`: {item.path} has no photograph of its name in images/ beside its folder; "
                            "scripts/prepare_photos.py makes such data, or leave the option out")
        if pose is None:
            raise UserError(f"`fit_photo`: the pose of {item.path} is not known; give its data set a pose file "
                            "(scripts/prepare_photos.py writes one), or leave the option out")
        rows = np.arange(SIZE) * len(item.planes.label) // SIZE
        picture = framed_photo(photo, self.net.input.transform, SIZE)
        fitted = fit_photo(self.net, codes, Camera(*pose), picture, item.planes.label[np.ix_(rows, rows)],
                           self.perceptual, self.settings)
        self.report[item.name] = fitted
        return fitted.codes

    @property
    def numbers(self) -> dict[str, dict[str, float]]:
        """What a file of results says of each mask."""
        return {name: {"psnr_before": round(fitted.before, 3), "psnr_after": round(fitted.after, 3),
                       "processor_seconds": round(fitted.seconds, 2)} for name, fitted in self.report.items()}

    @property
    def words(self) -> str:
        """A line for each mask, and one of means."""
        lines = [f"{name}: PSNR {fitted.before:.2f} -> {fitted.after:.2f} dB" for name, fitted in self.report.items()]
        before, after, seconds = np.array([(each.before, each.after, each.seconds)
                                           for each in self.report.values()]).mean(0)
        return "\n".join([*lines, f"views and their photographs: PSNR {before:.1f} -> {after:.1f} dB, {seconds:.0f} "
                                  "processor seconds a head"])


def _chances(labels: UInt8[np.ndarray, "size size"]) -> Float[np.ndarray, " pixels"]:
    """Of each pixel to be looked at: half evenly, half the same for each part."""
    _, part, area = np.unique(labels, return_inverse=True, return_counts=True)
    return 0.5 / labels.size + 0.5 / (len(area) * area[part.ravel()])


def _every_fourth(size: int, generator: torch.Generator) -> Int[Tensor, " rays"]:
    """Pixels of a grid over the view, whose place is drawn; row by row."""
    stride = size // GRID
    row, column = torch.randint(stride, (2,), generator=generator).tolist()
    line = torch.arange(GRID) * stride
    return ((line + row)[:, None] * size + line + column).flatten()


def _grid(net: Sem2NeRF) -> bool:
    return net.config.camera.clamp_mode == "relu"

