"""Pretraining of a decoder by reconstruction: known z, known views, and rays against pixels.

    objective = Reconstruction(siren, preset, settings)
    loss, terms = objective(draw_batch([(bank, 0), (bank, 1)], settings, rngs))

Where the data has depth, two points per ray are enough: just behind the surface the colour is the pixel's and the field
is solid, in front of it the field is empty. That costs a tenth of volume rendering, which a few rays get on top, so
that density and colour fit together. Without depth all rays are rendered.

The decoder must keep shape and colour apart, as a pi-GAN's layers do after training with style mixing (Karras et al.,
"A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019, sec. 3.1): the codes of the first
layers come from one z, those of the others from another, and the target has the SHAPE entries of the former and the
COLOUR entries of the latter. All other entries of both are random, so nothing can be read from them.

Where heads come in pairs, before and after an edit of one part, both are seen through the same pixels, and the
difference of the two is compared too, in colours, in solid and empty space and in rendered rays: an edit must change
the edited part and nothing else. The errors that both have in common, nearly all of them, drop out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from configs.data_configs import CameraPreset
from models.pigan.cameras import world_rays
from models.pigan.codes import Codes
from models.pigan.integration import composite
from models.pigan.siren import FILM_LAYERS, FilmSiren
from synth_heads.data.view_bank import ViewBank, join_rays, mirror_rays
from synth_heads.decoder.batch_field import BatchField
from synth_heads.generator.latent import COLOUR, SHAPE, mirror_latent
from synth_heads.losses.edits import edit_error

CROSSOVERS = (6, 7)  # the first layer whose codes come from the second z
LOGIT = 100.0  # density of a logit of one: solid (a logit of 5) means opaque within a hundredth of a unit
SHELL, BEFORE = 0.0105, 0.0015  # how far behind the surface it is solid; how far before it empty space ends
JITTER = 0.05  # of codes, standard deviation: neighbouring codes are neighbouring heads
FAR_END = 0.015  # the background lies from this before the far plane to this behind it
STRATA, NEAR_SURFACE = 5, 8  # samples of a rendered ray: over its whole length, around the surface


@dataclass(frozen=True)
class ReconstructionSettings:
    """Sizes and weights of a step."""

    rays: int = 64  # of each head
    rendered_rays: int = 4  # how many of these are rendered, too; all where there is no depth
    samples: int = 24  # of a rendered ray without depth
    label_balance: float = 0.0  # share of the rays that are drawn evenly over the labels
    occupancy_weight: float = 0.3
    render_weight: float = 0.3
    edit_weight: float = 0.0  # of what an edit changes; above 0 the heads are drawn in pairs


@dataclass(frozen=True)
class RayBatch:
    """A step's data and its random numbers."""

    z_shape: Float[Tensor, "batch zdim"]
    z_colour: Float[Tensor, "batch zdim"]
    crossover: Int[Tensor, " batch"]
    poses: Float[Tensor, "batch rays 2"]
    places: Float[Tensor, "batch rays 2"]
    colours: Float[Tensor, "batch rays 3"]
    depths: Float[Tensor, "batch rays"] | None
    uniform: Float[Tensor, "batch rays 6"]  # where points lie
    strata: Float[Tensor, "batch rendered samples"]  # where samples of rendered rays lie


