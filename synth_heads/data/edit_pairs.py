"""Heads in pairs, before and after an edit of one part, as `build_synth_heads.py --edits` makes them."""

from collections.abc import Hashable, Sequence

from datasets.poses import image_id
from datasets.sample_stream import BatchShard, SampleStream, index_at
from datasets.training_set import ImagesDataset3D
from synth_heads.data.record import VIEWS_A_HEAD
from utils.errors import UserError


def find_pairs(ids: Sequence[int], poses: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The indices of both images of each pair, before and after: head 2 k + 1 is head 2 k edited if the same cameras
    see both.

    Args:
        ids: of the images.
        poses: of their cameras, to be compared.
    """
    index_of = {identity: index for index, identity in enumerate(ids)}
    pairs = []
    for before, identity in enumerate(ids):
        head, view = divmod(identity, VIEWS_A_HEAD)
        after = index_of.get((head + 1) * VIEWS_A_HEAD + view) if head % 2 == 0 else None
        if after is not None and poses[before] == poses[after]:
            pairs.append((before, after))
    return pairs


def pairs_of(dataset: ImagesDataset3D) -> list[tuple[int, int]]:
    """Indices of the items before and after an edit, mirrored ones too."""
    ids = [image_id(path) for path in dataset.masks]
    pairs, count = find_pairs(ids, [tuple(dataset.poses[identity]) for identity in ids]), len(ids)
    return [(before + shift, after + shift) for shift in range(0, len(dataset), count) for before, after in pairs]


def check_pairs(pairs: Sequence[tuple[int, int]], images: int) -> None:
    """Refuse `edit_lambda` on heads without partners.

    Raises:
        UserError: not all of the images (their number is given) are in a pair.
    """
    if 2 * len(pairs) != images:
        raise UserError("`edit_lambda`: it needs heads in pairs, before and after an edit; build the data sets with "
                        "`edits`, or leave it out")


class PairStream(SampleStream):
    """A stream of pairs in place of single samples; before and after stand at neighbouring positions, 2 k and 2 k + 1.

    Args:
        pairs: indices of samples.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]], seed: int, shard: BatchShard, start: int = 0) -> None:
        super().__init__(2 * len(pairs), seed, shard, start)
        self.pairs = pairs

    def at(self, position: int) -> int:
        return self.pairs[index_at(position // 2, len(self.pairs), self.seed)][position % 2]
