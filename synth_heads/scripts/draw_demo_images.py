"""Draw the images of the README with a model: masks, turning heads, one mask edited, one mask in several styles; label
maps from five sides, and an edit drawn from the side, where the model has a semantic head.

    python synth_heads/scripts/draw_demo_images.py      # docs/input.png, output.gif ...
    python synth_heads/scripts/draw_demo_images.py --checkpoint_path out/demo/sem2nerf_demo.pt --docs /tmp/images
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, add_flag, natural, positive
from utils.cli import command, run

if TYPE_CHECKING:
    import numpy as np

MASKS = Path(__file__).resolve().parents[2] / "data/CelebAMask-HQ/mask_samples"
SHOWN = ("90001", "90002", "90003", "90006", "90011", "90012")
FRAMES = 18
SAMPLES = 24
SIDES = (-0.8, -0.4, 0.0, 0.4, 0.8)    # of the label maps: yaw, radians from the front
EDITED_HEAD, EDITED_SEED = 3, 3003     # of the edit from the side


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="draw_demo_images.py", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--checkpoint_path", type=Path, default=DEMO_CHECKPOINT, help="a model of faces")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder for the images")
    parser.add_argument("--size", type=positive, default=128, help="pixels of each head")
    parser.add_argument("--frames", type=positive, default=FRAMES, help="of the animation")
    parser.add_argument("--refine_steps", type=natural, default=60, help="of the edit from the side")
    parser.add_argument("--latent_mask", default="6,7,8", help="layers that a style replaces")
    parser.add_argument("--sampler", choices=("exact", "grid", "auto"), default="auto", help="how views are rendered")
    add_flag(parser, "--debug", "show tracebacks of errors")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)

    import numpy as np

    from utils.images import save_png, stack_rows
    from utils.video import write_video

    model = Model(opts)
    masks = [model.read(MASKS / f"{name}.png") for name in SHOWN]
    print(save_png(opts.docs / "input.png", stack_rows([[model.coloured(mask) for mask in masks]])))
    frames = turning_heads(model, masks, opts.frames)
    write_video(opts.docs / "output.gif", frames, opts.size)
    print(opts.docs / "output.gif")
    before, after = edits(model)
    print(save_png(opts.docs / "edits.png", stack_rows([[model.coloured(mask) for mask in (before, *after)],
                                                        [model.view(mask) for mask in (before, *after)]])))
    layers = [int(layer) for layer in opts.latent_mask.split(",")]
    styled = [model.view(masks[2], style=seed, layers=layers) for seed in range(1, 7)]
    print(save_png(opts.docs / "styles.png", np.concatenate(
        [model.coloured(masks[2]), model.view(masks[2]), *styled], 1)))
    if model.net.semantic_head is not None:
        print(save_png(opts.docs / "labels.png", stack_rows(label_maps(model, masks[1]))))
        print(save_png(opts.docs / "edit_from_side.png", stack_rows(edit_from_side(model))))


class Model:
    """A model of faces, and how it is shown."""

    def __init__(self, opts: argparse.Namespace) -> None:
        from models.sem2nerf import Sem2NeRF

        self.opts, self.net = opts, Sem2NeRF.from_checkpoint(opts.checkpoint_path)

    def read(self, path: Path) -> "np.ndarray":
        """The labels of a file."""
        return self.net.input.labels(path)

    def coloured(self, mask: "np.ndarray") -> "np.ndarray":
        """A mask in its colours, framed as the model sees it."""
        from utils.images import colour_labels

        reader = self.net.input
        return colour_labels(reader.transform.at(self.opts.size).apply(mask), reader.space.palette)

    def scene(self, mask: "np.ndarray", **style: Any) -> Any:
        """A mask's scene."""
        return self.net.scene(mask, **style)

    def view(self, mask: "np.ndarray", style: int | None = None, layers: Sequence[int] = ()) -> "np.ndarray":
        """The frontal view of a mask."""
        from utils.images import to_uint8

        scene = self.scene(mask, style_seed=style, style_layers=layers)
        return to_uint8(scene.render(size=self.opts.size, samples=SAMPLES, sampler=self.opts.sampler).rgb)


