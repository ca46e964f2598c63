"""Does a model do what it should? Numbers of a face model on heads whose truth is known.

    scores = examine_head(net, parser, trial, wrong_codes)     # one head
    scores = examine_views(net, parser, trial)                 # the same without the comparisons
    scores = examine_edit(net, before, after, pose)            # one edited mask
    scores = examine_styles(net, parser, trial)                # one head in six styles

`summary` makes the table. Images are compared in the fixed palette, which a mask determines; see
`synth_heads.evaluation.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from configs.label_spaces import LABEL_SPACES
from datasets.masks.maps import MaskTransform, merge_labels, network_input
from evaluation.face_segmentation.registry import Parser
from evaluation.metrics.diversity import STYLES, diversity, l2
from evaluation.metrics.image_quality import depth_error, match_label_colours, psnr
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.sem2nerf import Sem2NeRF
from synth_heads.evaluation.trials import Trial
from synth_heads.generator.renderer import HeadView
from synth_heads.losses.known_codes import SHAPE_LAYERS
from utils.images import to_tensor

SPACE = LABEL_SPACES["CelebAMask_HQ"]
CLASSES = len(SPACE.merged)
STYLE_LAYERS = (6, 7, 8)
DECODER_SIZE = 64  # pixels of the decoder's own figure
SAMPLES = 24
EDIT_MARGIN = 8  # pixels around an edited region, at 128 px
SIDES = ("own", "novel")


@dataclass
class Tally:
    """What has been measured so far; tallies of several processes add up."""

    values: dict[str, list[float]] = field(default_factory=dict)
    confusions: dict[str, Int[Tensor, "classes classes"]] = field(default_factory=dict)
    predicted_codes: list[Float[np.ndarray, " codes"]] = field(default_factory=list)  # of the shape layers
    true_codes: list[Float[np.ndarray, " codes"]] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def parsed(self, name: str, parsed: UInt8[Tensor, "h w"], truth: UInt8[np.ndarray, "h w"]) -> None:
        counts = confusion_matrix(parsed, torch.from_numpy(truth), CLASSES)
        self.confusions[name] = self.confusions.get(name, torch.zeros_like(counts)) + counts

    def merge(self, other: Tally) -> None:
        for name, values in other.values.items():
            self.values.setdefault(name, []).extend(values)
        for name, counts in other.confusions.items():
            self.confusions[name] = self.confusions.get(name, torch.zeros_like(counts)) + counts
        self.predicted_codes += other.predicted_codes
        self.true_codes += other.true_codes


def encode(net: Sem2NeRF, mask: UInt8[np.ndarray, "h w"], transform: MaskTransform) -> Codes:
    """Codes that a model with merged labels, with contours or without, reads from a mask on disk."""
    x = network_input(mask, SPACE, merged=True, transform=transform, use_contour=net.config.input_nc > CLASSES)
    return net.encode(torch.from_numpy(x)[None])


def image(view: HeadView) -> Float[Tensor, "3 h w"]:
    """A rendered head's colours in [-1, 1]."""
    return to_tensor(view.rgb)


@torch.no_grad()
def examine_head(net: Sem2NeRF, parser: Parser, trial: Trial, wrong: Codes, transform: MaskTransform, size: int,
                 sampler: str = "auto") -> tuple[Tally, list[Float[Tensor, "3 h w"]]]:
    """Everything about one head, and its rendered views.

    Args:
        wrong: codes of another head's mask.
        size: pixels of the views, those of the trial.
    """
    tally, images = examine_views(net, parser, trial, transform, size, sampler)
    camera, target = Camera(*trial.angles[0].tolist()), image(trial.views[0])
    known = net.siren.mapping_network(torch.from_numpy(trial.z)[None])
    view = net.scene_of(known).render(camera, size, SAMPLES, sampler=sampler)
    # both reduced alike: a pixel of the truth is the mean of its area, not the colour of its middle
    both = F.interpolate(torch.stack([view.rgb, image(trial.free)]), (DECODER_SIZE,) * 2, mode="bilinear",
                         antialias=True)
    tally.add("decoder_psnr", psnr(*both))

    other = net.scene_of(wrong).render(camera, size, SAMPLES, sampler=sampler)
    tally.add("shuffled_psnr", psnr(other.rgb, target))
    tally.parsed("shuffled", parser.segment(other.rgb[None])[0], merge_labels(trial.views[0].labels, SPACE))
    return tally, images