def draw_batch(chosen: Sequence[tuple[ViewBank, int]], settings: ReconstructionSettings,
               rngs: Sequence[np.random.Generator]) -> RayBatch:
    """Rays of some heads, each of a bank, and everything random that goes with them, one generator per head.

    Every second head is mirrored: its images show the head of the mirrored code from the mirrored side. With an
    `edit_weight`, every head is followed by its partner, with the same pixels and random numbers.
    """
    rays, shape_codes, colour_codes, crossovers, uniform, strata = [], [], [], [], [], []
    for (bank, head), rng in zip(chosen, rngs, strict=True):
        pixels = bank.draw_pixels(head, settings.rays, rng, settings.label_balance)
        jitter = JITTER * rng.standard_normal(bank.z.shape[1], dtype=np.float32)
        mirrored = rng.random() < 0.5
        others = [_other_entries(bank.z.shape[1], entries, rng) for entries in (COLOUR, SHAPE)]
        crossover = rng.choice(CROSSOVERS)
        within = rng.random((settings.rays, 6), dtype=np.float32)
        rendered = settings.rays if bank.depth is None else settings.rendered_rays
        samples = settings.samples if bank.depth is None else STRATA + NEAR_SURFACE
        along = rng.random((rendered, samples), dtype=np.float32)
        for member in (head, int(bank.partners[head])) if settings.edit_weight else (head,):
            part, z = bank.rays_at(member, pixels), bank.z[member] + jitter
            if mirrored:
                part, z = mirror_rays(part), mirror_latent(z)
            rays.append(part)
            for codes, (entries, values) in zip((shape_codes, colour_codes), others, strict=True):
                code = z.copy()
                code[entries] = values
                codes.append(code)
            crossovers.append(crossover)
            uniform.append(within)
            strata.append(along)
    joined = join_rays(rays)
    tensors = (np.stack(shape_codes), np.stack(colour_codes), np.array(crossovers), joined.poses, joined.places,
               joined.colours, joined.depths, np.stack(uniform), np.stack(strata))
    return RayBatch(*(None if value is None else torch.from_numpy(value) for value in tensors))


def _other_entries(z_dim: int, entries: slice, rng: np.random.Generator) -> tuple[slice, Float[np.ndarray, " n"]]:
    """Random values of the entries of a code that its layers must not heed, every second time shorter ones."""
    values = rng.standard_normal(len(range(z_dim)[entries]), dtype=np.float32)
    return entries, values * np.float32(rng.random()) if rng.random() < 0.5 else values


def mixed_codes(siren: FilmSiren, z_shape: Float[Tensor, "batch zdim"], z_colour: Float[Tensor, "batch zdim"],
                crossover: Int[Tensor, " batch"]) -> Codes:
    """Codes of the layers before `crossover` from one z, of the others from the other."""
    codes = siren.mapping_network(torch.cat([z_shape, z_colour]))
    layer = torch.arange(FILM_LAYERS, device=crossover.device).repeat_interleave(siren.width)
    from_shape = layer < crossover[:, None]
    half = len(z_shape)
    return Codes(*(torch.where(from_shape, value[:half], value[half:])
                   for value in (codes.frequencies, codes.phase_shifts)))


class _AtSurface(NamedTuple):
    """Two points of each ray: at the surface, and in the empty space before it."""

    colours: Float[Tensor, "batch rays 3"]  # of the first
    logits: Float[Tensor, "batch rays 2"]  # of being solid
    solid: Float[Tensor, "batch rays 2"]  # 1 where it should be, else 0
    counts: Float[Tensor, "batch rays 2"]  # 0 where nothing is known

    def occupancy(self) -> Float[Tensor, ""]:
        """Cross entropy of solid against empty space."""
        return (F.binary_cross_entropy_with_logits(self.logits, self.solid, reduction="none") * self.counts).mean()


