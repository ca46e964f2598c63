"""Do neighbouring views of a scene show one and the same surface?

    first, second = (scene.render(camera, 128) for camera in (camera_a, camera_b))
    result = reprojection(as_seen(first, camera_a), as_seen(second, camera_b), fov_deg=12)
    result.error, result.share, result.depth_error

Each pixel of the first view is put into space by its depth and looked for in the second. A true 3D scene without shine
has nearly the same colour there; a generator that paints each view anew has not. It needs no ground truth and no
network. A blurred or grey scene scores well, too: read it beside the other metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from evaluation.metrics.registry import Evaluation, Metric, MetricAccumulator
from evaluation.rendering import poses_of
from models.pigan.cameras import Camera, camera_rays, project, sample_image
from models.scene import View

OPAQUE = 0.9        # opacity from which a pixel has a surface
ROUNDING = 1e-4     # of positions, in half widths of an image
TOLERANCE = 0.02    # of a distance, world units (a head is about .25 deep): farther apart, something else is in front


@dataclass(frozen=True)
class SeenView:
    """One rendered image and where it was seen from."""

    camera: Camera
    rgb: Float[Tensor, "3 size size"]        # in [-1, 1]
    depth: Float[Tensor, "size size"]        # distance along the ray, world units
    surface: Bool[Tensor, "size size"]       # pixels that show a surface


@dataclass(frozen=True)
class Reprojection:
    """Agreement of two views."""

    error: float          # mean absolute difference of the colours in [-1, 1]; nan if no surface is in both views
    depth_error: float    # mean absolute difference of the distances, world units; the same
    share: float          # of the first view's surface pixels that the second view shows, too


def as_seen(view: View, camera: Camera, opaque: float = OPAQUE) -> SeenView:
    """A view of a scene with its camera."""
    return SeenView(camera, view.rgb, view.depth, view.opacity >= opaque)


def reprojection(first: SeenView, second: SeenView, fov_deg: float, tolerance: float = TOLERANCE) -> Reprojection:
    """Move the surface pixels of the first view into the second and compare.

    Left out is what lies outside of the second image, where that has no surface, and where it sees a distance that
    differs by more than `tolerance` (something is in front).

    Args:
        fov_deg: field of view of cameras that have none of their own.
    """
    points = surface_points(first.depth, first.surface, first.camera, fov_deg)
    place, distance = project(points, second.camera, fov_deg)

    def look_up(planes: Tensor) -> Tensor:
        """Bilinear, (planes, height, width) at (points, 2) -> (planes, points)."""
        return sample_image(planes[None], place[None, None])[0, :, 0]

    inside = (place.abs() <= 1 + ROUNDING).all(1)
    whole = look_up(second.surface[None].float())[0] >= 1 - ROUNDING  # all four neighbours are surface
    gap = (look_up(second.depth[None])[0] - distance).abs()
    seen = inside & whole & (gap <= tolerance)
    if not seen.any():
        return Reprojection(math.nan, math.nan, 0.0)
    difference = (look_up(second.rgb) - first.rgb[:, first.surface]).abs().mean(0)
    return Reprojection(difference[seen].mean().item(), gap[seen].mean().item(), seen.double().mean().item())


def surface_points(
    depth: Float[Tensor, "size size"], surface: Bool[Tensor, "size size"], camera: Camera, fov_deg: float
) -> Float[Tensor, "points 3"]:
    """World positions of the surface pixels, row by row."""
    origin, directions = camera_rays(camera, len(depth), fov_deg)
    return origin + directions[surface.flatten()] * depth[surface][:, None]


def consistency(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """Reprojection of each mask's own view into its neighbour."""
    means, tests = MetricAccumulator(), evaluation.tests
    for index in tests.numbers("comparing neighbouring views"):
        mask, seen = tests.data.masks[index], []
        for kind in ("own", "near"):
            view = tests.views(kind, index)
            camera, surface = Camera(*poses_of(kind, mask)[0]), view.opacity[0] >= OPAQUE
            seen.append(SeenView(camera, view.rgb[0], view.depth[0], surface))
        result = reprojection(seen[0], seen[1], evaluation.fov_deg)
        means.add(view_error=result.error, view_depth_error=result.depth_error, view_share=result.share)
    return means.result()


METRIC = Metric(
    needs={"view_consistency": ()}, views=("own", "near"), compute=consistency,
    scores={
        "view_error": ("reprojection error of colours in [-1, 1] between neighbouring views", "lower"),
        "view_depth_error": ("reprojection error of the depth, world units", "lower"),
        "view_share": ("fraction of a view's surface that its neighbour shows", ""),
    })