@torch.no_grad()
def examine_views(net: Sem2NeRF, parser: Parser, trial: Trial, transform: MaskTransform, size: int,
                  sampler: str = "auto") -> tuple[Tally, list[Float[Tensor, "3 h w"]]]:
    """What a model makes of one head's mask: its codes, and all views of the trial, which are returned too."""
    tally, codes = Tally(), encode(net, trial.mask, transform)
    known = net.siren.mapping_network(torch.from_numpy(trial.plain_z)[None])
    tally.predicted_codes.append(shape_codes(codes, net.config.width))
    tally.true_codes.append(shape_codes(known, net.config.width))

    scene, images = net.scene_of(codes), []
    for index, (pose, truth) in enumerate(zip(trial.angles.tolist(), trial.views, strict=True)):
        side = SIDES[min(index, 1)]
        view = scene.render(Camera(*pose), size, SAMPLES, sampler=sampler)
        labels, target = merge_labels(truth.labels, SPACE), image(truth)
        head = torch.from_numpy(np.isfinite(truth.depth))
        tally.add(f"{side}_psnr", psnr(view.rgb, target))
        tally.add(f"{side}_psnr_matched", psnr(match_label_colours(view.rgb, target, torch.from_numpy(labels)), target))
        tally.add(f"{side}_depth_error", depth_error(view.depth, torch.from_numpy(truth.depth), head))
        tally.parsed(side, parser.segment(view.rgb[None])[0], labels)
        if index == 0:
            tally.parsed("truth", parser.segment(target[None])[0], labels)
        images.append(view.rgb)
    return tally, images


@torch.no_grad()
def examine_styles(net: Sem2NeRF, parser: Parser, trial: Trial, transform: MaskTransform, size: int,
                   sampler: str = "auto") -> tuple[Tally, list[Float[Tensor, "3 h w"]]]:
    """One mask in its own and in six random styles: how much colours change, and that the labels stay."""
    tally, codes = Tally(), encode(net, trial.mask, transform)
    labels, camera = merge_labels(trial.views[0].labels, SPACE), Camera(*trial.angles[0].tolist())
    images = []
    for seed in range(STYLES + 1):
        styled = codes if seed == 0 else net.styled(codes, seed, STYLE_LAYERS)
        view = net.scene_of(styled).render(camera, size, SAMPLES, sampler=sampler)
        tally.parsed("styled" if seed else "unstyled", parser.segment(view.rgb[None])[0], labels)
        images.append(view.rgb)
    tally.add("style_l2", diversity(torch.stack(images[1:]), l2))
    return tally, images


@torch.no_grad()
def examine_edit(net: Sem2NeRF, before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"], camera: Camera,
                 transform: MaskTransform, size: int, sampler: str = "auto"
                 ) -> tuple[float, list[Float[Tensor, "3 size size"]]]:
    """BatchShard of the change of the image that lies in the edited region, grown by 8 px at 128 px; and both images."""
    images = [net.scene_of(encode(net, mask, transform)).render(camera, size, SAMPLES, sampler=sampler).rgb
                for mask in (before, after)]
    frame = transform.at(size)
    region = edited_region(*(frame.apply(merge_labels(mask, SPACE)) for mask in (before, after)),
                           margin=round(EDIT_MARGIN * size / 128))
    return change_inside(*images, torch.from_numpy(region)), images


def edited_region(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"], margin: int
                  ) -> np.ndarray:
    """Where two masks differ, grown by a disc of `margin` pixels; bool (h, w)."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    return cv2.dilate((before != after).astype(np.uint8), disc).astype(bool)


def change_inside(before: Float[Tensor, "3 h w"], after: Float[Tensor, "3 h w"], region: Tensor) -> float:
    """BatchShard of the absolute difference of two images that lies in a region; 0 for equal images."""
    change = (before - after).abs().sum(0)
    total = change.sum().item()
    return change[region].sum().item() / total if total else 0.0


def shape_codes(codes: Codes, width: int) -> Float[np.ndarray, " codes"]:
    """Frequencies and phase shifts of the shape layers of one scene."""
    columns = slice(0, SHAPE_LAYERS * width)
    return torch.cat([codes.frequencies[0, columns], codes.phase_shifts[0, columns]]).numpy()


def code_spread(predicted: Sequence[Float[np.ndarray, " codes"]], true: Sequence[Float[np.ndarray, " codes"]]) -> float:
    """Spread of the predicted codes over their masks, as a fraction of that of the true codes over the same heads.

    The spread is the standard deviation, averaged over the entries.
    """
    return float(np.stack(predicted).std(0).mean() / np.stack(true).std(0).mean())


def summary(tally: Tally, edits: Mapping[str, float] = MappingProxyType({})) -> dict[str, float]:
    """All figures by name; PSNR in dB, depth errors and shares as fractions."""
    means = {name: float(np.mean(values)) for name, values in sorted(tally.values.items())}
    scores = {name: segmentation_score(counts) for name, counts in sorted(tally.confusions.items())}
    figures = {**means, "code_spread": code_spread(tally.predicted_codes, tally.true_codes),
               "novel_loss": means["own_psnr_matched"] - means["novel_psnr_matched"]}
    if "shuffled_psnr" in means:
        figures["shuffled_loss"] = means["own_psnr"] - means["shuffled_psnr"]
    for name, score in scores.items():
        figures |= {f"{name}_miou": score.miou, f"{name}_accuracy": score.pixel_accuracy}
    if "styled" in scores:
        figures["style_miou_loss"] = scores["unstyled"].miou - scores["styled"].miou
    if edits:
        figures |= {"edit_share_least": min(edits.values()), "edit_share_mean": float(np.mean(list(edits.values())))}
    return figures
