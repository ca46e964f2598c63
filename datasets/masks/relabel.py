"""Labels of one table as labels of another that tells more or fewer parts apart."""

import numpy as np
from jaxtyping import UInt8

from configs.label_spaces import LabelSpace
from datasets.masks.maps import merge_labels


def merged_to(labels: UInt8[np.ndarray, "height width"], source: LabelSpace, target: LabelSpace
              ) -> UInt8[np.ndarray, "height width"]:
    """Labels of `source` as those of `target`, which is `source` itself or the space that it merges to.

    Raises:
        ValueError: `target` is another space; it may tell parts apart that `source` does not.
    """
    if target == source:
        return labels
    if target != source.merged:
        raise ValueError(f"labels of {source.name} do not say those of {target.name}")
    return merge_labels(labels, source)


def unmerged_to(labels: UInt8[np.ndarray, "height width"], source: LabelSpace, target: LabelSpace
                ) -> UInt8[np.ndarray, "height width"]:
    """Labels of `source` as such labels of `target` as `merged_to` reads back: of parts that share a label, the first.

    Raises:
        ValueError: `target` is neither `source` nor a space that merges to it.
    """
    if target == source:
        return labels
    if target.merge is None or target.merged != source:
        raise ValueError(f"labels of {target.name} do not merge to {source.name}")
    return np.array([target.merge.index(label) for label in range(len(source))], np.uint8)[labels]
