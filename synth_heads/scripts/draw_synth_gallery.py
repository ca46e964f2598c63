"""Draw the images of SynthHeads, or make the mask samples again.

    python synth_heads/scripts/draw_synth_gallery.py     # synth_heads/docs/*.jpg
    python synth_heads/scripts/draw_synth_gallery.py --samples data/CelebAMask-HQ/mask_samples  # the samples
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from options.arguments import HelpFormatter, Parser, add_flag
from utils.cli import command, run

if TYPE_CHECKING:
    import numpy as np

GALLERY, COLUMNS, TILE = 40, 8, 192
SEEN_FROM_ALL_SIDES = (20, 10, 5, 36, 37)   # heads of the gallery
VIEW_TILE, SAMPLE_TILE = 144, 160


def gallery() -> "np.ndarray":
    """The first heads of seed 0, in their first views."""
    from synth_heads.data.dataset import camera_angles, draw_head
    from synth_heads.data.record import Settings
    from synth_heads.generator.head import Head
    from synth_heads.generator.renderer import render

    tiles, settings = [], Settings(num_heads=GALLERY, views=1, size=TILE)
    for number in range(GALLERY):
        z, poses_deg = draw_head(settings, number)
        yaw, pitch = camera_angles(poses_deg)[0]
        tiles.append(render(Head.from_latent(z), float(yaw), float(pitch), TILE, supersample=3).rgb)
    return grid(tiles, COLUMNS)


def all_sides() -> "np.ndarray":
    """Heads from five sides: images, masks, overlays."""
    import math

    from configs.data_configs import DATA_CONFIGS
    from synth_heads.data.dataset import draw_head
    from synth_heads.data.record import Settings
    from synth_heads.generator.head import Head
    from synth_heads.generator.renderer import render
    from utils.images import colour_labels, overlay

    config, tiles = DATA_CONFIGS["synthheads_seg_to_3dface"], []
    for number in SEEN_FROM_ALL_SIDES:
        head = Head.from_latent(draw_head(Settings(num_heads=GALLERY, views=1, size=VIEW_TILE), number)[0])
        views = [render(head, math.pi / 2 + offset, math.pi / 2, VIEW_TILE, supersample=3)
                 for offset in config.eval_yaw_offsets]
        masks = [colour_labels(view.labels, config.label_space.palette) for view in views]
        tiles += [view.rgb for view in views] + masks
        tiles += [overlay(view.rgb, mask, 0.5) for view, mask in zip(views, masks, strict=True)]
    return grid(tiles, 5)


def edited_samples() -> "np.ndarray":
    """The mask samples: image and mask, then each edit's mask and image; two pairs per row."""
    from configs.data_configs import DATA_CONFIGS
    from synth_heads.data.samples import SAMPLES, sample_view
    from utils.images import colour_labels

    palette, tiles = DATA_CONFIGS["synthheads_seg_to_3dface"].label_space.palette, []
    for sample in SAMPLES:
        for edit in sample.edits:
            before, after = (sample_view(sample, name, SAMPLE_TILE) for name in (None, edit))
            masks = [colour_labels(view.labels, palette) for view in (before, after)]
            tiles += [before.rgb, *masks, after.rgb]
    return grid(tiles, 8)


def grid(tiles: "list[np.ndarray]", columns: int) -> "np.ndarray":
    """Tiles of one size in rows; an incomplete last row is filled with white."""
    import numpy as np

    tiles = tiles + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i:i + columns], 1) for i in range(0, len(tiles), columns)])


@command()
def main(argv: Sequence[str]) -> None:
    """Draw what was asked for."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("synth_heads/docs"), help="folder for the images")
    parser.add_argument("--samples", type=Path, help="write the mask samples into this folder instead")
    add_flag(parser, "--debug", "show the traceback of an error")
    args = parser.parse_args(argv)

    from PIL import Image

    from utils.files import atomic_path

    if args.samples:
        from synth_heads.data.samples import write_samples

        print(f"{len(write_samples(args.samples))} masks and their poses in {args.samples}")
        return
    for name, draw in (("gallery", gallery), ("views", all_sides), ("samples", edited_samples)):
        path = args.docs / f"{name}.jpg"
        with atomic_path(path) as temporary:
            Image.fromarray(draw()).save(temporary, quality=88, subsampling=0, optimize=True)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    run(main)
