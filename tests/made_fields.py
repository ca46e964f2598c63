"""Fields made by hand, whose surface, colours and labels are known."""

import torch

from configs.data_configs import get_camera_preset

RADIUS = 0.06
SKIN, HAIR = 1, 2


class Ball:
    """A ball around the origin: its upper half is red and HAIR, the lower one green and SKIN.

    slope: of the density, per world unit; the field has its surface, density zero, at `RADIUS`. wall: also a wall of
    background that touches the ball from behind. labels: whether it knows them.
    """

    def __init__(self, slope=2e5, wall=False, labels=True, preset="CelebAMask_HQ", radius=RADIUS):
        self.slope, self.wall, self.knows, self.radius = slope, wall, labels, radius
        self.preset = get_camera_preset(preset)
        self.asked = 0

    def density(self, points):
        self.asked += len(points)
        inside = self.radius - points.norm(dim=1)
        if self.wall:
            inside = torch.maximum(inside, -self.radius / 2 - points[:, 2])
        return (inside * self.slope).clamp(-900, 900)

    def appearance(self, points):
        upper = points[:, 1] > 0
        rgb = torch.stack([upper, ~upper, torch.zeros_like(upper)], 1).float()
        background = ((points.norm(dim=1) - self.radius) * 1e4 + 5).clamp(-10, 20)
        logits = torch.stack([background, torch.where(upper, -5.0, 5.0), torch.where(upper, 5.0, -5.0)], 1)
        return rgb, logits if self.knows else None


def logits_by_definition(siren, codes, head, points):
    """Label logits layer by layer, as the decoder is defined; differentiable."""
    frequency, phase = siren.modulation(codes)
    x, logits = points[None] * (2 / 0.24), head.bias.to(points)
    for index, film in enumerate(siren.network):
        x = film(x, frequency[:, index], phase[:, index])
        if index in head.layers:
            logits = logits + x[0] @ head.by_layer[index].to(points).t()
    return logits
