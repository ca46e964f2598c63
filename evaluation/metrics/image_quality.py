"""How near a rendered image or depth map is to the true one. Images are RGB in [-1, 1].

    psnr(image, target), ssim(image, target)                   # dB; 1 for equal images
    psnr(match_label_colours(image, target, labels), target)     # blind to each part's mean colour
    depth_error(depth, true_depth, head)                           # median error as a fraction of the head's depth
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from evaluation.metrics.registry import Evaluation, Metric, MetricAccumulator
from utils.images import from_bytes

PEAK = 2.0                            # of images in [-1, 1]
SSIM_SIDE, SSIM_SIGMA = 11, 1.5       # window, pixels
SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)    # of MS-SSIM, from fine to coarse
SSIM_C1, SSIM_C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def psnr(image: Float[Tensor, "*channels height width"], target: Float[Tensor, "*channels height width"],
         valid: Bool[Tensor, "height width"] | None = None) -> float:
    """10 log10(peak^2 / mean squared error) in dB, over the pixels of `valid`; inf for equal images.

    Raises:
        ValueError: no pixel is valid.
    """
    squares = (image - target).double().square()
    if valid is not None:
        squares = squares[..., valid]
    if not squares.numel():
        raise ValueError("no pixel to compare")
    error = squares.mean().item()
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ssim(image: Float[Tensor, "3 height width"], target: Float[Tensor, "3 height width"]) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004): Gaussian window of 11 pixels, mean over where it fits.

    Raises:
        ValueError: a side is shorter than the window.
    """
    return _similarity(image.double(), target.double())[0]


def ms_ssim(image: Float[Tensor, "3 height width"], target: Float[Tensor, "3 height width"]) -> float:
    """SSIM over five scales (Wang et al., "Multiscale structural similarity for image quality assessment", 2003).

    The product of the mean contrast and structure at each scale, and of SSIM at the coarsest, to the published powers;
    from scale to scale images are averaged over 2 x 2 pixels. What is not alike at all (negative) counts as 0.

    Raises:
        ValueError: a side is shorter than 176 pixels, so that the window does not fit at the coarsest scale.
    """
    a, b, factors = image.double(), target.double(), []
    if min(a.shape[1:]) < SSIM_SIDE * 2 ** (len(SCALE_POWERS) - 1):
        raise ValueError(f"MS-SSIM needs images of {SSIM_SIDE * 2 ** (len(SCALE_POWERS) - 1)} pixels or more, got "
                         f"{tuple(a.shape[1:])}")
    for scale, power in enumerate(SCALE_POWERS):
        whole, contrast = _similarity(a, b)
        factors.append(max(whole if scale == len(SCALE_POWERS) - 1 else contrast, 0.0) ** power)
        a, b = (F.avg_pool2d(x, 2) for x in (a, b))
    return math.prod(factors)


def _similarity(a: Float[Tensor, "3 height width"], b: Float[Tensor, "3 height width"]) -> tuple[float, float]:
    """Mean SSIM, and its mean factor of contrast and structure."""
    if min(a.shape[1:]) < SSIM_SIDE:
        raise ValueError(f"SSIM needs images of {SSIM_SIDE} pixels or more, got {tuple(a.shape[1:])}")
    line = torch.arange(SSIM_SIDE, dtype=torch.float64) - SSIM_SIDE // 2
    line = torch.exp(-line.square() / (2 * SSIM_SIGMA**2))
    window = torch.outer(line, line).div(line.sum() ** 2).expand(3, 1, -1, -1)

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values, window.to(values), groups=3)

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) + mean(b * b) - mean_a**2 - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + SSIM_C1) / (mean_a**2 + mean_b**2 + SSIM_C1)
    contrast = (2 * covariance + SSIM_C2) / (variances + SSIM_C2)
    return (light * contrast).mean().item(), contrast.mean().item()


def match_label_colours(
    image: Float[Tensor, "3 height width"], target: Float[Tensor, "3 height width"],
    labels: Int[Tensor, "height width"] | UInt8[Tensor, "height width"],
) -> Float[Tensor, "3 height width"]:
    """`image` with each label's mean colour moved to that of `target`: a mask does not say what colour a part has.

    Nothing is cut off, so that what is left of the difference is that of shape and shading.
    """
    matched = image.clone()
    for label in labels.unique():
        part = labels == label
        matched[:, part] += (target[:, part].mean(1) - image[:, part].mean(1))[:, None]
    return matched


def depth_error(depth: Float[Tensor, "height width"], truth: Float[Tensor, "height width"],
                head: Bool[Tensor, "height width"]) -> float:
    """Median absolute error over the pixels of `head`, as a fraction of the head's depth in this view.

    The head's depth is the range of the true distances, without the nearest and the farthest percent of its pixels.

    Raises:
        ValueError: the head has no pixel or no depth.
    """
    distances = truth[head].double()
    if not len(distances):
        raise ValueError("no pixel of the head to compare")
    extent = (distances.quantile(0.99) - distances.quantile(0.01)).item()
    if not 0 < extent < math.inf:
        raise ValueError(f"the true depth of the head's pixels must be finite and not flat, its range is {extent}")
    return (depth[head].double() - distances).abs().median().item() / extent


def quality(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """PSNR, SSIM, PSNR after matching each label's mean colour; LPIPS and depth error where these can be had."""
    tests, perceptual, results = evaluation.tests, evaluation.networks.perceptual, {}
    for kind in tests.sides:
        means = MetricAccumulator()
        for index in tests.numbers(f"comparing with true images, {kind} poses"):
            views = tests.views(kind, index)
            for image, depth, true in zip(views.rgb, views.depth, tests.truth(kind, index), strict=True):
                target = from_bytes(true.pixels)
                matched = match_label_colours(image, target, true.labels)
                means.add(psnr=psnr(image, target), ssim=ssim(image, target), psnr_matched=psnr(matched, target))
                if perceptual is not None:
                    means.add(lpips=float(perceptual(image[None], target[None])))
                if true.depth is not None:
                    means.add(depth_error=depth_error(depth, true.depth, true.depth.isfinite()))
        results |= evaluation.named(kind, means.result())
    if perceptual is None:
        evaluation.notes.append("psnr: without LPIPS, since its AlexNet is not there (see pretrained_models/README.md)")
    if not tests.has_depth:
        evaluation.notes.append("psnr: without depth, which this data set does not have")
    return results


METRIC = Metric(
    needs={"psnr": ("photographs",)}, wants=("lpips",), views=("own", "novel"), compute=quality,
    scores={
        "psnr": ("PSNR to the true image, dB", "higher"),
        "psnr_matched": ("PSNR after matching each label's mean colour, dB", "higher"),
        "ssim": ("SSIM to the true image", "higher"),
        "lpips": ("LPIPS to the true image", "lower"),
        "depth_error": ("depth, median error as a fraction of the head's depth", "lower"),
    })
