"""The label tables of all categories: what every pixel value of a semantic mask means, its colour, how labels merge.

    >>> faces = LABEL_SPACES["CelebAMask_HQ"]
    >>> faces.labels[13], faces.merge[13], faces.merged.labels[10]
    ('hair', 10, 'hair')
"""

from configs.categories import CATEGORIES, by_name
from configs.category import Colour, LabelSpace
from utils.errors import UserError

__all__ = ["BISENET_ORDER", "LABEL_ORDERS", "LABEL_SPACES", "Colour", "LabelSpace", "order_table", "shown_palette"]

LABEL_SPACES: dict[str, LabelSpace] = by_name(space for category in CATEGORIES for space in category.label_spaces)

_FACES = LABEL_SPACES["CelebAMask_HQ"]

# `label_order` of faces: what pixel value 0, 1, 2 ... of a file means, in the names of CelebAMask_HQ
_FACE_ORDERS = {
    "celebamask": " ".join(_FACES.labels),
    "bisenet": "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l "
               "cloth hair hat",
    # facer, whose network is FaRL's, trained on CelebAMask-HQ ("celebm")
    "facer": "background neck skin cloth r_ear l_ear r_brow l_brow r_eye l_eye nose mouth l_lip u_lip hair eye_g hat "
             "ear_r neck_l",
    # Microsoft's FaceSynthetics: 14 is a beard, 18 what covers a face
    "facesynthetics": "background skin nose r_eye l_eye r_brow l_brow r_ear l_ear mouth u_lip l_lip neck hair skin "
                      "cloth eye_g hat skin",
    "lapa": "background skin l_brow r_brow l_eye r_eye nose u_lip mouth l_lip hair",
    # the Makeup Transfer data set of BeautyGAN and PSGAN
    "makeup": "background skin l_brow r_brow l_eye r_eye nose u_lip mouth l_lip hair l_ear r_ear neck",
}

# name of the order -> label of CelebAMask_HQ for each pixel value
LABEL_ORDERS: dict[str, tuple[int, ...]] = {
    name: tuple(_FACES.index(part) for part in parts.split()) for name, parts in _FACE_ORDERS.items()}
BISENET_ORDER = LABEL_ORDERS["bisenet"]


def shown_palette(space: LabelSpace) -> tuple[Colour, ...]:
    """The colours in which label maps are shown: those of mask files, so that whatever is shown can be drawn on. Parts
    that share a label in `space` have the colour of the first of them in the table of mask files.
    """
    for files in LABEL_SPACES.values():
        if files.merge is not None and files.merged == space:
            return tuple(files.palette[files.merge.index(label)] for label in range(len(space)))
    return space.palette


def order_table(label_order: str, space: LabelSpace) -> tuple[int, ...]:
    """Label of `space` for each pixel value of a file that is numbered in this order.

    Args:
        label_order: a key of LABEL_ORDERS, or a list such as 'background,skin,hair' (or '0,1,13'): the first entry is
            what value 0 means.

    Raises:
        UserError: there is no such order, it is one of faces and the space is another, or the list names no label.
    """
    if label_order.lower() in LABEL_ORDERS:
        label_order = label_order.lower()
    if label_order == "celebamask":
        return tuple(range(len(space)))
    if label_order in LABEL_ORDERS:
        if space is not _FACES:
            raise UserError(f"`label_order` {label_order}: this order is for CelebAMask-HQ faces, not for {space.name} "
                            "masks; leave it out")
        return LABEL_ORDERS[label_order]
    if "," not in label_order:
        raise UserError(f"`label_order` {label_order}: not known, and there is no such file; choose one of "
                        f"{', '.join(LABEL_ORDERS)}, or give a list of parts, or a file of one (docs/label_spaces.md)")
    names = {**{str(label): label for label in range(len(space))}, **{part: i for i, part in enumerate(space.labels)}}
    entries = [entry.strip() for entry in label_order.split(",")]
    if unknown := [entry for entry in entries if entry not in names]:
        raise UserError(f"`label_order`: {unknown[0]!r} is no part of {space.name}, which has "
                        f"{', '.join(space.labels)} (0 to {len(space) - 1}); mend the list")
    return tuple(names[entry] for entry in entries)
