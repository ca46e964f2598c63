"""The directions in which the mapping network's codes vary: an optimisation that moves along them stays among heads.

Outside of the range of the mapping network the field is noise, so FiLM codes cannot be moved freely.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren

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
def code_directions(siren: FilmSiren, count: int = DIRECTIONS) -> CodeDirections:
    """The first `count` principal directions (or as many as there are), from 2,000 codes with a fixed seed.

    The last layer W of the mapping network is linear, so they lie in its image: with W = Q R they are Q times those of
    R h, where h goes into that layer and is much shorter than the codes.
    """
    *layers, last = siren.mapping_network.network
    assert isinstance(last, nn.Linear)
    z = torch.randn(Z_SAMPLES, siren.z_dim, generator=torch.Generator().manual_seed(Z_SEED))
    h = nn.Sequential(*layers)(z.to(last.weight.device)).double()
    q, r = torch.linalg.qr(last.weight.double())
    variances, vectors = torch.linalg.eigh(r @ h.t().cov(correction=0) @ r.t())
    kept = (variances > variances[-1] * LEAST_VARIANCE).nonzero()[:, 0][-count:].flip(0)
    directions = (variances[kept].sqrt() * (q @ vectors[:, kept])).t().to(last.weight.dtype).contiguous()
    return CodeDirections(*directions.chunk(2, dim=1))
