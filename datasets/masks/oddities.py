"""What is odd about a mask that can be read: a sentence for its owner, or None."""

import numpy as np
from jaxtyping import Bool, UInt8

from configs.label_spaces import LabelSpace

SQUARE_ENOUGH = 1.02  # ratio of the sides up to which nobody sees that a mask was squeezed
BETWEEN = 0.2        # fraction of a smoothed mask's edges that lie between their neighbours: 0.4 and more; else 0.02
FEWEST_EDGES = 100

# the parts of a head, the smallest and the greatest area that is not worth a word, and the place of its centre (down,
# right), all of what a network sees. CelebAMask-HQ's faces cover 0.37 to 0.67, and lie within 0.08.
_USUAL = {
    "face": (("skin", "nose", "eye_g", "eye", "l_eye", "r_eye", "brow", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"),
             (0.22, 0.8), (0.55, 0.5)),
    "cat": (("head", "ear", "eye", "mouth", "tongue", "nose", "whiskers"), (0.18, 0.8), (0.48, 0.5)),
}
FAR = 0.14  # how far from there is worth a word


def shape(labels: UInt8[np.ndarray, "height width"], space: LabelSpace) -> str | None:
    """A mask that is not square, or that has a single part."""
    height, width = labels.shape
    if max(height, width) > SQUARE_ENOUGH * min(height, width):
        return f"{width} x {height} pixels are squeezed into a square; cut out a square around the head"
    parts = [space.labels[label] for label in np.flatnonzero(np.bincount(labels.ravel())) if label]
    if len(parts) == 1:
        return (f"the only part besides the background is {parts[0]}; an outline of something is no label map, and its "
                "image means little")
    return None


def smoothing(values: UInt8[np.ndarray, "height width"]) -> str | None:
    """A label map that was scaled as a photograph is: along edges stand the labels between the two parts'."""
    between, edges = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    for image, inside, edge in ((values, between, edges), (values.T, between.T, edges.T)):
        before, here, after = image[:, :-2], image[:, 1:-1], image[:, 2:]
        inside[:, 1:-1] |= ((before < here) & (here < after)) | ((before > here) & (here > after))
        edge[:, 1:] |= image[:, 1:] != image[:, :-1]
    if edges.sum() < FEWEST_EDGES or between.sum() < BETWEEN * edges.sum():
        return None
    return (f"{between.mean():.1%} of its pixels, along the edges of parts, hold labels between those of their "
            "neighbours, as after scaling with smoothing; scale label maps with nearest-neighbour only")


def usual(space: LabelSpace) -> tuple[tuple[str, ...], tuple[float, float], tuple[float, float]]:
    """The parts of a head, the smallest and greatest usual area, and the usual centre (down, right)."""
    return _USUAL["cat" if space.face == "head" else "face"]


def framing(labels: UInt8[np.ndarray, "size size"], space: LabelSpace) -> str | None:
    """A head that is small, or lies beside the place where the published models know it, in the network's square."""
    parts, (smallest, greatest), centre = usual(space)
    head: Bool[np.ndarray, "size size"] = np.isin(labels, [space.index(part) for part in parts if part in space.labels])
    area = head.mean()
    if not smallest <= area <= greatest:
        what = f"covers {area:.0%} of what the network sees, where {smallest:.0%} to {greatest:.0%} are usual"
    else:
        away = np.argwhere(head).mean(0) / len(labels) - centre
        far = [f"{abs(by):.0%} too far {words[int(by > 0)]}"
               for by, words in zip(away, (("up", "down"), ("to the left", "to the right"))) if abs(by) > FAR]
        if not far:
            return None
        what = f"lies {' and '.join(far)}"
    return (f"the {'head' if space.face == 'head' else 'face'} {what}; move and scale the mask so that it lies as in "
            "the data set (docs/label_spaces.md)")
