"""Does a face mask look as if its labels were numbered in the other common order?

A wrong order is the commonest mistake with these masks, and nothing else shows it: the image comes out, but wrong.
"""

import numpy as np
from jaxtyping import UInt8

from configs.label_spaces import LABEL_ORDERS, LABEL_SPACES

# (above, below): on an upright head the first part's centre lies higher than the second's, from every side
_ABOVE = (
    ("hair", "neck"), ("hair", "cloth"), ("hair", "l_lip"), ("hat", "neck"), ("hat", "l_lip"), ("skin", "neck"),
    ("skin", "cloth"), ("neck", "cloth"), ("l_brow", "l_eye"), ("r_brow", "r_eye"), ("l_eye", "nose"),
    ("r_eye", "nose"), ("l_brow", "nose"), ("r_brow", "nose"), ("nose", "u_lip"), ("nose", "l_lip"), ("nose", "mouth"),
    ("u_lip", "l_lip"), ("l_eye", "l_lip"), ("r_eye", "l_lip"), ("l_lip", "neck"), ("nose", "neck"),
)
_MIN_PAIRS = 4     # with fewer pairs in view nothing can be said
_CLEAR = 0.25      # how much better the other order must fit


def suspicious_order(labels: UInt8[np.ndarray, "height width"], label_order: str) -> str | None:
    """What to tell the user if `labels`, read in `label_order`, look upside down and the other order puts them right.

    Args:
        labels: pixel values as they stand in the file, 0..18, not yet permuted.
        label_order: 'celebamask' or 'bisenet', how they are about to be read.
    """
    height = _heights(labels)
    fit = {name: _fit(height, order) for name, order in LABEL_ORDERS.items()}
    other = next(name for name in LABEL_ORDERS if name != label_order)
    mine, others = fit[label_order], fit[other]
    if mine is None or others is None or others - mine < _CLEAR:
        return None
    return (f"the parts lie as if the labels were in {other} order ({others:.0%} of them the right way up, against "
            f"{mine:.0%} in {label_order} order); if so, use `label_order` {other}")


def _heights(labels: UInt8[np.ndarray, "height width"]) -> dict[int, float]:
    """Pixel value -> mean row of its pixels, for the values that occur."""
    counts = np.stack([np.bincount(row, minlength=256) for row in labels])   # (height, 256)
    total = counts.sum(0)
    rows = np.arange(len(labels))
    return {int(value): float(rows @ counts[:, value] / total[value]) for value in np.flatnonzero(total)}


def _fit(height: dict[int, float], order: tuple[int, ...]) -> float | None:
    """Fraction of the pairs in view that lie the right way up when read in `order`; None where too few are in view."""
    names = LABEL_SPACES["CelebAMask_HQ"].labels
    centre = {names[order[value]]: row for value, row in height.items()}
    pairs = [centre[above] < centre[below] for above, below in _ABOVE if above in centre and below in centre]
    return sum(pairs) / len(pairs) if len(pairs) >= _MIN_PAIRS else None
