"""The adversarial losses: binary cross-entropy on logits, and the R1 penalty of Mescheder et al. (ICML 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def real_loss(logits: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """-log sigmoid(logit), mean: small where the discriminator says "real". On renderings: the generator's loss."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """-log(1 - sigmoid(logit)), mean: small where the discriminator says "fake"."""
    return F.softplus(logits).mean()


def r1_penalty(logits: Float[Tensor, " batch"], *patches: Float[Tensor, "batch _ height width"]
               ) -> Float[Tensor, " batch"]:
    """Squared norm of the gradient of each logit with respect to its real patch, summed over channels and pixels.

    The result can be differentiated again. `patches` (a patch, and what else was shown with it) must require gradients
    and have been given to the discriminator; no logit may depend on another sample's patch.
    """
    gradients = torch.autograd.grad(logits.sum(), patches, create_graph=True)
    return torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients]).sum(0)
