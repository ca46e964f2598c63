"""The regulariser that keeps codes near the mean code of the decoder's mapping network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from models.pigan.codes import Codes


def w_norm(codes: Codes, mean: Codes | None = None) -> Float[Tensor, ""]:
    """Euclidean length of code - mean code, over the frequencies and phase shifts of all layers; mean over the batch.

    The gradient is 0 (not NaN) where a code equals the mean, as at the start of training with a zero-initialised head.
    """
    offset = codes if mean is None else codes - mean
    joined = torch.cat([offset.frequencies, offset.phase_shifts], dim=1)
    return torch.linalg.vector_norm(joined, dim=1).mean()
