"""Semantic masks -> rows of images and videos of 3D heads. `--help` shows worked commands."""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.inference_options import complete, find_checkpoint, parse_options, warnings_for
from utils.cli import command, run

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    import numpy as np

    from datasets.inference_set import MaskItem
    from models.pigan.cameras import Camera
    from models.pigan.codes import Codes
    from models.scene import Scene
    from models.view_renderer import ViewRenderer

FIRST_FRAME = 1000  # frames are numbered from here, views of a row from 0
RESIZED = 256  # pixels of a saved view with --resize_outputs


@command(paths_list="infer_paths_conf")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    for line in warnings_for(given):
        print(f"warning: {line}", file=sys.stderr)
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}")

    from datasets.inference_set import InferenceDataset, read_all
    from datasets.masks.mask_input import MaskInput
    from models.checkpoints import read_checkpoint
    from models.sem2nerf import Sem2NeRF
    from models.view_renderer import ViewRenderer, ViewSettings
    from utils.device import pick_devices
    from utils.files import make_folder

    devices = pick_devices(opts.device, opts.gpu_ids)
    opts, contents = complete(opts, given, read_checkpoint(checkpoint))
    data = InferenceDataset(
        opts.data_path, data_config(opts.dataset_type), MaskInput.of_checkpoint(contents), encoding=opts.mask_encoding,
        display_size=RESIZED if opts.resize_outputs else opts.test_output_size, paths_list=opts.infer_paths_conf,
        use_original_pose=opts.use_original_pose, n_images=opts.n_images, use_shuffle=opts.use_shuffle, seed=opts.seed)
    masks = read_all(data, opts.test_workers, opts.test_batch_size)
    net = Sem2NeRF.from_contents(contents, checkpoint).to(devices[0])
    renderer = ViewRenderer(net, ViewSettings(
        opts.test_output_size, opts.pigan_infer_ray_step, opts.sampler, opts.seed if opts.stochastic_sampling else None,
        opts.precision, opts.pigan_infer_max_batch), devices)

    out = make_folder(opts.exp_dir)
    with (out / "inference.bash").open("a") as file:
        file.write(f"python {Path(sys.argv[0]).name} {shlex.join(argv)}\n")
    label = f"iter_{checkpoint.stem.rpartition('_')[2]}_infer"
    images, videos = (out / f"{label}_{kind}_{opts.test_output_size}" for kind in ("results", "videos"))
    style = f"_mask{''.join(map(str, opts.latent_mask))}_seed{opts.inject_code_seed}" if opts.latent_mask else ""

    shots, written = Shots(renderer, opts, len(data)), []
    for item in masks:
        codes, name = shots.codes(item), item.name + style
        scene = shots.scene(codes, opts.inject_code_seed)
        written += write_images(shots, item, codes, scene, images / name)
        if opts.render_videos:
            written.append(write_video_of(shots, item, scene, videos / f"{name}.{opts.video_format}"))
    seconds = shots.close()
    for folder in dict.fromkeys(path.parent for path in written):
        count = sum(path.parent == folder for path in written)
        print(f"wrote {count} file{'s' * (count > 1)} to {folder}/")
    print(f"{shots.total} view{'s' * (shots.total > 1)} of {opts.test_output_size} px in "
          f"{seconds * shots.total:.1f} s: {seconds:.2f} s per view on {', '.join(map(str, devices))}")


