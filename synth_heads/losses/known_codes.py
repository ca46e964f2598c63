"""Distance of predicted codes from known ones: a warm start where a data set carries the codes of its heads.

It is an addition to the paper, whose photographs have no known codes. The encoder learns what a mask says about a head
by regression, before (or while) images say how the head should look. Entries of z count by how much they move the
codes, whether the encoder predicts codes or z.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren
from synth_heads.losses.edits import edit_error

SHAPE_LAYERS = 6  # the first layers of the field, which hold shape; a mask says little about the others, colours


def known_distances(names: Sequence[str], siren: FilmSiren, out: Float[Tensor, "batch out"], codes: Codes,
                    latents: Float[Tensor, "batch zdim"] | None) -> dict[str, Float[Tensor, ""]]:
    """The named distances of a batch.

    Args:
        names: 'latent': of the codes, see `latent_distance`; 'z': mean squared error of z itself, of an encoder that
            predicts one. Parts of a face that hardly move the codes count as much in it as hair. 'edit_z': of what an
            edit changes in z, see `edit_error`.
        out: what the encoder predicted, and `codes` what it stands for.
        latents: the known z; None only without names.
    """
    of = {"latent": lambda: latent_distance(siren, codes, latents), "z": lambda: F.mse_loss(out.float(), latents),
          "edit_z": lambda: edit_error(out.float(), latents)}
    return {name: of[name]() for name in names}


def latent_distance(siren: FilmSiren, codes: Codes, latents: Float[Tensor, "batch zdim"]) -> Float[Tensor, ""]:
    """Mean squared error of the shape layers' codes.

    Args:
        codes: predicted.
        latents: the known z, of which the mapping network makes the codes to compare with.
    """
    with torch.no_grad():
        known = siren.mapping_network(latents)
    columns = slice(0, SHAPE_LAYERS * siren.width)
    return sum(F.mse_loss(mine[:, columns], theirs[:, columns]) for mine, theirs in
               ((codes.frequencies, known.frequencies), (codes.phase_shifts, known.phase_shifts))) / 2
