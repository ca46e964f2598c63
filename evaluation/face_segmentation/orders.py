"""What the numbers of a face segmenter mean: each published network has an order of its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from configs.label_spaces import LABEL_SPACES


def to_merged(found: Int[Tensor, "*shape"], order: Sequence[int]) -> UInt8[Tensor, "*shape"]:
    """A network's numbers -> labels of CelebAMask_HQ_merged.

    Args:
        order: label of CelebAMask_HQ for each of its numbers.
    """
    merge = LABEL_SPACES["CelebAMask_HQ"].merge
    assert merge is not None
    return torch.tensor([merge[label] for label in order], dtype=torch.uint8, device=found.device)[found]
