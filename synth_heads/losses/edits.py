"""How far an edit of one part changes what it should, and nothing else."""

from jaxtyping import Float
from torch import Tensor

LEAST_CHANGE = 0.005  # mean absolute change below which all pairs count alike


def edit_error(values: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """How far what an edit changes is from what it should change; heads 2 k and 2 k + 1 are before and after.

    The errors that both have in common, nearly all of them, drop out of it. Absolute, not squared: a little change of
    everything, which is what goes wrong, would not count squared. And pairs count by the inverse of how much the edit
    changes: beside another hair cut, all that goes wrong with a wider nose would not count either.
    """
    change, wanted = ((value[1::2] - value[::2]).flatten(1) for value in (values, truth))
    weight = 1 / (wanted.abs().mean(1) + LEAST_CHANGE)
    return ((change - wanted).abs().mean(1) * weight).sum() / weight.sum()
