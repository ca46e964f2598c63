"""One image to look at: masks, true images, renders, segmented renders and styles, one mask per row."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.label_spaces import shown_palette
from evaluation.networks import Networks
from evaluation.test_views import TestViews
from utils.errors import UserError
from utils.images import save_png, to_uint8
from utils.panels import Image, mask_image, panel

SIDES = 96, 192    # pixels: the smallest and the largest side of an image on the sheet


def write_sheet(path: Path, tests: TestViews, networks: Networks, wanted: Mapping[str, int], rows: int,
                below: Sequence[Sequence[Image]] = ()) -> None:
    """The first `rows` masks.

    Args:
        wanted: kinds of views that were rendered, each with for how many masks.
        below: more rows of images.

    Raises:
        UserError: a render cannot be read or the file cannot be written.
    """
    space, captions, lines = tests.data.config.label_space, [], []
    for index in range(min(rows, len(tests))):
        columns = {"mask": [mask_image(tests.labels("own", index, merged=False)[0], space.palette)]}
        with contextlib.suppress(UserError):  # masks without photographs
            columns["true image"] = [tests.truth("own", index)[0].pixels.permute(1, 2, 0).numpy()]
        views = {kind: tests.views(kind, index).rgb for kind, count in wanted.items() if index < count}
        styles = views.pop("styles", ())
        columns |= {kind: [to_uint8(image) for image in images] for kind, images in views.items()}
        if networks.face_segmenter is not None and space.merged is not None:
            labels = networks.face_segmenter.segment(views["own"].to(networks.device))[0]
            columns["segmented"] = [mask_image(labels, shown_palette(space.merged))]
        columns["style"] = [to_uint8(image) for image in styles]
        lines.append([image for images in columns.values() for image in images])
        captions = captions or [name for name, images in columns.items() for _ in images]
    save_png(path, panel(captions, [*lines, *below], min(max(tests.renders.settings.size, SIDES[0]), SIDES[1])))
