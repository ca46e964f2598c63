"""pi-GAN's own training (Chan et al., CVPR 2021), as functions of images and explicit random draws.

    draws = draw_fakes(seed, positions, siren.z_dim, growth.poses, size, samples)
    fakes = render_fakes(siren, draws, size, preset)
    generator_losses(discriminator, fakes, draws.poses, alpha, pose_weight).total.backward()
    discriminator_losses(discriminator, reals, fakes.detach(), draws.poses, alpha, r1, pose_weight).total.backward()

Both sides have the non-saturating logistic loss; R1 keeps the discriminator smooth where photographs are; and the
discriminator guesses the camera of each rendering, which the generator must make possible: images of a head that does
not turn with its camera would not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from configs.data_configs import CameraPreset
from criteria.adversarial import fake_loss, r1_penalty, real_loss
from models.pigan.cameras import FRONTAL, pose_rays
from models.pigan.fast.render import render_rays
from models.pigan.sampling import RayNoise
from models.pigan.siren import FilmSiren
from pretraining.progressive_discriminator import ProgressiveDiscriminator
from pretraining.schedule import PoseDistribution
from training.step import Losses
from training.step_noise import FAKE, generator_at


@dataclass(frozen=True)
class FakeDraws:
    """What some renderings show, from where, and how their rays are sampled."""

    z: Float[Tensor, "batch zdim"]
    poses: Float[Tensor, "batch 2"]  # yaw, pitch, radians
    noise: RayNoise  # (batch, size * size, samples) each
    samples: int  # per ray, in each of two passes


def draw_fakes(seed: int, positions: Sequence[int], z_dim: int, poses: PoseDistribution, size: int, samples: int
               ) -> FakeDraws:
    """One rendering for each position in the run, whose numbers depend on the seed and that position alone."""
    parts: list[list[Tensor]] = []
    for position in positions:
        generator = generator_at(seed, FAKE, position)
        z, pose = torch.randn(z_dim, generator=generator), poses.draw(generator)
        parts.append([z, pose, *torch.rand(2, size * size, samples, generator=generator)])
    z, pose, perturbation, importance = (torch.stack(column) for column in zip(*parts, strict=True))
    return FakeDraws(z, pose, RayNoise(perturbation, importance), samples)


def kept_share(step: int) -> float:
    """Of a part's renderings, which the generator learns from: all at first, at last the 60% that look most real (Sinha
    et al., "Top-k Training of GANs", NeurIPS 2020)."""
    return max(0.99 ** (step / 2000), 0.6)


def render_fakes(siren: FilmSiren, draws: FakeDraws, size: int, preset: CameraPreset
                 ) -> Float[Tensor, "batch 3 size size"]:
    """Images in [-1, 1], differentiable; the colour depends on the view, and a second pass of samples goes where the
    first one saw something. What stays transparent is black, as published, whatever the preset says of the encoder's
    training."""
    device = siren.final_layer.weight.device
    z, poses = (value.to(device, non_blocking=True) for value in (draws.z, draws.poses))
    origins, directions = pose_rays(poses, size, preset.fov_deg)
    rgb = render_rays(siren, siren.mapping_network(z), origins, directions, near=preset.ray_start, far=preset.ray_end,
                      samples=draws.samples, hierarchical=True, lock_view_dependence=False, last_back=False,
                      clamp=preset.clamp_mode, noise=draws.noise.to(device)).rgb
    return (rgb * 2 - 1).transpose(1, 2).unflatten(2, (size, size))


def generator_losses(discriminator: ProgressiveDiscriminator, fakes: Float[Tensor, "batch 3 size size"],
                     poses: Float[Tensor, "batch 2"], alpha: float, pose_weight: float, kept: float = 1.0) -> Losses:
    """Renderings should look real (only the best count, see `kept_share`), and show from where they are taken."""
    output = discriminator(fakes, alpha)
    best = output.logit.topk(math.ceil(kept * len(fakes))).values
    terms = {"g_loss": real_loss(best), "g_pose": F.mse_loss(output.pose, poses - FRONTAL)}
    return Losses(terms["g_loss"] + pose_weight * terms["g_pose"], _detached(terms))


def discriminator_losses(discriminator: ProgressiveDiscriminator, reals: Float[Tensor, "batch 3 size size"],
                         fakes: Float[Tensor, "batch 3 size size"], poses: Float[Tensor, "batch 2"], alpha: float,
                         r1_weight: float, pose_weight: float) -> Losses:
    """Photographs from renderings, with r1_weight / 2 * R1 on the photographs; and the cameras of the renderings."""
    reals = reals.detach().requires_grad_()
    real_logit = discriminator(reals, alpha).logit
    output = discriminator(fakes, alpha)
    terms = {"d_loss_real": real_loss(real_logit), "d_loss_reg": r1_weight / 2 * r1_penalty(real_logit, reals).mean(),
             "d_loss_fake": fake_loss(output.logit), "d_pose": F.mse_loss(output.pose, poses - FRONTAL)}
    total = terms["d_loss_real"] + terms["d_loss_reg"] + terms["d_loss_fake"] + pose_weight * terms["d_pose"]
    return Losses(total, _detached(terms))


def _detached(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: term.detach() for name, term in terms.items()}
