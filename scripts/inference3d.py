"""Semantic masks -> rows of images and videos of 3D heads. `--help` shows worked commands."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.inference_options import complete, find_checkpoint, model_opts, parse_options, warnings_for
from utils.cli import command, run

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    import numpy as np

    from datasets.inference_set import InferenceDataset, MaskItem
    from models.pigan.codes import Codes
    from models.scene import Scene
    from scripts.inference_renderer import Renderer

FIRST_FRAME = 1000  # frames are numbered from here, views of a row from 0


@command(paths_list="infer_paths_conf")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    for line in warnings_for(given):
        print(f"warning: {line}", file=sys.stderr)
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}")

    from datasets.mask_reader import MaskReader
    from models.checkpoints import read_checkpoint
    from models.sem2nerf import Sem2NeRF
    from scripts.inference_renderer import Renderer
    from utils.device import pick_devices
    from utils.files import make_folder

    devices = pick_devices(opts.device, opts.gpu_ids)
    contents = read_checkpoint(checkpoint)
    opts = complete(opts, given, contents["opts"])
    data = mask_data(opts)
    masks = MaskReader(data, opts.test_workers, opts.test_batch_size)
    net = Sem2NeRF.from_contents({**contents, "opts": model_opts(opts, contents["opts"])}, checkpoint).to(devices[0])

    out = make_folder(opts.exp_dir)
    with (out / "inference.bash").open("a") as file:
        file.write(f"python {Path(sys.argv[0]).name} {shlex.join(argv)}\n")
    label = f"iter_{checkpoint.stem.rpartition('_')[2]}_infer"
    images, videos = (out / f"{label}_{kind}_{opts.test_output_size}" for kind in ("results", "videos"))
    style = f"_mask{''.join(map(str, opts.latent_mask))}_seed{opts.inject_code_seed}" if opts.latent_mask else ""

    renderer = Renderer(net, opts, devices, data.label_nc, len(masks) * views_per_mask(opts))
    written: list[Path] = []
    for item in masks:
        codes, name = renderer.codes(item), item["name"] + style
        scene = renderer.scene(codes, opts.inject_code_seed)
        written += write_images(renderer, item, codes, scene, images / name)
        if opts.render_videos:
            written.append(write_video_of(renderer, item, scene, videos / f"{name}.{opts.video_format}"))
    seconds = renderer.close()
    for folder in dict.fromkeys(path.parent for path in written):
        count = sum(path.parent == folder for path in written)
        print(f"wrote {count} file{'s' * (count > 1)} to {folder}/")
    print(f"{renderer.total} view{'s' * (renderer.total > 1)} of {opts.test_output_size} px in "
          f"{seconds * renderer.total:.1f} s: {seconds:.2f} s per view on {', '.join(map(str, devices))}")


def mask_data(opts: argparse.Namespace) -> "InferenceDataset":
    """The masks that the options name."""
    from datasets.inference_set import InferenceDataset, MaskOptions
    from datasets.masks.maps import MaskTransform
    from scripts.inference_renderer import RESIZED

    masks = MaskOptions(
        merged=opts.use_merged_labels, use_contour=opts.use_contour, encoding=opts.mask_encoding,
        transform=MaskTransform(opts.image_load_size, opts.image_crop_size, opts.src_input_size),
        label_order=opts.label_order, display_size=RESIZED if opts.resize_outputs else opts.test_output_size)
    return InferenceDataset(opts.data_path, data_config(opts.dataset_type), masks, paths_list=opts.infer_paths_conf,
                            use_original_pose=opts.use_original_pose, n_images=opts.n_images,
                            use_shuffle=opts.use_shuffle, seed=opts.seed)


def views_per_mask(opts: argparse.Namespace) -> int:
    """How many views `write_images` and `write_video_of` render."""
    extra = (opts.mask_overlay_weight > 0 or opts.couple_outputs) and not opts.use_original_pose
    return (opts.n_outputs_to_generate + opts.use_original_pose + extra
            + opts.style_strip * opts.style_mix_seq_num + opts.render_videos * opts.num_frames)


def write_images(
    renderer: "Renderer", item: "MaskItem", codes: "Codes", scene: "Scene", stem: Path
) -> Iterator[Path]:
    """Write a mask's row, overlay, couple and strip of styles, as far as asked for; gives their paths."""
    import numpy as np

    from models.pigan.cameras import Camera
    from models.pigan.siren import style_code
    from models.pigan.trajectories import sweep
    from utils.images import overlay, row, save_png

    opts, name, mask = renderer.opts, item["name"], item["colour"]
    own = Camera(*item["pose"]) if item["pose"] else Camera()
    fov_deg, offsets = renderer.net.config.camera.fov_deg, data_config(opts.dataset_type).eval_yaw_offsets
    cameras = [own] * opts.use_original_pose + sweep(opts.render_mode, offsets, opts.n_outputs_to_generate, fov_deg)
    views = list(renderer.views(scene, cameras, name, 0, "view"))
    yield save_png(f"{stem}.png", row([mask, *views]))

    if opts.mask_overlay_weight > 0 or opts.couple_outputs:
        view = views[0] if opts.use_original_pose else next(
            renderer.views(scene, [own], name, len(cameras), "overlay"))
        if opts.mask_overlay_weight > 0:
            yield save_png(f"{stem}_overlay.png", row([mask, view, overlay(view, mask, opts.mask_overlay_weight)]))
        if opts.couple_outputs:
            yield save_png(f"{stem}_coupled.png", row([mask, view]))
    if opts.style_strip:
        first, last = (style_code(renderer.net.siren, seed) for seed in (opts.inject_code_seed, opts.inject_code_seed2))
        styles = [first.lerp(last, float(weight)) for weight in np.linspace(0, 1, opts.style_mix_seq_num)]
        views = [next(renderer.views(renderer.scene(codes, style), [own], name, len(cameras) + 1 + i, "style"))
                 for i, style in enumerate(styles)]
        yield save_png(f"{stem}-{opts.inject_code_seed2}_styles.png", row([mask, *views]))


def write_video_of(renderer: "Renderer", item: "MaskItem", scene: "Scene", path: Path) -> Path:
    """Write a mask's video, frame by frame as they are rendered; gives its path."""
    from models.pigan.trajectories import trajectory
    from utils.video import write_video

    opts = renderer.opts
    cameras = trajectory(opts.trajectory, opts.num_frames, renderer.net.config.camera.fov_deg)

    def frames() -> Iterator["np.ndarray"]:
        shown = []
        for frame in renderer.views(scene, cameras, item["name"], FIRST_FRAME, "frame"):
            if opts.video_rev_end:
                shown.append(frame)
            yield frame
        yield from shown[-2:0:-1]  # neither end twice, so that the loop does not stutter

    write_video(path, frames(), renderer.saved_size)
    return path


if __name__ == "__main__":
    run(main)
