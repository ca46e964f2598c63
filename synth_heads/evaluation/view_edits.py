"""Edits drawn on the label maps of held-out heads from the side: how true, and what else changes.

Each head is made twice by the generator, before and after a change of its code: so it is known which pixels of a view
change their label, and to which. These are drawn on the label map that the model itself renders of the head before.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from configs.label_spaces import LabelSpace, shown_palette
from datasets.masks.relabel import merged_to
from editing.editor import Editor, EditReport, compare, labels_of
from editing.region import region_around
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.codes import Codes
from models.sem2nerf import Sem2NeRF
from models.view import View
from synth_heads.data.dataset import camera_angles, draw_head
from synth_heads.data.record import Settings
from synth_heads.data.samples import Changes
from synth_heads.evaluation.heads import MASK_SIZE
from synth_heads.generator.head import Head
from synth_heads.generator.latent import COLOUR, latent_index
from synth_heads.generator.renderer import render
from utils.images import colour_labels, to_uint8

SIDE = Camera(FRONTAL - math.radians(30))   # where edits are drawn
OTHER = Camera(FRONTAL + math.radians(10))  # 40 degrees aside: the edit should be seen from there as well
SIZE = 128
SHEET_HEADS = 4
# of an `EditReport` and a `Row`, with their headings
COLUMNS = {"region": "region", "wanted_before": "wanted before", "wanted": "wanted",
           "labels_outside": "outside: labels", "colours_outside": "outside: colours",
           "aside": "wanted, 40 degrees aside", "cpu_seconds": "processor seconds", "seconds": "seconds"}

Labels = UInt8[np.ndarray, "size size"]


class HeadEdit(NamedTuple):
    """Entries of a head's code, before and after."""

    before: Changes
    after: Changes


EDITS = {
    "hair": HeadEdit({("hair", "length"): -1.5, ("hair", "volume"): -0.5},
                     {("hair", "length"): 2.2, ("hair", "volume"): 2.0}),
    "mouth": HeadEdit({("expression", "jaw"): 2.0},
                      {("expression", "jaw"): -1.5, ("expression", "teeth"): -2.0, ("expression", "smile"): -0.5}),
    "glasses": HeadEdit({("glasses", "worn"): 0.0}, {("glasses", "worn"): 2.0, ("glasses", "size"): 0.8}),
}


@dataclass(frozen=True)
class Trial:
    """One head before and after an edit. The true labels, of the model's camera, are those of mask files."""

    mask: UInt8[np.ndarray, "512 512"]  # of the head before, from its own pose: what the model is given
    side: tuple[Labels, Labels]         # before and after, from SIDE
    other: tuple[Labels, Labels]        # the same from OTHER


class Row(NamedTuple):
    """One way to edit, measured."""

    report: EditReport
    other: EditReport         # the same from OTHER
    cpu_seconds: float        # processor time of the edit alone
    seconds: float            # on the clock
    drawn: Labels             # the wanted map, from SIDE
    before: tuple[View, View]   # from SIDE and OTHER
    after: tuple[View, View]


def make_trial(number: int, edit: str, seed: int, size: int = SIZE) -> Trial:
    """Head `number` of a seed, in the fixed palette and without a hat, for a key of EDITS."""
    z, poses_deg = draw_head(Settings(num_heads=number + 1, views=1, size=128, seed=seed), number)
    z[COLOUR] = 0
    z[latent_index("hat", "worn")] = 0
    heads = []
    for changes in EDITS[edit]:
        for entry, value in changes.items():
            z[latent_index(*entry)] = value
        heads.append(Head.from_latent(z.copy()))
    mask = render(heads[0], *camera_angles(poses_deg[0]).tolist(), MASK_SIZE, supersample=1).labels
    side, other = ([render(head, camera.yaw, camera.pitch, size, margin=1).labels for head in heads]
                   for camera in (SIDE, OTHER))
    return Trial(mask, (side[0], side[1]), (other[0], other[1]))


