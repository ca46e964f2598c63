"""Does an edit of one part change what it should, and nothing else?"""

from jaxtyping import Float
from torch import Tensor

LEAST_CHANGE = 0.005  # mean absolute change below which all pairs count alike


def edit_error(values: Float[Tensor, "*shape"], truth: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Weighted mean absolute error of the change from before to after an edit; rows 2 k and 2 k + 1 are such a pair.

    Errors that before and after have in common, most of all errors, cancel in the difference. The error is absolute
    because what goes wrong is a small change of everything, which hardly counts in a squared error. A pair's weight is
    the inverse of the change that is wanted: a small edit, a wider nose, counts as much as another hair cut.

    Args:
        values: predicted, in any space (pixels, z, opacities).
        truth: the same of the data.
    """
    change, wanted = ((value[1::2] - value[::2]).flatten(1) for value in (values, truth))
    weight = 1 / (wanted.abs().mean(1) + LEAST_CHANGE)
    return ((change - wanted).abs().mean(1) * weight).sum() / weight.sum()
