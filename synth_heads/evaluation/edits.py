"""Where an image changes when its mask is edited: every edited mask sample beside its original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from datasets.masks.maps import merge_labels
from evaluation.rendering import RenderSettings, load_model
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from synth_heads.data.dataset import camera_angles
from synth_heads.data.samples import SAMPLES
from utils.images import to_uint8

SAMPLES_FOLDER = Path(__file__).resolve().parents[2] / "data/CelebAMask-HQ/mask_samples"
EDIT_MARGIN = 8  # pixels around an edited region, at 128 px

Image = UInt8[np.ndarray, "size size 3"]


@dataclass(frozen=True)
class Edit:
    """One edit: the fraction of the change of the image that lies in the edited region, and what there is to see."""

    fraction: float
    masks: tuple[Image, Image]      # before and after, in the colours of their labels
    images: tuple[Image, Image]


def render_edits(settings: RenderSettings) -> dict[str, Edit]:
    """All edits of the bundled mask samples, by name.

    Raises:
        UserError: a mask cannot be read.
    """
    net, out = load_model(settings.checkpoint, settings.model), {}
    for sample in SAMPLES:
        camera = Camera(*camera_angles(sample.pose_deg).tolist())
        for edit in sample.edits:
            name = f"{sample.identity}_{edit}"
            before, after = (net.input.labels(SAMPLES_FOLDER / f"{stem}.png") for stem in (sample.identity, name))
            out[name] = examine_edit(net, before, after, camera, settings)
    return out


@torch.no_grad()
def examine_edit(net: Sem2NeRF, before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"], camera: Camera,
                 settings: RenderSettings) -> Edit:
    """Render both masks and compare; the edited region is grown by 8 pixels at 128 pixels."""
    size = settings.size
    first, second = (net.scene(mask).render(camera, size, settings.samples, sampler=settings.sampler).rgb
                     for mask in (before, after))
    frame, space = net.input.transform.at(size), net.input.space
    seen = [frame.apply(merge_labels(mask, space)) for mask in (before, after)]
    region = edited_region(*seen, margin=round(EDIT_MARGIN * size / 128))
    one, other = (net.input.painted(net.input.prepare(mask), size) for mask in (before, after))
    inside = change_inside(first, second, torch.from_numpy(region))
    return Edit(inside, (one, other), (to_uint8(first), to_uint8(second)))


def edited_region(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"], margin: int
                  ) -> Bool[np.ndarray, "h w"]:
    """Where two masks differ, grown by a disc of `margin` pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    return cv2.dilate((before != after).astype(np.uint8), disc).astype(bool)


def change_inside(before: Float[Tensor, "3 h w"], after: Float[Tensor, "3 h w"], region: Bool[Tensor, "h w"]) -> float:
    """Fraction of the absolute difference of two images that lies in a region; 0 for equal images."""
    change = (before - after).abs().sum(0)
    total = change.sum().item()
    return change[region].sum().item() / total if total else 0.0