class Reconstruction(nn.Module):
    """Loss of a batch of rays. It is one forward pass, which DDP can wrap."""

    def __init__(self, siren: FilmSiren, preset: CameraPreset, settings: ReconstructionSettings) -> None:
        super().__init__()
        self.siren, self.preset, self.settings = siren, preset, settings

    def forward(self, batch: RayBatch) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The weighted sum to differentiate, and its terms, detached."""
        codes = mixed_codes(self.siren, batch.z_shape, batch.z_colour, batch.crossover)
        field = BatchField(self.siren, codes)
        origins, directions = world_rays(batch.poses, batch.places, self.preset.fov_deg)
        terms, settings = {}, self.settings
        if batch.depths is None:
            surface, empty = None, None
        else:
            # beyond the far plane there is only background; before the near plane nothing can be seen
            empty = ~(batch.depths < self.preset.ray_end)
            surface = batch.depths.clamp(min=self.preset.ray_start)
            seen = self._at_surface(field, batch, origins, directions, surface, empty)
            terms["occupancy"] = seen.occupancy()
            terms["colour"] = (seen.colours - batch.colours).square().mean()
            if settings.edit_weight:
                terms["edit"] = edit_error(seen.colours, batch.colours)
                terms["edit_occupancy"] = edit_error(*(seen.counts * value for value in
                                                       (seen.logits.sigmoid(), seen.solid)))
        count = batch.strata.shape[1]
        if count and settings.render_weight:
            part = slice(0, count)
            rendered = self._rendered(
                field, batch, origins[:, part], directions[:, part], *(None if value is None else value[:, part]
                                                                       for value in (surface, empty)))
            terms["render"] = (rendered - batch.colours[:, part]).square().mean()
            if settings.edit_weight:
                terms["edit_render"] = edit_error(rendered, batch.colours[:, part])
        weights = {"colour": 1.0, "occupancy": settings.occupancy_weight,
                   "render": settings.render_weight if surface is not None else 1.0, "edit": settings.edit_weight,
                   "edit_occupancy": settings.edit_weight * settings.occupancy_weight,
                   "edit_render": settings.edit_weight}
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def _at_surface(self, field: BatchField, batch: RayBatch, origins: Tensor, directions: Tensor, surface: Tensor,
                    empty: Bool[Tensor, "batch rays"]) -> _AtSurface:
        """What the field says just behind the surface (or at the far end) and somewhere before it."""
        near, far, u = self.preset.ray_start, self.preset.ray_end, batch.uniform.unbind(-1)
        behind = surface + SHELL * u[0] - BEFORE * (u[1] < 0.3)
        solid = torch.where(empty, far + FAR_END * (u[0] - 0.5), behind)
        end = torch.where(empty, torch.full_like(surface, far - FAR_END / 2), surface - BEFORE).clamp(min=near)
        close = (u[2] < 0.5) & ~empty  # half of the empty points lie close to a surface
        free = torch.where(close, end - (0.012 * u[3] ** 2).minimum(end - near), near + (end - near) * u[3])
        depths = torch.stack([solid, free], -1)
        points = origins[:, :, None] + directions[:, :, None] * depths[..., None]
        rgb, density = field(points.flatten(1, 2))
        rgb, logits = rgb.unflatten(1, depths.shape[1:])[:, :, 0], density.unflatten(1, depths.shape[1:]) / LOGIT
        wanted = torch.stack([((behind > surface) & ~empty).float(), torch.zeros_like(surface)], -1)
        counts = torch.stack([(~empty).float(), torch.ones_like(surface)], -1)
        return _AtSurface(rgb, logits, wanted, counts)

    def _rendered(self, field: BatchField, batch: RayBatch, origins: Tensor, directions: Tensor,
                  surface: Tensor | None, empty: Tensor | None) -> Float[Tensor, "batch rendered 3"]:
        """Colours of rendered rays, with samples around the surface where it is known."""
        near, far, u = self.preset.ray_start, self.preset.ray_end, batch.strata
        strata = STRATA if surface is not None else u.shape[-1]
        even = near + (far - near) * (torch.arange(strata, device=u.device) + u[..., :strata]) / strata
        if surface is not None:
            middle = torch.where(empty, near + (far - near) * u[..., -1], surface)
            around = middle[..., None] + 0.03 * (u[..., strata:] - 0.35)
            even = torch.cat([even, around, torch.full_like(middle, far)[..., None]], -1)
        depths = even.clamp(near, far).sort(-1).values
        points = origins[:, :, None] + directions[:, :, None] * depths[..., None]
        rgb, density = field(points.flatten(1, 2))
        return composite(rgb.unflatten(1, depths.shape[1:]), density.unflatten(1, depths.shape[1:]), depths,
                         clamp=self.preset.clamp_mode, last_back=True).rgb
