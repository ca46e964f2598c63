"""What metrics look at: the rendered views of a test set, and what is true of them.

    tests = TestViews(data, renders)
    tests.views("own", 0).rgb         # (1, 3, size, size) in [-1, 1]: renders of the first mask from its own pose
    tests.labels("own", 0)            # (1, size, size): the mask, as the model's camera sees it
    tests.truth("own", 0)             # the true image, its labels, the true depth: one per view
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.masks.files import read_mask
from datasets.masks.maps import merge_labels
from datasets.training_set import ImagesDataset3D
from evaluation.rendering import Renders, SavedViews
from evaluation.test_set import EvaluationSet

Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


def silent(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    """No progress bar."""
    return items


@dataclass(frozen=True)
class TrueView:
    """What the generator of a data set, or a photograph, shows in one view."""

    pixels: UInt8[Tensor, "3 size size"]
    labels: UInt8[Tensor, "size size"]
    depth: Float[Tensor, "size size"] | None    # distance along the ray, infinite on the background; None: unknown


class TestViews:
    """
    Args:
        data: the masks and their poses.
        renders: the views that were rendered of them.
        track: shows progress: takes items, what is done with them and their number, gives the items back.
    """

    __test__ = False  # no test, whatever pytest thinks of the name

    def __init__(self, data: EvaluationSet, renders: Renders, track: Track = silent) -> None:
        self.data, self.renders, self._track = data, renders, track
        self._photographs: dict[str, ImagesDataset3D] = {}

    def __len__(self) -> int:
        return len(self.data.masks)

    @property
    def sides(self) -> tuple[str, ...]:
        """The kinds of views whose truth is known: `own`, and `novel` where heads were seen from several sides."""
        return ("own", "novel") if self.data.has_novel else ("own",)

    @property
    def has_depth(self) -> bool:
        return self.data.has_depth

    def numbers(self, what: str, count: int | None = None) -> Iterable[int]:
        """Numbers of the masks (of the first `count`), with a progress bar that says `what`."""
        count = len(self) if count is None else count
        return self._track(range(count), what, count)

    def views(self, kind: str, index: int) -> SavedViews:
        """The renders of a mask, see `evaluation.rendering`.

        Raises:
            UserError: they cannot be read.
        """
        return self.renders.load(kind, self.data.masks[index].name)

    def labels(self, kind: str, index: int, merged: bool = True) -> UInt8[Tensor, "views size size"]:
        """The true labels of a mask's views, as the model's camera sees them."""
        mask, space, settings = self.data.masks[index], self.data.config.label_space, self.renders.settings
        frame, out = settings.transform.at(settings.size), []
        for path in [other.path for other in mask.novel] if kind == "novel" else [mask.path]:
            labels = read_mask(path, space, label_order=settings.model.input.label_order)
            out.append(torch.from_numpy(frame.apply(merge_labels(labels, space) if merged else labels)))
        return torch.stack(out)

    def photographs(self, kind: str = "own") -> ImagesDataset3D:
        """The photographs of one kind of views.

        Raises:
            UserError: one is missing.
        """
        if kind not in self._photographs:
            settings = self.renders.settings
            self._photographs[kind] = self.data.truth(settings.transform, settings.size, settings.merged,
                                                      kind == "novel", settings.model.input.label_order)
        return self._photographs[kind]

    def truth(self, kind: str, index: int) -> list[TrueView]:
        """What is true of a mask's views of one kind.

        Raises:
            UserError: a photograph or a depth image is missing or cannot be read.
        """
        photographs, settings = self.photographs(kind), self.renders.settings
        item, path = photographs[index], photographs.masks[index]
        depth = self.data.depth(path, settings.transform, settings.size) if self.has_depth else None
        return [TrueView(item["image"], item["label"], depth)]
