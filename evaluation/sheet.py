"""One image to look at: masks, true images, renders, segmented renders and styles, one mask per row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evaluation.networks import Networks
from evaluation.test_views import TestViews
from utils.errors import UserError
from utils.images import save_png, to_uint8
from utils.panels import mask_image, panel

SIDES = 96, 192    # pixels: the smallest and the largest side of an image on the sheet


def write_sheet(path: Path, tests: TestViews, networks: Networks, wanted: Mapping[str, int], rows: int) -> None:
    """The first `rows` masks.

    Args:
        wanted: kinds of views that were rendered, each with for how many masks.

    Raises:
        UserError: a render cannot be read or the file cannot be written.
    """
    space, kinds = tests.data.config.label_space, [kind for kind in ("own", "near", "novel") if kind in wanted]
    try:
        photographs = tests.photographs()
    except UserError:  # masks without photographs
        photographs = None
    captions, lines = ["mask"], []
    for index in range(min(rows, len(tests))):
        views = {kind: tests.views(kind, index).rgb for kind in wanted if index < wanted[kind]}
        line = [mask_image(tests.labels("own", index, merged=False)[0], space)]
        if photographs is not None:
            line.append(photographs[index]["image"].permute(1, 2, 0).numpy())
        line += [to_uint8(views[kind][0]) for kind in kinds]
        if networks.face_segmenter is not None:
            labels = networks.face_segmenter.segment(views["own"].to(networks.device))[0]
            line.append(mask_image(labels, space.merged))
        lines.append(line + [to_uint8(image) for image in views.get("styles", ())])
    captions += ["true image"] * (photographs is not None) + kinds
    captions += ["segmented"] * (networks.face_segmenter is not None)
    captions += ["style"] * (len(lines[0]) - len(captions))
    save_png(path, panel(captions, lines, min(max(tests.renders.settings.size, SIDES[0]), SIDES[1])))
