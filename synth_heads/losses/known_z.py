"""Losses of an encoder on heads whose z is known: an addition to the paper, whose photographs have none.

The encoder learns what a mask says about a head by regression, before (or while) images say how the head should look.
Each loss is a `training.step.ExtraLoss`; the known z is `batch.extra["z"]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren
from synth_heads.losses.edits import edit_error
from training.step import StepOutput, Terms

SHAPE_LAYERS = 6  # the first layers of the field, which hold shape; a mask says little about the others, colours


@dataclass(frozen=True)
class KnownZLoss:
    """Distances from the known z.

    `latent`: between FiLM codes, see `code_distance`; entries of z count by how much they move the codes, whether the
    encoder predicts codes or z. `z`: mean squared error of z itself, of an encoder that predicts one; parts of a face
    that hardly move the codes count as much in it as hair.
    """

    siren: FilmSiren
    code_weight: float
    z_weight: float

    def __call__(self, output: StepOutput) -> Terms:
        z, terms = output.batch.extra["z"], {}
        if self.code_weight:
            terms["latent"] = self.code_weight, code_distance(self.siren, output.codes, z)
        if self.z_weight:
            terms["z"] = self.z_weight, F.mse_loss(output.encoder_output, z)
        return terms


@dataclass(frozen=True)
class EditLoss:
    """What an edit changes in the rendered patches (`edit`) and in z (`edit_z`), see `edit_error`; samples 2 k and
    2 k + 1 are a head before and after. A weight of 0 leaves a term out."""

    image_weight: float
    z_weight: float

    def images(self, output: StepOutput) -> Terms:
        if not self.image_weight or output.rendered is None or output.target is None:
            return {}
        return {"edit": (self.image_weight, edit_error(output.rendered, output.target))}

    def z(self, output: StepOutput) -> Terms:
        if not self.z_weight:
            return {}
        return {"edit_z": (self.z_weight, edit_error(output.encoder_output, output.batch.extra["z"]))}


def code_distance(siren: FilmSiren, codes: Codes, z: Float[Tensor, "batch zdim"]) -> Float[Tensor, ""]:
    """Mean squared error of the shape layers' FiLM codes.

    Args:
        codes: predicted.
        z: the known one, of which the mapping network makes the codes to compare with.
    """
    with torch.no_grad():
        known = siren.mapping_network(z)
    columns = slice(0, SHAPE_LAYERS * siren.width)
    return (F.mse_loss(codes.frequencies[:, columns], known.frequencies[:, columns])
            + F.mse_loss(codes.phase_shifts[:, columns], known.phase_shifts[:, columns])) / 2
