"""The directions in which the mapping network's codes vary: an optimisation that moves along them stays among heads.

Outside of the range of the mapping network the field is noise, so FiLM codes cannot be moved freely.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.pigan.codes import Codes
from models.pigan.siren import FILM_LAYERS, FilmSiren

DIRECTIONS = 96
Z_SAMPLES, Z_SEED = 2000, 1
LEAST_VARIANCE = 1e-8  # relative to the largest: below it a direction is rounding


class CodeDirections(NamedTuple):
    """Principal directions of the codes of z ~ N(0, I), each one standard deviation long."""

    frequencies: Float[Tensor, "directions codes"]
    phase_shifts: Float[Tensor, "directions codes"]

    def step(self, amounts: Float[Tensor, "1 directions"]) -> Codes:
        """The change of codes that these many standard deviations along each direction are; differentiable."""
        return Codes(amounts @ self.frequencies, amounts @ self.phase_shifts)


@torch.no_grad()
def code_directions(siren: FilmSiren, count: int = DIRECTIONS, layers: Sequence[int] | None = None) -> CodeDirections:
    """The first `count` principal directions (or as many as there are), from 2,000 codes with a fixed seed.

    Args:
        layers: FiLM layers whose codes vary; those of the others stay (0 in the result). None: all.

    The last layer W of the mapping network is linear, so they lie in its image: with W = Q R they are Q times those of
    R h, where h goes into that layer and is much shorter than the codes.
    """
    *hidden, last = siren.mapping_network.network
    assert isinstance(last, nn.Linear)
    z = torch.randn(Z_SAMPLES, siren.z_dim, generator=torch.Generator().manual_seed(Z_SEED))
    h = nn.Sequential(*hidden)(z.to(last.weight.device)).double()
    weight = last.weight.double()
    if layers is not None:
        of_layers = torch.zeros(FILM_LAYERS, siren.width, dtype=weight.dtype, device=weight.device)
        of_layers[list(layers)] = 1
        weight = weight * of_layers.flatten().repeat(2)[:, None]
    q, r = torch.linalg.qr(weight)
    variances, vectors = torch.linalg.eigh(r @ h.t().cov(correction=0) @ r.t())
    kept = (variances > variances[-1] * LEAST_VARIANCE).nonzero()[:, 0][-count:].flip(0)
    directions = (variances[kept].sqrt() * (q @ vectors[:, kept])).t().to(last.weight.dtype).contiguous()
    return CodeDirections(*directions.chunk(2, dim=1))
