"""Distance of predicted codes from known ones: a warm start where a data set carries the codes of its heads.

It is an addition to the paper, whose photographs have no known codes. The encoder learns what a mask says about a code
by regression, before (or while) pictures say how the head should look.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.pigan.codes import Codes
from models.sem2nerf import Sem2NeRF

SHAPE_LAYERS = 6  # the first layers of the field, which hold shape; a mask says little about the others, colours


def latent_distance(net: Sem2NeRF, out: Float[Tensor, "batch outputs"], codes: Codes,
                    latents: Float[Tensor, "batch zdim"]) -> Float[Tensor, ""]:
    """Mean squared error.

    Args:
        out: what the encoder gave. If that is z, it is compared with the known z; else the codes of the shape layers
            are compared with those that the mapping network makes of the known z.
        codes: made from it.
        latents: the known z.
    """
    if net.config.encoder_predicts_z:
        return F.mse_loss(out, latents)
    known, columns = net.siren.mapping_network(latents), slice(0, SHAPE_LAYERS * net.config.width)
    return sum(F.mse_loss(mine[:, columns], theirs[:, columns].detach()) for mine, theirs in
               ((codes.frequencies, known.frequencies), (codes.phase_shifts, known.phase_shifts))) / 2
