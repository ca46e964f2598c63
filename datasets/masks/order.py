"""Do the parts of a mask lie as on a head? A wrong order of the labels, or a mask that was turned, shows in nothing
else: an image comes out, but a wrong one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from configs.label_spaces import LABEL_ORDERS, LabelSpace, order_table
from utils.files import read_text

# (one, other): on an upright head the centre of the first part lies higher than that of the second, from every side
_ABOVE = {
    "CelebAMask_HQ": (
        ("hair", "neck"), ("hair", "cloth"), ("hair", "l_lip"), ("hat", "neck"), ("hat", "l_lip"), ("skin", "neck"),
        ("skin", "cloth"), ("neck", "cloth"), ("l_brow", "l_eye"), ("r_brow", "r_eye"), ("l_eye", "nose"),
        ("r_eye", "nose"), ("l_brow", "nose"), ("r_brow", "nose"), ("nose", "u_lip"), ("nose", "l_lip"),
        ("nose", "mouth"), ("u_lip", "mouth"), ("mouth", "l_lip"), ("u_lip", "l_lip"), ("l_eye", "l_lip"),
        ("r_eye", "l_lip"), ("l_lip", "neck"), ("nose", "neck")),
    "CatMask": (
        ("ear", "eye"), ("ear", "nose"), ("ear", "mouth"), ("ear", "head"), ("eye", "nose"), ("eye", "mouth"),
        ("eye", "tongue"), ("nose", "tongue"), ("nose", "mouth")),
}
# the first part has more than this many times the pixels of the second
_LARGER = {
    "CelebAMask_HQ": (
        *(("skin", part, 8) for part in ("l_eye", "r_eye", "l_brow", "r_brow", "u_lip", "l_lip", "ear_r")),
        *(("skin", part, 3) for part in ("nose", "mouth", "l_ear", "r_ear")),
        *(("hair", part, 3) for part in ("l_brow", "r_brow")),
        *(("nose", part, 1) for part in ("l_eye", "r_eye")), *(("eye_g", part, 1.2) for part in ("l_eye", "r_eye")),
        ("neck", "l_lip", 1)),
    "CatMask": (("head", "eye", 3), ("head", "nose", 3), ("head", "mouth", 1), ("head", "ear", 1)),
}
# two parts that lie side by side
_LEVEL = (("l_brow", "r_brow"), ("l_eye", "r_eye"), ("l_ear", "r_ear"))
# the first part lies farther to the side of the nose than the second
_OUTSIDE = (("l_ear", "l_eye"), ("r_ear", "r_eye"))

_FEWEST = 4      # with fewer relations in view nothing can be said
_CLEAR = 0.1    # how much better another reading must fit
_FITS = 0.88     # what a reading must reach to be recommended; the right ones of real masks reach 0.9 and more
_DOUBTFUL = 0.72  # below this no reading is believed


@dataclass(frozen=True)
class _Part:
    """Where a part lies, as fractions of the image, and how many pixels it has."""

    area: float
    row: float
    column: float


_TURNS = {
    "": lambda part: part,
    "upside down": lambda part: _Part(part.area, 1 - part.row, part.column),
    "turned a quarter to the left": lambda part: _Part(part.area, part.column, part.row),
    "turned a quarter to the right": lambda part: _Part(part.area, 1 - part.column, part.row),
}


def read_label_order(label_order: str, space: LabelSpace) -> str:
    """A `label_order` as it is kept: a name, or a list; of a file, its list.

    Args:
        label_order: see `order_table`; or a text file of such a list, with commas or one part per line (a line may
            begin with the value: '13 hair').

    Raises:
        UserError: it is none of these.
    """
    if label_order not in LABEL_ORDERS and "," not in label_order and Path(label_order).is_file():
        lines = [line.partition("#")[0].split() for line in read_text(label_order).replace(",", "\n").splitlines()]
        lines = [line for line in lines if line]
        numbered = {int(line[0]): line[1] for line in lines if len(line) == 2 and line[0].isdecimal()}
        entries = [numbered.get(i, "0") for i in range(max(numbered) + 1)] if numbered else [line[0] for line in lines]
        label_order = ",".join(entries) + "," * (len(entries) == 1)
    order_table(label_order, space)
    return label_order


def suspicious_order(values: UInt8[np.ndarray, "height width"], label_order: str, space: LabelSpace) -> str | None:
    """What to tell the user if the parts do not lie as on an upright head.

    Args:
        values: pixel values as they stand in the file, not yet read in any order.
        label_order: how they are about to be read.
    """
    if space.name not in _ABOVE:
        return None
    found = _parts(values)
    orders = {label_order: order_table(label_order, space), **_known_orders(space)}
    fits = {(name, turn): _fit(found, table, turn, space)
            for name, table in orders.items() for turn in _TURNS if name == label_order or not turn}
    (order, turn), best = max(fits.items(), key=lambda item: item[1] or 0)
    mine = fits[label_order, ""]
    known = "nothing" if mine is None else f"{mine:.0%}"
    if best is not None and best >= _FITS and best - (mine or 0) >= _CLEAR:
        if turn:
            return (f"the parts lie as if the head were {turn} ({best:.0%} of them as on a head, against {known} as it "
                    "is); turn the mask, if so")
        return (f"the parts lie as if the labels were in {order} order ({best:.0%} of them as on a head, against "
                f"{known} in {_called(label_order)} order); if so, use `label_order` {order}")
    if mine is not None and mine < _DOUBTFUL:
        return (f"the parts do not lie as on a head ({mine:.0%} of them do) in {_called(label_order)} order, nor in "
                f"any other that is known ({', '.join(name for name in orders if name != label_order)}); look up "
                "how its maker numbers the parts: `label_order` takes a list of them, or a file")
    return None


def rules(space: LabelSpace) -> dict[str, Any] | None:
    """What `suspicious_order` goes by, as plain data for other languages; None for a space that it does not know."""
    if space.name not in _ABOVE:
        return None
    return {"above": _ABOVE[space.name], "larger": _LARGER[space.name], "level": _LEVEL, "outside": _OUTSIDE,
            "fewest": _FEWEST, "clear": _CLEAR, "fits": _FITS, "doubtful": _DOUBTFUL, "named": list(LABEL_ORDERS),
            "known": _known_orders(space)}


def hair_on_top(labels: Integer[np.ndarray, "height width"], space: LabelSpace) -> bool:
    """Whether a face mask has both skin and hair, and the hair reaches higher."""
    if not {"hair", "skin"} <= set(space.labels):
        return False
    hair, skin = (np.flatnonzero((labels == space.index(part)).any(1)) for part in ("hair", "skin"))
    return bool(len(hair) and len(skin) and hair[0] < skin[0])


def _known_orders(space: LabelSpace) -> dict[str, tuple[int, ...]]:
    return LABEL_ORDERS if len(space) == len(LABEL_ORDERS["celebamask"]) else {}


def _called(label_order: str) -> str:
    return label_order if label_order in LABEL_ORDERS else "the given"


def _parts(values: UInt8[np.ndarray, "height width"]) -> dict[int, _Part]:
    """Pixel value -> where its pixels lie, for the values that occur."""
    step = max(1, min(values.shape) // 256)  # a quarter of the pixels of a usual mask says as much
    values = values[step // 2::step, step // 2::step]
    height, width = values.shape
    flat = values.ravel()
    rows, columns = np.repeat(np.arange(height), width), np.tile(np.arange(width), height)
    total, down, right = (np.bincount(flat, weights, 256) for weights in (None, rows, columns))
    return {int(value): _Part(float(total[value]), down[value] / total[value] / height,
                              right[value] / total[value] / width) for value in np.flatnonzero(total)}


def _fit(found: Mapping[int, _Part], table: tuple[int, ...], turn: str, space: LabelSpace) -> float | None:
    """Fraction of the relations in view that hold when values are read by `table`; None where too few are in view, or
    a value is not in the table."""
    if max(found) >= len(table):
        return None
    groups: dict[str, list[_Part]] = {}
    for value, part in found.items():
        groups.setdefault(space.labels[table[value]], []).append(_TURNS[turn](part))
    parts = {name: _joined(group) for name, group in groups.items()}

    def seen(pairs: Iterable[tuple[str, str]]) -> list[tuple[_Part, _Part]]:
        return [(parts[one], parts[other]) for one, other in pairs if one in parts and other in parts]

    holds = [one.row < other.row for one, other in seen(_ABOVE[space.name])]
    if len(holds) < _FEWEST:
        return None
    holds += [parts[one].area > factor * parts[other].area for one, other, factor in _LARGER[space.name]
              if one in parts and other in parts]
    holds += [abs(one.row - other.row) < abs(one.column - other.column) for one, other in seen(_LEVEL)]
    if nose := parts.get("nose"):
        holds += [abs(one.column - nose.column) > abs(other.column - nose.column) for one, other in seen(_OUTSIDE)]
    return sum(holds) / len(holds)


def _joined(parts: list[_Part]) -> _Part:
    """Of several values that mean the same part."""
    area = sum(part.area for part in parts)
    return _Part(area, sum(p.row * p.area for p in parts) / area, sum(p.column * p.area for p in parts) / area)
