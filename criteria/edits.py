"""How far an edit of one part changes what it should, and nothing else."""

import torch
from jaxtyping import Float
from torch import Tensor


def edit_error(values: Float[Tensor, "batch *rest"], truth: Float[Tensor, "batch *rest"]) -> Float[Tensor, ""]:
    """How far what an edit changes is from what it should change; heads 2 k and 2 k + 1 are before and after.

    The errors that both have in common, nearly all of them, drop out of it. Absolute, not squared: a little change of
    everything, which is what goes wrong, would not count squared.
    """
    change, wanted = (value[1::2] - value[::2] for value in (values, truth))
    return torch.mean((change - wanted).abs())
