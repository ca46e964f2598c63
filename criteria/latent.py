"""Distance of predicted codes from known ones: a warm start where a data set carries the codes of its heads.

    latent_distance(siren, codes, latents)    # of each head's codes
    edit_distance(siren, codes, latents)      # of what an edit changes, where heads come in pairs

It is an addition to the paper, whose photographs have no known codes. The encoder learns what a mask says about a head
by regression, before (or while) pictures say how the head should look. Entries of z count by how much they move the
codes, whether the encoder predicts codes or z.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren

SHAPE_LAYERS = 6  # the first layers of the field, which hold shape; a mask says little about the others, colours
EDIT_FLOOR = 0.01 ** 2  # mean squared change of codes: an edit of less than that can hardly be seen


def latent_distance(siren: FilmSiren, codes: Codes, latents: Float[Tensor, "batch zdim"]) -> Float[Tensor, ""]:
    """Mean squared error of the shape layers' codes.

    Args:
        codes: predicted.
        latents: the known z, of which the mapping network makes the codes to compare with.
    """
    with torch.no_grad():
        known = siren.mapping_network(latents)
    return F.mse_loss(_shape_codes(siren, codes), _shape_codes(siren, known))


def edit_distance(siren: FilmSiren, codes: Codes, latents: Float[Tensor, "batch zdim"]) -> Float[Tensor, ""]:
    """Squared error of what an edit changes, relative to that change: 0 if it does just that, 1 if it does nothing.

    Regression alone learns the parts in the order of how much they move the codes, hair long before the mouth. Here
    all edits count alike, and what an edit must not change counts, too.

    Args:
        codes: predicted; samples 2 k and 2 k + 1 are a head before and after an edit.
        latents: the known z of both.
    """
    with torch.no_grad():
        known = _shape_codes(siren, siren.mapping_network(latents))
        wanted = known[1::2] - known[::2]
    mine = _shape_codes(siren, codes)
    error = (mine[1::2] - mine[::2] - wanted).square().mean(1)
    return (error / (wanted.square().mean(1) + EDIT_FLOOR)).mean()


def _shape_codes(siren: FilmSiren, codes: Codes) -> Float[Tensor, "batch codes"]:
    columns = slice(0, SHAPE_LAYERS * siren.width)
    return torch.cat([codes.frequencies[:, columns], codes.phase_shifts[:, columns]], 1)
