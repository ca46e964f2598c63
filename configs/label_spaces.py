"""The label tables: what every pixel value of a semantic mask means, its colour, and how labels merge.

    >>> faces = LABEL_SPACES["CelebAMask_HQ"]
    >>> faces.labels[13], faces.merge[13], faces.merged.labels[10]
    ('hair', 10, 'hair')
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpace:
    """One table of labels. Label 0 is always the background.

    `merge[label]` is the label in `merged`, the coarser space that the released networks read; both are None for a
    space that is already merged. `face` names the part without which a mask shows no head.
    """

    name: str
    labels: tuple[str, ...]            # pixel value -> name
    palette: tuple[Colour, ...]        # pixel value -> RGB, 0..255
    face: str
    merge: tuple[int, ...] | None = None
    merged: "LabelSpace | None" = None

    def __post_init__(self) -> None:
        if len(self.palette) != len(self.labels) or self.face not in self.labels:
            raise ValueError(f"label space {self.name}: labels, palette and face do not fit together")
        if (self.merge is None) != (self.merged is None):
            raise ValueError(f"label space {self.name}: merge and merged go together")
        if self.merge is not None and self.merged is not None and (
            len(self.merge) != len(self) or set(self.merge) != set(range(len(self.merged)))
        ):
            raise ValueError(f"label space {self.name}: merge does not map onto {self.merged.name}")

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """Pixel value of the part called `label`."""
        return self.labels.index(label)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Pixel value -> pixel value in the mirrored image: l_eye and r_eye change places."""
        other = {"l_": "r_", "r_": "l_"}
        names = [other.get(name[:2], name[:2]) + name[2:] for name in self.labels]
        return tuple(self.labels.index(name) if name in self.labels else index for index, name in enumerate(names))

    @property
    def ambiguous_colours(self) -> dict[Colour, tuple[int, ...]]:
        """Colours that stand for more than one label: a coloured mask that uses one cannot be decoded."""
        users = {colour: tuple(i for i, other in enumerate(self.palette) if other == colour) for colour in self.palette}
        return {colour: labels for colour, labels in users.items() if len(labels) > 1}


_CELEBA_MERGED = LabelSpace(
    name="CelebAMask_HQ_merged",
    labels=("background", "skin", "nose", "eye_g", "eye", "brow", "ear", "mouth", "u_lip", "l_lip", "hair", "hat",
            "ear_r", "neck_l", "neck", "cloth"),
    palette=((0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (0, 255, 255), (255, 204, 204), (102, 51, 0),
             (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204), (255, 51, 153), (0, 204, 204), (0, 51, 0),
             (255, 153, 51), (0, 204, 0)),
    face="skin",
)

# l_* is the person's left, which is the right side of the image
_CELEBA = LabelSpace(
    name="CelebAMask_HQ",
    labels=("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth",
            "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
    palette=((0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (51, 51, 255), (204, 0, 204), (0, 255, 255),
             (255, 204, 204), (102, 51, 0), (255, 0, 0), (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204),
             (255, 51, 153), (0, 204, 204), (0, 51, 0), (255, 153, 51), (0, 204, 0)),
    face="skin",
    merge=(0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    merged=_CELEBA_MERGED,
)

_CAT_MERGED = LabelSpace(
    name="CatMask_merged",
    labels=("background", "head", "ear", "eye", "mouth", "tongue", "nose", "whiskers"),
    palette=((0, 0, 0), (204, 0, 0), (102, 51, 0), (0, 255, 255), (255, 204, 204), (25, 204, 204), (76, 153, 0),
             (0, 0, 0)),
    face="head",
)

# DatasetGAN's cat parts; those of the body all merge into the background
_CAT = LabelSpace(
    name="CatMask",
    labels=("background", "body_1", "body_2", "body_3", "body_4", "body_5", "body_6", "head", "ear", "eye", "mouth",
            "tongue", "nose", "body_13", "whiskers", "body_15"),
    palette=((255, 255, 255), (220, 220, 0), (190, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35),
             (102, 102, 156), (152, 251, 152), (119, 11, 32), (244, 35, 232), (220, 20, 60), (52, 83, 84),
             (194, 87, 125), (225, 96, 18), (31, 102, 211), (104, 131, 101)),
    face="head",
    merge=(0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 7, 0),
    merged=_CAT_MERGED,
)

LABEL_SPACES: dict[str, LabelSpace] = {space.name: space for space in (_CELEBA, _CELEBA_MERGED, _CAT, _CAT_MERGED)}

# The popular BiSeNet face parser numbers the same 19 parts differently: BISENET_ORDER[its index] is the label here.
BISENET_ORDER: tuple[int, ...] = (0, 1, 6, 7, 4, 5, 3, 8, 9, 15, 2, 10, 11, 12, 17, 16, 18, 13, 14)

# `label_order`: pixel value in the file -> CelebAMask_HQ label
LABEL_ORDERS: dict[str, tuple[int, ...]] = {"celebamask": tuple(range(19)), "bisenet": BISENET_ORDER}
