"""Heads in pairs, before and after an edit of one part, as `build_synth_heads.py --edits` makes them."""

from collections.abc import Hashable, Sequence

from synth_heads.data.record import VIEWS_A_HEAD
from utils.errors import UserError


def find_pairs(ids: Sequence[int], poses: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The places of both pictures of each pair, before and after: head 2 k + 1 is head 2 k edited if the same cameras
    see both.

    Args:
        ids: of the pictures.
        poses: of their cameras, to be compared.
    """
    places = {identity: place for place, identity in enumerate(ids)}
    pairs = []
    for before, identity in enumerate(ids):
        head, view = divmod(identity, VIEWS_A_HEAD)
        after = places.get((head + 1) * VIEWS_A_HEAD + view) if head % 2 == 0 else None
        if after is not None and poses[before] == poses[after]:
            pairs.append((before, after))
    return pairs


def check_pairs(pairs: Sequence[tuple[int, int]], pictures: int) -> None:
    """Refuse `edit_lambda` on heads without partners.

    Raises:
        UserError: not every one of so many pictures is in a pair.
    """
    if 2 * len(pairs) != pictures:
        raise UserError("`edit_lambda`: it needs heads in pairs, before and after an edit; build the data sets with "
                        "`edits`, or leave it out")