class Shots:
    """What the masks of one run have in common: model, options and progress bar."""

    def __init__(self, renderer: "ViewRenderer", opts: argparse.Namespace, masks: int) -> None:
        from tqdm import tqdm

        self.renderer, self.net, self.opts = renderer, renderer.net, opts
        own = (opts.mask_overlay_weight > 0 or opts.couple_outputs) and not opts.use_original_pose
        self.total = masks * (opts.n_outputs_to_generate + opts.use_original_pose + own
                              + opts.style_strip * opts.style_mix_seq_num + opts.render_videos * opts.num_frames)
        self.started = time.perf_counter()
        # moved ray by ray, so that the time left is honest from the first view on; silent unless on a terminal
        self.bar = tqdm(total=self.total, smoothing=0.05, dynamic_ncols=True, disable=None, bar_format=(
            "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} views, {elapsed} gone, {remaining} left"))

    def codes(self, item: "MaskItem") -> "Codes":
        """The mask's codes. Masks are encoded one by one, so that an image never depends on its neighbours."""
        if self.opts.test_pigan_latent_avg:
            return self.net.latent_avg
        return self.net.encode(self.net.input.tensor(item.planes, self.renderer.devices[0])[None])

    def scene(self, codes: "Codes", style: "int | Codes") -> "Scene":
        """The scene of these codes with the layers of --latent_mask in that style."""
        alpha = 1.0 if self.opts.mix_alpha is None else self.opts.mix_alpha
        return self.renderer.scene(self.net.styled(codes, style, self.opts.latent_mask, alpha))

    def views(self, scene: "Scene", cameras: "Sequence[Camera]", name: str, first: int, what: str
              ) -> "Iterator[np.ndarray]":
        """Images to save; see `ViewRenderer.views`."""
        from utils.images import resize

        def progress(index: int, part: float) -> None:
            self.bar.set_description_str(f"{name} {what} {index + 1}/{len(cameras)} ", refresh=False)
            self.bar.update(part)

        for view in self.renderer.views(scene, cameras, name, first, progress):
            yield resize(view, RESIZED) if self.opts.resize_outputs else view

    def close(self) -> float:
        """Seconds per view."""
        self.bar.close()
        return (time.perf_counter() - self.started) / self.total


def write_images(shots: Shots, item: "MaskItem", codes: "Codes", scene: "Scene", stem: Path) -> Iterator[Path]:
    """Write a mask's row, overlay, couple and strip of styles, as far as asked for; gives their paths."""
    import numpy as np

    from models.pigan.cameras import Camera
    from models.pigan.siren import style_code
    from models.pigan.trajectories import sweep
    from utils.images import overlay, row, save_png

    opts, name, mask = shots.opts, item.name, item.painted
    own = Camera(*item.pose) if item.pose else Camera()
    fov_deg, offsets = shots.net.config.camera.fov_deg, data_config(opts.dataset_type).eval_yaw_offsets
    cameras = [own] * opts.use_original_pose + sweep(opts.render_mode, offsets, opts.n_outputs_to_generate, fov_deg)
    views = list(shots.views(scene, cameras, name, 0, "view"))
    yield save_png(f"{stem}.png", row([mask, *views]))

    if opts.mask_overlay_weight > 0 or opts.couple_outputs:
        view = views[0] if opts.use_original_pose else next(shots.views(scene, [own], name, len(cameras), "overlay"))
        if opts.mask_overlay_weight > 0:
            yield save_png(f"{stem}_overlay.png", row([mask, view, overlay(view, mask, opts.mask_overlay_weight)]))
        if opts.couple_outputs:
            yield save_png(f"{stem}_coupled.png", row([mask, view]))
    if opts.style_strip:
        first, last = (style_code(shots.net.siren, seed) for seed in (opts.inject_code_seed, opts.inject_code_seed2))
        styles = [first.lerp(last, float(weight)) for weight in np.linspace(0, 1, opts.style_mix_seq_num)]
        views = [next(shots.views(shots.scene(codes, style), [own], name, len(cameras) + 1 + i, "style"))
                 for i, style in enumerate(styles)]
        yield save_png(f"{stem}-{opts.inject_code_seed2}_styles.png", row([mask, *views]))


def write_video_of(shots: Shots, item: "MaskItem", scene: "Scene", path: Path) -> Path:
    """Write a mask's video, frame by frame as they are rendered; gives its path."""
    from models.pigan.trajectories import trajectory
    from utils.video import write_video

    opts = shots.opts
    cameras = trajectory(opts.trajectory, opts.num_frames, shots.net.config.camera.fov_deg)

    def frames() -> Iterator["np.ndarray"]:
        shown = []
        for frame in shots.views(scene, cameras, item.name, FIRST_FRAME, "frame"):
            if opts.video_rev_end:
                shown.append(frame)
            yield frame
        yield from shown[-2:0:-1]  # neither end twice, so that the loop does not stutter

    write_video(path, frames(), RESIZED if opts.resize_outputs else opts.test_output_size)
    return path


if __name__ == "__main__":
    run(main)