def try_edit(net: Sem2NeRF, trial: Trial, steps: int) -> Iterator[tuple[str, Row]]:
    """Name and row of the delta alone, and of the delta refined (unless `steps` is 0).

    The share of wanted labels is that of the pixels whose true label changes, and outside is what lies farther from
    them than a margin; all labels are those that the model's semantic head gives its own views.
    """
    scene, space = net.scene(trial.mask), net.input.space
    editor, aside = (Editor(net, scene, camera, len(trial.side[0])) for camera in (SIDE, OTHER))
    target = editor.head.space
    looks = [_Look(look, *(merged_to(labels, space, target) for labels in pair))
             for look, pair in ((editor, trial.side), (aside, trial.other))]
    drawn = looks[0].drawn

    def row(codes: Codes, cpu: float, clock: float) -> Row:
        seen = net.scene_of(codes)
        views = [look.editor.view(seen) for look in looks]
        first, second = (compare(look.editor.before, view, look.drawn, region_around(look.changed))
                         for look, view in zip(looks, views))
        return Row(first, second, cpu, clock, drawn, (editor.before, aside.before), (views[0], views[1]))

    cpu, clock = time.process_time(), time.perf_counter()
    codes = editor.delta(drawn)
    yield "delta", row(codes, time.process_time() - cpu, time.perf_counter() - clock)
    if steps:
        cpu, clock = time.process_time(), time.perf_counter()
        codes = editor.refine(drawn, editor.delta(drawn), steps)
        yield "refined", row(codes, time.process_time() - cpu, time.perf_counter() - clock)


class _Look(NamedTuple):
    """One side of a trial; the true labels as the semantic head numbers them."""

    editor: Editor
    before: Labels
    after: Labels

    @property
    def changed(self) -> Bool[np.ndarray, "size size"]:
        return self.before != self.after

    @property
    def drawn(self) -> Labels:
        """The model's own map with the true change drawn on it."""
        return np.where(self.changed, self.after, self.editor.labels)


class Scores:
    """Rows of all heads, and their means by edit and way."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, number: int, edit: str, way: str, row: Row) -> None:
        """One row of `try_edit`."""
        self.rows.append({"head": number, "edit": edit, "way": way, **asdict(row.report), "aside": row.other.wanted,
                          "cpu_seconds": row.cpu_seconds, "seconds": row.seconds})

    def means(self) -> list[dict[str, Any]]:
        """One entry for each edit and way, in the order in which they came."""
        keys = list(dict.fromkeys((row["edit"], row["way"]) for row in self.rows))
        out = []
        for edit, way in keys:
            rows = [row for row in self.rows if (row["edit"], row["way"]) == (edit, way)]
            out.append({"edit": edit, "way": way, "heads": len(rows),
                        **{name: float(np.mean([row[name] for row in rows])) for name in COLUMNS}})
        return out

    def table(self) -> str:
        """The means, in Markdown."""
        lines = ["| edit | way | heads | " + " | ".join(COLUMNS.values()) + " |", "|---" * (3 + len(COLUMNS)) + "|"]
        for row in self.means():
            values = " | ".join(f"{row[name]:.3f}" for name in COLUMNS)
            lines.append(f"| {row['edit']} | {row['way']} | {row['heads']} | {values} |")
        return "\n".join(lines)

    def as_json(self) -> str:
        """The means, and every row."""
        return json.dumps({"means": self.means(), "rows": self.rows}, indent=1) + "\n"


def sheet_row(tried: Mapping[str, Row], space: LabelSpace) -> list[UInt8[np.ndarray, "size size 3"]]:
    """Images: map and both views before; the wanted map; then map and both views of each way."""
    def shown(views: tuple[View, View]) -> list[UInt8[np.ndarray, "size size 3"]]:
        return [colour_labels(labels_of(views[0]), shown_palette(space)), *(to_uint8(view.rgb) for view in views)]

    first = next(iter(tried.values()))
    return [*shown(first.before), colour_labels(first.drawn, shown_palette(space)),
            *(image for row in tried.values() for image in shown(row.after))]
