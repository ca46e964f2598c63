"""One training step as a function of a batch and explicit random numbers.

    step = TrainStep(PatchGenerator(net, Rendering()), net, weights, perceptual=perceptual)
    generated = step.generator_losses(batch, noise, image_size)   # generated.total.backward(), step the encoder
    losses = step.discriminator_losses(generated)                 # losses.total.backward(), step the discriminator
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from criteria.adversarial import fake_loss, r1_penalty, real_loss
from criteria.w_norm import w_norm
from models.pigan.cameras import patch_rays, sample_image
from models.pigan.codes import Codes
from models.pigan.fast.render import render_rays
from models.pigan.sampling import RayNoise
from models.sem2nerf import Sem2NeRF

R1_WEIGHT = 10.0


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms of the loss; a term of weight 0 is not computed."""

    l2: float = 1.0
    l1: float = 0.0
    lpips: float = 0.8
    w_norm: float = 0.005
    dis: float = 0.08  # the adversarial term; also the factor of the discriminator's own loss

    @property
    def needs_rendering(self) -> bool:
        """Whether any term looks at an image."""
        return bool(self.l2 or self.l1 or self.lpips or self.dis)


@dataclass(frozen=True)
class Rendering:
    """How training renders."""

    samples: int = 28  # per ray, where the noise does not say it
    hierarchical: bool = False  # a second pass with as many samples, near the surfaces that the first one found
    lock_view_dependence: bool = False
    precision: str = "fp32"  # of the frozen field's products: fp32, tf32 or bf16
    chunk: int = 0  # points evaluated at a time, and once more in the backward pass; 0: all at once, once


@dataclass(frozen=True)
class Batch:
    """What a step learns from, on the training device."""

    masks: Float[Tensor, "batch channels size size"]  # network input
    images: Float[Tensor, "batch 3 height width"]  # photographs in [-1, 1]
    poses: Float[Tensor, "batch 2"]  # yaw, pitch of the photographs, radians
    extra: Mapping[str, Tensor] = field(default_factory=dict)  # what else the data set gives, for extra losses


@dataclass(frozen=True)
class StepNoise:
    """The random part of a step, on the training device."""

    grid: Float[Tensor, "batch rows columns 2"]  # which rays of the image are rendered
    noise: RayNoise  # (batch, rows * columns, samples) each
    extreme_poses: Float[Tensor, "batch 2"] | None = None  # in place of the photographs' poses; None: their own
    own_pose: Int[Tensor, " own"] | None = None  # which samples keep their photograph's pose though others do not
    drop_paths: Float[Tensor, "batch layers"] | None = None  # for stochastic depth; None: nothing is dropped


@dataclass(frozen=True)
class StepOutput:
    """What a step computed, for the losses that a caller adds."""

    batch: Batch
    encoder_output: Float[Tensor, "batch out"]  # of the encoder's head
    codes: Codes  # what that stands for
    # patches in [-1, 1] of the samples at their photographs' poses, and of the photographs; None: no such sample
    rendered: Float[Tensor, "own 3 rows columns"] | None
    target: Float[Tensor, "own 3 rows columns"] | None


# name -> weight and value: the loss is the weighted sum, the values are logged as `loss_<name>`
Terms = Mapping[str, tuple[float, Float[Tensor, ""]]]
ExtraLoss = Callable[[StepOutput], Terms]


