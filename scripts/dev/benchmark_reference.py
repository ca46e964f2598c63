"""The official release's way of computing, for comparison: the same results as this project's, laid out as it does."""

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.integration import composite
from models.pigan.sampling import importance_depths, midpoints, stratified_depths
from models.pigan.siren import LOCKED_DIRECTION
from models.sem2nerf import Sem2NeRF

OFFICIAL_BLOCK = 50_000  # points per block when it renders without gradients


def reference_view(
    net: Sem2NeRF, codes: Codes, camera: Camera, size: int, samples: int
) -> Float[Tensor, "3 size size"]:
    """The same samples and image as `Scene.render`, laid out as the official release does it.

    All points of a pass are made at once, FiLM is applied as written, in blocks of 50,000 points, with a direction per
    point; every sample is coloured in both passes.
    """
    preset = net.config.camera
    device = net.siren.final_layer.weight.device
    origin, directions = camera_rays(camera, size, preset.fov_deg, device)

    def field(depths: Tensor) -> Tensor:
        points = (origin + directions[:, None] * depths[..., None]).reshape(1, -1, 3)
        locked = torch.tensor(LOCKED_DIRECTION, device=device).expand_as(points).contiguous()
        out = torch.empty(1, points.shape[1], 4, device=device)
        for start in range(0, points.shape[1], OFFICIAL_BLOCK):
            part = slice(start, start + OFFICIAL_BLOCK)
            rgb, density = net.siren(points[:, part], codes, locked[:, part])
            out[:, part] = torch.cat([rgb, density[..., None]], -1)
        return out.reshape(*depths.shape, 4)

    with torch.no_grad():
        coarse = stratified_depths(preset.ray_start, preset.ray_end, samples,
                                   torch.full((len(directions), samples), 0.5, device=device))
        coarse_out = field(coarse)
        weights = composite(coarse_out[..., :3], coarse_out[..., 3], coarse).weights
        fine = importance_depths(coarse, weights, midpoints(samples, coarse).expand_as(coarse))
        depths, order = torch.cat([coarse, fine], 1).sort(1)
        out = torch.cat([coarse_out, field(fine)], 1).gather(1, order[..., None].expand(-1, -1, 4))
        rgb = composite(out[..., :3], out[..., 3], depths, last_back=preset.eval_last_back).rgb
        return (rgb * 2 - 1).t().reshape(3, size, size)


def reference_training_rays(
    net: Sem2NeRF,
    codes: Codes,
    origins: Float[Tensor, "batch 3"],
    directions: Float[Tensor, "batch rays 3"],
    perturbation: Float[Tensor, "batch rays samples"],
) -> Float[Tensor, "batch rays 3"]:
    """The colours of a training step: FiLM as written, all points at once, every sample coloured, plain autograd."""
    preset, shape = net.config.camera, perturbation.shape
    depths = stratified_depths(preset.ray_start, preset.ray_end, shape[-1], perturbation)
    points = origins[:, None, None] + directions[:, :, None] * depths[..., None]
    views = directions[:, :, None].expand_as(points).reshape(shape[0], -1, 3)
    rgb, density = net.siren(points.flatten(1, 2), codes, views)
    out = torch.cat([rgb, density[..., None]], -1).reshape(*shape, 4)
    return composite(out[..., :3], out[..., 3], depths, clamp=preset.clamp_mode, last_back=preset.last_back).rgb
