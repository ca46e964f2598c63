"""Agreement of the label maps of neighbouring views, on a surface made by hand."""

import numpy as np
import torch

from evaluation.metrics.semantic import agreement
from evaluation.rendering import SavedViews
from models.pigan.cameras import Camera, camera_rays


def test_neighbouring_label_maps_agree_where_they_show_one_surface():
    """A sphere of two labels, split by the plane x = 0: all agrees; in swapped colours nothing does."""
    camera, other, size = Camera(1.5), Camera(1.6), 48

    def seen(camera, swap=False):
        origin, directions = camera_rays(camera, size, 12.0)
        along = directions @ origin
        inside = along**2 - (origin @ origin - 0.09**2)
        depth = (-along - inside.clamp(min=0).sqrt()).reshape(1, size, size)
        points = origin + directions * depth.reshape(-1, 1)
        labels = ((points[:, 0] > 0) ^ swap).to(torch.uint8).reshape(1, size, size)
        opacity = (inside > 0).float().reshape(1, size, size)
        return SavedViews(torch.zeros(1, 3, size, size), depth, opacity, labels)

    assert agreement(seen(camera), seen(other), camera, other, 12.0) > 0.98
    assert agreement(seen(camera), seen(other, swap=True), camera, other, 12.0) < 0.02
    nothing = seen(other)
    assert np.isnan(agreement(seen(camera), SavedViews(nothing.rgb, nothing.depth, nothing.opacity * 0, nothing.labels),
                              camera, other, 12.0))
