"""One training step as a function of a batch and explicit random draws.

    step = TrainStep(net, discriminator, perceptual, weights, rendering)
    generator = step.generator_losses(batch, draws)      # generator.total.backward(), step the encoder
    judge = step.discriminator_losses(generator)         # judge.total.backward(), step the discriminator
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from criteria.adversarial import fake_loss, r1_penalty, real_loss
from criteria.w_norm import w_norm
from models.pigan.codes import Codes
from models.pigan.render import RayNoise, render_rays
from models.sem2nerf import Sem2NeRF
from synth_heads.losses.edits import edit_error
from synth_heads.losses.known_codes import known_distances
from training.patches import sample_image
from training.rays import patch_rays

R1_WEIGHT = 10.0


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms of the loss; a term of weight 0 is not computed."""

    l2: float = 1.0
    l1: float = 0.0
    lpips: float = 0.8
    w_norm: float = 0.005
    dis: float = 0.08  # the adversarial term; also the factor of the discriminator's own loss
    latent: float = 0.0  # distance from the codes that the data set carries
    z: float = 0.0  # distance from the z of those codes, of an encoder that predicts one
    edit: float = 0.0  # error of what an edit changes, in images and (times `z`) in z; samples come in pairs

    @property
    def known(self) -> tuple[str, ...]:
        """Which distances from the data set's own codes count, see `known_distances`."""
        return tuple(name for name in ("latent", "z") if getattr(self, name))

    @property
    def known_edits(self) -> tuple[str, ...]:
        """The same for what an edit changes."""
        return ("edit_z",) if self.edit and self.z else ()

    def of(self, name: str) -> float:
        """The factor of one of these distances."""
        return self.edit * self.z if name == "edit_z" else getattr(self, name)

    @property
    def needs_rendering(self) -> bool:
        """Whether any term looks at a image."""
        return bool(self.l2 or self.l1 or self.lpips or self.dis)


@dataclass(frozen=True)
class Rendering:
    """How training renders."""

    samples: int = 28  # points a ray
    hierarchical: bool = False  # a second pass with as many samples where the first one saw something
    lock_view_dependence: bool = False
    chunk: int = 0  # evaluate the field for so many points at a time and again in the backward pass; 0: all at once


@dataclass(frozen=True)
class Batch:
    """What a step learns from, on the training device."""

    masks: Float[Tensor, "batch channels size size"]  # network input
    images: Float[Tensor, "batch 3 height width"]  # photographs in [-1, 1]
    poses: Float[Tensor, "batch 2"]  # yaw, pitch of the photographs, radians
    latents: Float[Tensor, "batch zdim"] | None = None  # codes of the photographed heads, where they are known


@dataclass(frozen=True)
class StepNoise:
    """The random part of a step, on the training device."""

    grid: Float[Tensor, "batch rows columns 2"]  # which rays of the image are rendered
    noise: RayNoise  # (batch, rows * columns, samples) each
    extreme_poses: Float[Tensor, "batch 2"] | None = None  # in place of the photographs' poses; None: their own
    drop_paths: Float[Tensor, "batch layers"] | None = None  # for stochastic depth; None: nothing is dropped


@dataclass(frozen=True)
class Losses:
    """The weighted sum to differentiate, and its terms (detached) by the name they are logged under."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class GeneratorLosses(Losses):
    """With the images, for the discriminator and for looking at."""

    rendered: Float[Tensor, "batch 3 rows columns"] | None  # in [-1, 1], detached; None if no term looks at it
    target: Float[Tensor, "batch 3 rows columns"]
    condition: Float[Tensor, "batch channels rows columns"] | None  # of a conditional discriminator


class PatchGenerator(nn.Module):
    """Masks and rays -> images and codes: everything that trains, in one forward pass (what DDP wraps).

    With `amp` the encoder computes in bfloat16.
    """

    def __init__(self, net: Sem2NeRF, rendering: Rendering, amp: bool = False) -> None:
        super().__init__()
        self.net, self.rendering, self.amp = net, rendering, amp

    def forward(
        self,
        masks: Float[Tensor, "batch channels size size"],
        origins: Float[Tensor, "batch 3"] | None,
        directions: Float[Tensor, "batch rays 3"] | None,
        noise: RayNoise,
        drop_paths: Float[Tensor, "batch layers"] | None = None,
        latents: Float[Tensor, "batch zdim"] | None = None,
        known: tuple[str, ...] = (),
    ) -> tuple[Float[Tensor, "batch rays 3"] | None, Float[Tensor, "batch codes"], Float[Tensor, "batch codes"],
               dict[str, Float[Tensor, ""]]]:
        """Colours in [0, 1] (of rays, if there are any), the codes (frequencies, phase shifts), and the `known`
        distances from `latents`."""
        with torch.autocast(masks.device.type, torch.bfloat16, enabled=self.amp):
            out = self.net.encoder(masks, drop_paths)
            codes = self.net.codes_of(out)
        codes = codes.to(torch.float32)  # the field multiplies frequencies by 15: it needs all digits
        distances = known_distances(known, self.net.siren, out, codes, latents)
        rgb = None if directions is None else self._render(codes, origins, directions, noise)
        return rgb, codes.frequencies, codes.phase_shifts, distances

    def _render(self, codes: Codes, origins: Tensor, directions: Tensor, noise: RayNoise) -> Tensor:
        settings, preset = self.rendering, self.net.config.camera
        return render_rays(
            self.net.siren, codes, origins, directions,
            near=preset.ray_start, far=preset.ray_end, samples=settings.samples,
            hierarchical=settings.hierarchical, lock_view_dependence=settings.lock_view_dependence,
            last_back=preset.last_back, clamp=preset.clamp_mode, noise=noise,
            sample_chunk=max(1, settings.chunk // len(codes)) if settings.chunk > 0 else None,
        ).rgb


class DiscriminatorLoss(nn.Module):
    """The discriminator's loss in one forward pass (what DDP wraps)."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss on photographs, weighted R1 penalty on them, loss on renderings."""
        real = real.detach().requires_grad_()
        logits = self.discriminator(real, condition)
        penalty = R1_WEIGHT * r1_penalty(logits, real).mean()
        return real_loss(logits), penalty, fake_loss(self.discriminator(fake, condition))