def turning_heads(model: Model, masks: "list[np.ndarray]", frames: int) -> "list[np.ndarray]":
    """All masks' scenes side by side, on the round that inference's front trajectory makes."""
    import numpy as np

    from models.pigan.cameras import Camera
    from models.pigan.trajectories import front_trajectory
    from utils.images import to_uint8

    cameras = [Camera(camera.yaw, camera.pitch) for camera in front_trajectory(frames + 1)[:-1]]
    columns = []
    for mask in masks:
        scene = model.scene(mask)
        columns.append([to_uint8(scene.render(camera, model.opts.size, SAMPLES, sampler=model.opts.sampler).rgb)
                        for camera in cameras])
    return [np.concatenate(images, 1) for images in zip(*columns, strict=True)]


def label_maps(model: Model, mask: "np.ndarray") -> "list[list[np.ndarray]]":
    """One mask's scene from five sides, and below each view its label map."""
    from configs.label_spaces import shown_palette
    from editing.editor import labels_of
    from models.pigan.cameras import FRONTAL, Camera
    from utils.images import colour_labels, to_uint8

    scene = model.scene(mask)
    views = [scene.render(Camera(FRONTAL + yaw), model.opts.size, SAMPLES, sampler=model.opts.sampler, labels=True)
             for yaw in SIDES]
    palette = shown_palette(model.net.semantic_head.space)
    return [[model.coloured(mask), *(to_uint8(view.rgb) for view in views)],
            [_blank(model.opts.size), *(colour_labels(labels_of(view), palette) for view in views)]]


def _blank(size: int) -> "np.ndarray":
    """An empty tile."""
    import numpy as np

    return np.full((size, size, 3), 255, np.uint8)


def edit_from_side(model: Model) -> "list[list[np.ndarray]]":
    """A head before and after its hair has been drawn longer from the side: the map, that side, and other sides."""
    from configs.label_spaces import shown_palette
    from datasets.masks.relabel import merged_to
    from editing.editor import Editor, labels_of
    from models.pigan.cameras import FRONTAL, Camera
    from synth_heads.evaluation.view_edits import SIDE, make_trial
    from utils.images import colour_labels, to_uint8

    net, size = model.net, model.opts.size
    trial = make_trial(EDITED_HEAD, "hair", EDITED_SEED, size)
    editor = Editor(net, net.scene(trial.mask), SIDE, size, SAMPLES, model.opts.sampler)
    before, after = (merged_to(labels, net.input.space, editor.head.space) for labels in trial.side)
    drawn = editor.labels.copy()
    drawn[before != after] = after[before != after]
    codes = editor.delta(drawn)
    if model.opts.refine_steps:
        codes = editor.refine(drawn, codes, model.opts.refine_steps)
    cameras, palette = [Camera(FRONTAL + yaw) for yaw in (-0.9, 0.0, 0.5)], shown_palette(editor.head.space)
    return [[colour_labels(labels, palette), to_uint8(view.rgb),
             *(to_uint8(scene.render(camera, size, SAMPLES, sampler=model.opts.sampler).rgb) for camera in cameras)]
            for labels, view, scene in ((labels_of(editor.before), editor.before, editor.scene),
                                        (drawn, editor.attempt(drawn, codes).view, net.scene_of(codes)))]


def edits(model: Model) -> "tuple[np.ndarray, list[np.ndarray]]":
    """One head's mask, and the masks of six changes of it."""
    from synth_heads.data.samples import SAMPLES as HEADS
    from synth_heads.data.samples import sample_code
    from synth_heads.generator.head import Head
    from synth_heads.generator.latent import latent_index
    from synth_heads.generator.renderer import render

    changes: tuple[dict[tuple[str, str], float], ...] = (
        {("hair", "length"): -1.6, ("hair", "volume"): -0.5},
        {("hair", "fringe"): 2.0},
        {("expression", "jaw"): 2.2},
        {("face", "nose_width"): 2.8, ("face", "nose_length"): 2.2, ("face", "nose_wings"): 2.2},
        {("glasses", "worn"): 2.0, ("glasses", "size"): 0.8},
        {("hat", "worn"): 2.2, ("hat", "kind"): -1.0},
    )
    masks = []
    for change in ({}, *changes):
        z = sample_code(HEADS[0])
        for (group, name), value in change.items():
            z[latent_index(group, name)] = value
        masks.append(render(Head.from_latent(z), 1.5708, 1.5708, 512, supersample=1).labels)
    return masks[0], masks[1:]


if __name__ == "__main__":
    run(main)
