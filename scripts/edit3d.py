"""Edit a head from any side by drawing on its label map. `--help` shows worked commands."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from editing.options import parse_options
from options.inference_options import IMAGE_OPTIONS, find_checkpoint
from utils.cli import command, run
from utils.errors import UserError, warn

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    from models.scene import Scene
    from models.sem2nerf import Sem2NeRF

FOREIGN = 0.6  # share of a view from which on an edit is probably the drawing of another


@command("lower `test_output_size`")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}")

    from configs.data_configs import data_config
    from datasets.masks.map_files import check_tables, read_map
    from editing.editor import Editor
    from editing.results import WRITTEN, Edited, EditResults, in_words
    from inference.results import VideoSettings
    from inference.view_renderer import ViewRenderer, ViewSettings
    from models.checkpoints import read_checkpoint
    from models.config import with_options
    from models.pigan.cameras import FRONTAL, Camera
    from models.pigan.trajectories import sweep
    from models.sem2nerf import Sem2NeRF
    from models.semantic_files import load_semantic_head
    from utils.device import pick_devices
    from utils.files import make_folder

    answers = {"label_order": opts.label_order} if "label_order" in given else {}
    contents = with_options(read_checkpoint(checkpoint), answers, checkpoint)
    for name in IMAGE_OPTIONS:
        if name not in given:
            setattr(opts, name, contents["opts"].get(name, getattr(opts, name)))
    net = Sem2NeRF.from_contents(contents, checkpoint).to(pick_devices(opts.device, "0")[0])
    if opts.semantic_head:
        net.semantic_head = load_semantic_head(opts.semantic_head, net.siren)
    if net.semantic_head is None:
        raise UserError(f"{checkpoint} has no semantic head, so it gives no label maps; give one with "
                        "`semantic_head`, or train it with scripts/train_semantics.py")
    check_tables(net.semantic_head.space, net.input.space)
    drawn = read_map(opts.edit, net.input.space, net.semantic_head.space) if opts.edit else None
    folder = make_folder(opts.out)
    if opts.edit and Path(opts.edit).resolve().parent == folder.resolve() and Path(opts.edit).name in WRITTEN:
        raise UserError(f"`out` {folder}: the map that was drawn on lies there as {Path(opts.edit).name} and would be "
                        "overwritten; choose another folder")

    camera = Camera(FRONTAL + opts.yaw, FRONTAL + opts.pitch)
    editor = Editor(net, scene_of(net, opts), camera, opts.test_output_size, opts.pigan_infer_ray_step)
    renderer = ViewRenderer(net, ViewSettings(opts.test_output_size, opts.pigan_infer_ray_step))
    offsets = data_config(contents["opts"]["dataset_type"]).eval_yaw_offsets
    video = VideoSettings(opts.trajectory, opts.num_frames, suffix=opts.video_format) if opts.render_videos else None
    others = sweep("h", offsets, len(offsets), net.config.camera.fov_deg)
    results = EditResults(editor, renderer, folder, others, video)
    if drawn is None:
        written = results.write_map()
    else:
        first = editor.attempt(drawn, editor.delta(drawn))
        if first.report.region > FOREIGN:
            warn(f"{opts.edit}: differs from this view's map in {first.report.region:.0%} of its pixels; was it "
                 "drawn on the map of this head, and from this side?")
        edited = Edited(drawn, {"delta": first})
        print(in_words(edited.reports), flush=True)
        written = results.write_answer(edited)  # there to use, whatever becomes of the refinement
        if opts.refine_steps:
            print(f"refining, {opts.refine_steps} steps; the answer so far is in {folder}/", flush=True)
            codes = editor.refine(drawn, first.codes, opts.refine_steps)
            edited.tried["refined"] = editor.attempt(drawn, codes)
            print("refined: no nearer to the drawing, so the delta stays" if codes is first.codes
                  else f"{in_words(edited.reports).splitlines()[-1]}\nthe refined head stays: its score is "
                       f"{edited.result.report.score:.2f}, the delta's {first.report.score:.2f} (docs/editing.md)")
            written = results.write_answer(edited)
        written += results.write_views(edited)
    print(f"wrote {', '.join(path.name for path in written)} to {folder}/")


def scene_of(net: "Sem2NeRF", opts: argparse.Namespace) -> "Scene":
    """The head as it is before the edit."""
    from editing.files import load_codes

    if opts.codes:
        return net.scene_of(load_codes(opts.codes, net.siren))
    mask = net.read(opts.mask, opts.mask_encoding)
    return net.scene(mask, opts.inject_code_seed if opts.latent_mask else None, opts.latent_mask)


if __name__ == "__main__":
    run(main)
