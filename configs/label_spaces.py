"""The label tables of all categories: what every pixel value of a semantic mask means, its colour, how labels merge.

    >>> faces = LABEL_SPACES["CelebAMask_HQ"]
    >>> faces.labels[13], faces.merge[13], faces.merged.labels[10]
    ('hair', 10, 'hair')
"""

from configs.categories import CATEGORIES, by_name
from configs.category import Colour, LabelSpace

__all__ = ["BISENET_ORDER", "LABEL_ORDERS", "LABEL_SPACES", "Colour", "LabelSpace"]

LABEL_SPACES: dict[str, LabelSpace] = by_name(
    space for category in CATEGORIES for space in category.label_spaces)

# The popular BiSeNet numbers the same 19 parts differently: BISENET_ORDER[its index] is the label here.
BISENET_ORDER: tuple[int, ...] = (0, 1, 6, 7, 4, 5, 3, 8, 9, 15, 2, 10, 11, 12, 17, 16, 18, 13, 14)

# `label_order`: pixel value in the file -> CelebAMask_HQ label
LABEL_ORDERS: dict[str, tuple[int, ...]] = {"celebamask": tuple(range(19)), "bisenet": BISENET_ORDER}
