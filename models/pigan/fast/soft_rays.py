"""Labels and colours along rays through a softened surface, differentiable in the codes of one scene.

A field clamped by relu has no gradient where its density is negative, as it is before every surface: nothing could grow
into empty space. Here the density is s * softplus(density / s), which tends to relu as the softness s goes to 0. The
field and the semantic head are frozen; each FiLM layer keeps for the backward pass what the products gave, and no more.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from models.pigan.fast import film
from models.pigan.fast.fold import FieldWeights
from models.pigan.fast.kernels import affine
from models.pigan.integration import sample_weights
from models.pigan.semantic_head import SemanticHead


class SoftPixels(NamedTuple):
    """Per ray: the probability of each label, and the colour in [0, 1]."""

    probabilities: Float[Tensor, "rays labels"]
    rgb: Float[Tensor, "rays 3"]


class FrozenFilm(torch.autograd.Function):
    """sin(f (W x + b) + p) with gradients for x, f and p, where W and b do not learn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        z = affine(x, weight, bias)
        ctx.save_for_backward(z, frequency, phase, weight)
        return film.sine(z, frequency, phase, z.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]: the decorator hides the name of `ctx`
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        z, frequency, phase, weight = ctx.saved_tensors
        sums = frequency.new_empty(2, len(frequency))
        grad = film.gradient(z.clone(), grad, frequency, phase, sums, z.dtype)
        grad_x = affine(grad, (frequency[:, None] * weight).t().contiguous()) if ctx.needs_input_grad[0] else None
        return grad_x, sums[0], sums[1], None, None


def render_soft_rays(
    weights: FieldWeights, head: SemanticHead | None,
    modulation: tuple[Float[Tensor, "layers width"], Float[Tensor, "layers width"]], origin: Float[Tensor, "3"],
    directions: Float[Tensor, "rays 3"], depths: Float[Tensor, "rays samples"], softness: float, last_back: bool,
) -> SoftPixels:
    """Composite labels and colours of rays of one scene at given depths.

    Args:
        weights: of the field, frozen, with the view direction locked (`field_weights(siren).frozen()`).
        head: None: of colours alone; there is one label then.
        modulation: frequency and phase of each FiLM layer, see `FilmSiren.modulation`.
        depths: ascending, world units.
        softness: s, in units of density.
        last_back: the last sample takes the weight that is left over.
    """
    frequency, phase = modulation
    *hidden, colour = zip(weights.layers, frequency.unbind(), phase.unbind(), strict=True)
    x = torch.addcmul(origin, directions[:, None], depths[..., None]).reshape(-1, 3)
    logits, of_layer = (x.new_zeros(len(x), 1), {}) if head is None else (head.bias, head.by_layer)
    for i, ((weight, bias), f, p) in enumerate(hidden):
        x = FrozenFilm.apply(x, f, p, weight, bias)
        if i in of_layer:
            logits = logits + F.linear(x, of_layer[i])
    density = F.linear(x, *weights.density).reshape(depths.shape)
    (weight, bias), f, p = colour
    rgb = F.linear(FrozenFilm.apply(x, f, p, weight, bias), *weights.colour).sigmoid()
    soft = softness * F.softplus(density / softness)
    share = sample_weights(soft, depths, last_back=last_back)[:, None]  # relu changes nothing any more
    probabilities = logits.softmax(-1)
    return SoftPixels(*((share @ value.reshape(*depths.shape, -1))[:, 0] for value in (probabilities, rgb)))
