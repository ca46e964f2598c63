"""Validation: whole images of masks that training does not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from configs.label_spaces import LabelSpace
from criteria.w_norm import w_norm
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from training.loading import to_device
from training.runtime.processes import World
from training.step import ExtraLoss, LossWeights, StepOutput
from utils.panels import Image, mask_image, panel, photo_image

PANEL_ROWS = 8
CAPTIONS = ("mask", "photograph", "its pose", "frontal", "mirrored pose")


@dataclass(frozen=True)
class ValidationSettings:
    """How validation renders."""

    size: int = 128  # pixels along each side
    samples: int = 28  # per ray, in each of two passes
    max_block: int | None = None  # most points evaluated at a time
    mean_layers: tuple[int, ...] = ()  # layers whose codes are those of the mean code
    mean_only: bool = False  # look at the decoder's mean code instead of the encoder's codes


@dataclass(frozen=True)
class Validation:
    """Means over all validation samples, and a panel of the first ones."""

    metrics: dict[str, float]
    panel: Image | None

    @property
    def loss(self) -> float:
        """What decides which checkpoint is the best."""
        return self.metrics["loss"]


@torch.no_grad()
def validate(net: Sem2NeRF, batches: Iterable[dict[str, Any]], space: LabelSpace, settings: ValidationSettings,
             weights: LossWeights, perceptual: Callable[[Tensor, Tensor], Tensor] | None, world: World,
             stopped: Callable[[], bool] = lambda: False, extra_losses: Sequence[ExtraLoss] = ()) -> Validation | None:
    """Render each mask of this process's shard at its photograph's pose, and the first ones from two more sides.

    The sums of all processes are put together, however many samples each had. The loss is that of the weights: L2, L1
    and LPIPS of whole images (photographs are resampled nearest, as released) and the norm of the codes, and the extra
    losses, which get no images. `code_spread` is the codes' standard
    deviation over the masks, averaged over their entries: an encoder that has collapsed to one head for all masks has
    none, which the other numbers may hide.

    Args:
        stopped: whether to give up, asked between batches; when it is true in any process, there is no result (None).
    """
    was_training = net.training
    net.eval()
    sums: dict[str, float] = {}
    factors = {"l2": weights.l2, "l1": weights.l1, "lpips": weights.lpips}
    count, rows, aborted = 0, [], False
    moments = torch.zeros(2, 2 * net.latent_avg.frequencies.shape[1], dtype=torch.float64)
    for loaded in batches:
        if aborted := stopped():
            break
        batch = to_device(loaded, len(space), world.device)
        out = net.encoder(batch.masks)
        codes = net.codes_of(out)
        output = StepOutput(batch, out, codes, rendered=None, target=None)
        for name, (weight, value) in (item for loss in extra_losses for item in loss(output).items()):
            sums[name] = sums.get(name, 0.0) + value.item() * len(codes)
            factors[name] = weight
        codes = (net.latent_avg.expand(len(codes)) if settings.mean_only else
                 codes.with_layers_from(net.latent_avg, settings.mean_layers, net.config.width))
        joined = torch.cat([codes.frequencies, codes.phase_shifts], 1).double().cpu()
        moments += torch.stack([joined.sum(0), joined.square().sum(0)])
        if weights.w_norm:
            sums["w_norm"] = sums.get("w_norm", 0.0) + w_norm(codes, net.latent_avg).item() * len(codes)
        targets = F.interpolate(batch.images, (settings.size,) * 2, mode="nearest").cpu()
        for index, (yaw, pitch) in enumerate(batch.poses.tolist()):
            scene = net.scene_of(codes[index], settings.max_block)
            own = scene.render(Camera(yaw, pitch), settings.size, settings.samples).rgb
            for name, value in _distances(own[None], targets[index][None], weights, perceptual, world.device).items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            if world.is_main and len(rows) < PANEL_ROWS:
                others = [scene.render(camera, settings.size, settings.samples).rgb
                          for camera in (Camera(math.pi / 2, math.pi / 2), Camera(math.pi - yaw, pitch))]
                images = map(photo_image, (targets[index], own, *others))
                rows.append([mask_image(loaded["label"][index], space.palette), *images])
    net.train(was_training)
    everyone = world.gather((sums, count, aborted, moments, factors))
    if any(part[2] for part in everyone):
        return None
    total = sum(part[1] for part in everyone)
    names = {name for part in everyone for name in part[0]}
    means = {name: sum(part[0].get(name, 0.0) for part in everyone) / total for name in sorted(names)}
    factors = {name: factor for part in everyone for name, factor in part[4].items()}
    metrics = {f"loss_{name}": mean for name, mean in means.items()}
    loss = sum(factor * means[name] for name, factor in factors.items() if factor)
    loss = loss or means["l2"]  # a run that compares nothing still has to choose its best checkpoint
    metrics["loss"] = loss + weights.w_norm * means.get("w_norm", 0.0)
    mean, square = torch.stack([part[3] for part in everyone]).sum(0) / total
    metrics["code_spread"] = (square - mean.square()).clamp(min=0).sqrt().mean().item()
    side = min(max(settings.size, 128), 256)
    return Validation(metrics, panel(CAPTIONS, rows, side) if rows else None)


def own_indices(count: int, world: World) -> Sequence[int]:
    """Which of `count` samples belong to this process; the processes' numbers of samples differ by at most one."""
    return range(world.rank, count, world.size)


def _distances(image: Tensor, target: Tensor, weights: LossWeights,
               perceptual: Callable[[Tensor, Tensor], Tensor] | None, device: torch.device) -> dict[str, float]:
    image, target = image.to(device), target.to(device)
    values = {"l2": F.mse_loss(image, target).item()}
    if weights.l1:
        values["l1"] = F.l1_loss(image, target).item()
    if weights.lpips:
        assert perceptual is not None
        values["lpips"] = perceptual(image, target).item()
    return values