@dataclass(frozen=True)
class Losses:
    """The weighted sum to differentiate, and its terms (detached) by the name they are logged under."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class GeneratorLosses(Losses):
    """With the images, for the discriminator and to be shown."""

    rendered: Float[Tensor, "batch 3 rows columns"] | None  # in [-1, 1], detached; None if no term needs it
    target: Float[Tensor, "batch 3 rows columns"]
    condition: Float[Tensor, "batch channels rows columns"] | None  # of a conditional discriminator


class PatchGenerator(nn.Module):
    """Masks and rays -> images and codes: everything that trains, in one forward pass (what DDP wraps).

    With `amp` the encoder's transformer computes in bfloat16; its head, the mapping network and the field in float32.
    """

    def __init__(self, net: Sem2NeRF, rendering: Rendering, amp: bool = False) -> None:
        super().__init__()
        self.net, self.rendering, self.amp = net, rendering, amp

    def forward(self, masks: Float[Tensor, "batch channels size size"], origins: Float[Tensor, "batch 3"] | None,
                directions: Float[Tensor, "batch rays 3"] | None, noise: RayNoise,
                drop_paths: Float[Tensor, "batch layers"] | None = None
                ) -> tuple[Float[Tensor, "batch rays 3"] | None, Float[Tensor, "batch codes"],
                           Float[Tensor, "batch codes"], Float[Tensor, "batch out"]]:
        """Colours in [0, 1] (of rays, if there are any), frequencies and phase shifts, and the output of the encoder's
        head that they are made of."""
        out = self.encode(masks, drop_paths)
        codes = self.net.codes_of(out)  # not under autocast: the field multiplies frequencies by 15
        rgb = None if origins is None or directions is None else self._render(codes, origins, directions, noise)
        return rgb, codes.frequencies, codes.phase_shifts, out

    def encode(self, masks: Float[Tensor, "batch channels size size"],
               drop_paths: Float[Tensor, "batch layers"] | None = None) -> Float[Tensor, "batch out"]:
        """Output of the encoder's head."""
        with torch.autocast(masks.device.type, torch.bfloat16, enabled=self.amp, cache_enabled=False):
            return self.net.encoder(masks, drop_paths)

    def _render(self, codes: Codes, origins: Tensor, directions: Tensor, noise: RayNoise) -> Tensor:
        settings, preset = self.rendering, self.net.config.camera
        return render_rays(
            self.net.siren, codes, origins, directions, near=preset.ray_start, far=preset.ray_end,
            samples=settings.samples if noise.perturbation is None else noise.perturbation.shape[-1],
            hierarchical=settings.hierarchical, lock_view_dependence=settings.lock_view_dependence,
            last_back=preset.last_back, clamp=preset.clamp_mode, noise=noise, precision=settings.precision,
            sample_chunk=max(1, settings.chunk // len(codes)) if settings.chunk > 0 else None).rgb


class DiscriminatorLoss(nn.Module):
    """The discriminator's loss in one forward pass (what DDP wraps)."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, real: Tensor, fake: Tensor, condition: Tensor | None = None
                ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss on photographs, weighted R1 penalty on them (and on their condition), loss on renderings."""
        inputs = [part.detach().requires_grad_() for part in (real, condition) if part is not None]
        logits = self.discriminator.forward(*inputs)  # what is compiled cannot be differentiated twice
        penalty = R1_WEIGHT * r1_penalty(logits, *inputs).mean()
        return real_loss(logits), penalty, fake_loss(self.discriminator(fake, condition))


class TrainStep:
    """Computes the losses of both sides. It holds no state of its own: modules, weights and settings only.

    Args:
        generator: a `PatchGenerator`, or one wrapped for training in parallel.
        net: the model inside it.
        discriminator: None if `weights.dis` is 0.
        discriminator_pass: a `DiscriminatorLoss` on the same discriminator, or one wrapped.
        perceptual: (image, target) -> distance; None if `weights.lpips` is 0.
        extra_losses: computed on what `generator` returns, so their gradients are averaged among processes too.
    """

    def __init__(self, generator: nn.Module, net: Sem2NeRF, weights: LossWeights, *,
                 discriminator: Callable[..., Tensor] | None = None,
                 discriminator_pass: Callable[..., tuple[Tensor, Tensor, Tensor]] | None = None,
                 perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
                 conditional: bool = False, extra_losses: Sequence[ExtraLoss] = ()) -> None:
        self.generator, self.net, self.weights = generator, net, weights
        self.discriminator, self.discriminator_pass = discriminator, discriminator_pass
        self.perceptual, self.conditional, self.extra_losses = perceptual, conditional, extra_losses

    def generator_losses(self, batch: Batch, noise: StepNoise, image_size: int) -> GeneratorLosses:
        """Losses of encoder (and decoder).

        No photograph shows an extreme pose: such a sample has only the adversarial term, the norm of its codes, and
        those extra losses that do without images. Its part of the terms of images is 0, as in the 2022 release: they
        are means over the other samples, weighted by their share of the batch.

        Args:
            image_size: side of the whole image that the patch is a part of, in pixels.
        """
        poses, own = batch.poses, noise.own_pose
        if noise.extreme_poses is not None:
            poses = noise.extreme_poses if own is None else noise.extreme_poses.index_copy(0, own, batch.poses[own])
        origins, directions = None, None
        if self.weights.needs_rendering:
            origins, directions = patch_rays(poses, noise.grid, image_size, self.net.config.camera.fov_deg)
        rgb, frequencies, phase_shifts, out = self.generator(batch.masks, origins, directions, noise.noise,
                                                             noise.drop_paths)
        rendered = None if rgb is None else (rgb * 2 - 1).transpose(1, 2).unflatten(2, noise.grid.shape[1:3])
        target = sample_image(batch.images, noise.grid)
        # the whole mask, whichever part of the image the patch is: as in the 2022 release
        condition = F.interpolate(batch.masks, noise.grid.shape[1:3], mode="nearest") if self.conditional else None
        pair = None if rendered is None else (rendered, target)  # of the samples that a photograph shows
        if noise.extreme_poses is not None and pair is not None:
            pair = None if own is None else (pair[0][own], pair[1][own])
        output = StepOutput(batch, out, Codes(frequencies, phase_shifts), *(pair or (None, None)))

        terms: dict[str, tuple[float, Tensor]] = {}
        if pair is not None:
            terms.update(self._image_terms(*pair, share=len(pair[0]) / len(target)))
        for extra_loss in self.extra_losses:
            terms.update(extra_loss(output))
        if self.weights.w_norm:
            terms["w_norm"] = self.weights.w_norm, w_norm(output.codes, self.net.latent_avg)
        if self.weights.dis:
            assert self.discriminator is not None
            terms["g"] = self.weights.dis, real_loss(self.discriminator(rendered, condition))
        total = torch.stack([weight * term for weight, term in terms.values()]).sum()
        named = {f"loss_{name}": term.detach() for name, (_, term) in terms.items()}
        shown = None if rendered is None else rendered.detach()
        return GeneratorLosses(total, {**named, "loss": total.detach()}, shown, target, condition)

    def _image_terms(self, rendered: Tensor, target: Tensor, share: float) -> Terms:
        weights, terms = self.weights, {}
        if weights.l2:
            terms["l2"] = share * weights.l2, F.mse_loss(rendered, target)
        if weights.l1:
            terms["l1"] = share * weights.l1, F.l1_loss(rendered, target)
        if weights.lpips:
            assert self.perceptual is not None
            terms["lpips"] = share * weights.lpips, self.perceptual(rendered, target)
        return terms

    def discriminator_losses(self, generated: GeneratorLosses) -> Losses:
        """Losses of the discriminator on the patches of the same step."""
        assert self.discriminator_pass is not None
        real, penalty, fake = self.discriminator_pass(generated.target, generated.rendered, generated.condition)
        terms = {"d_loss_real": real, "d_loss_reg": penalty, "d_loss_fake": fake, "d_loss": real + fake}
        return Losses(self.weights.dis * (real + fake + penalty), {name: x.detach() for name, x in terms.items()})