class TrainStep:
    """Computes the losses of both sides. It holds no state of its own: modules, weights and settings only.

    Args:
        generator: a `PatchGenerator`, or one wrapped for training in parallel.
        net: the model inside it.
        discriminator: None if `weights.dis` is 0.
        discriminator_pass: a `DiscriminatorLoss` on the same discriminator, or one wrapped.
        perceptual: (image, target) -> distance; None if `weights.lpips` is 0.
    """

    def __init__(
        self,
        generator: nn.Module,
        net: Sem2NeRF,
        weights: LossWeights,
        *,
        discriminator: nn.Module | None = None,
        discriminator_pass: nn.Module | None = None,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
        conditional: bool = False,
    ) -> None:
        self.generator, self.net, self.weights = generator, net, weights
        self.discriminator, self.discriminator_pass = discriminator, discriminator_pass
        self.perceptual, self.conditional = perceptual, conditional

    def generator_losses(self, batch: Batch, draws: StepNoise, image_size: int) -> GeneratorLosses:
        """Losses of encoder (and decoder).

        At an extreme pose there is no photograph to compare with: only the discriminator and the code norm speak.

        Args:
            image_size: side of the whole image that the patch is a part of, in pixels.
        """
        poses = batch.poses if draws.extreme_poses is None else draws.extreme_poses
        origins, directions = None, None
        if self.weights.needs_rendering:
            origins, directions = patch_rays(poses, draws.grid, image_size, self.net.config.camera.fov_deg)
        rgb, frequencies, phase_shifts, distances = self.generator(
            batch.masks, origins, directions, draws.noise, draws.drop_paths,
            batch.latents, (*self.weights.known, *self.weights.known_edits))
        rendered = None if rgb is None else (rgb * 2 - 1).transpose(1, 2).unflatten(2, draws.grid.shape[1:3])
        target = sample_image(batch.images, draws.grid)
        condition = sample_image(batch.masks, draws.grid) if self.conditional else None

        weights, terms = self.weights, {}
        if draws.extreme_poses is None:
            if weights.l2:
                terms["l2"] = weights.l2, F.mse_loss(rendered, target)
            if weights.l1:
                terms["l1"] = weights.l1, F.l1_loss(rendered, target)
            if weights.lpips:
                terms["lpips"] = weights.lpips, self.perceptual(rendered, target)
            if weights.edit and weights.l2:
                terms["edit"] = weights.edit, edit_error(rendered, target)
        for name, distance in distances.items():
            terms[name] = weights.of(name), distance
        if weights.w_norm:
            terms["w_norm"] = weights.w_norm, w_norm(Codes(frequencies, phase_shifts), self.net.latent_avg)
        if weights.dis:
            terms["g"] = weights.dis, real_loss(self.discriminator(rendered, condition))
        total = torch.stack([weight * term for weight, term in terms.values()]).sum()
        named = {f"loss_{name}": term.detach() for name, (_, term) in terms.items()}
        shown = None if rendered is None else rendered.detach()
        return GeneratorLosses(total, {**named, "loss": total.detach()}, shown, target, condition)

    def discriminator_losses(self, generated: GeneratorLosses) -> Losses:
        """Losses of the discriminator on the patches of the same step."""
        real, penalty, fake = self.discriminator_pass(generated.target, generated.rendered, generated.condition)
        terms = {"d_loss_real": real, "d_loss_reg": penalty, "d_loss_fake": fake, "d_loss": real + fake}
        return Losses(self.weights.dis * (real + fake + penalty), {name: x.detach() for name, x in terms.items()})
