"""Semantic masks -> rows of pictures and videos of 3D heads. `--help` shows worked commands."""

import argparse
import shlex
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.test_options import complete, find_checkpoint, model_opts, parse_options, warnings_for
from utils.cli import run

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    import numpy as np

    from datasets.inference_dataset import InferenceDataset, MaskItem
    from models.pigan.cameras import Camera
    from models.pigan.codes import Codes
    from models.scene import Scene
    from models.sem2nerf import Sem2NeRF

RESIZED = 256  # pixels of a saved view with --resize_outputs
FIRST_FRAME = 1000  # frames are numbered from here, views of a row from 0


class Renderer:
    """Renders the views of one run: its model, its options, its progress bar."""

    def __init__(self, net: "Sem2NeRF", opts: argparse.Namespace, views: int) -> None:
        from tqdm import tqdm

        self.net, self.opts, self.views = net, opts, views
        self.saved_size = RESIZED if opts.resize_outputs else opts.test_output_size
        self.started = time.perf_counter()
        # moved ray by ray, so that the time left is honest from the first view on; silent unless on a terminal
        self.bar = tqdm(total=views, smoothing=0.05, dynamic_ncols=True, disable=None, bar_format=(
            "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} views, {elapsed} gone, {remaining} left"))

    def codes(self, item: "MaskItem", label_nc: int) -> "Codes":
        """The mask's codes. Masks are encoded one by one, so that a picture never depends on its neighbours."""
        import torch

        from datasets.masks import to_network_input

        mean = self.net.latent_avg
        if self.opts.test_pigan_latent_avg:
            return mean
        planes = [None if plane is None else plane[None].to(mean.frequencies.device)
                  for plane in (item["label"], item["contour"], item["distance"])]
        with torch.no_grad():
            return self.net.encode(to_network_input(*planes, label_nc))

    def scene(self, codes: "Codes", style: "int | Codes") -> "Scene":
        """The scene of these codes with the layers of --latent_mask in that style."""
        alpha = 1.0 if self.opts.mix_alpha is None else self.opts.mix_alpha
        return self.net.scene_of(self.net.styled(codes, style, self.opts.latent_mask, alpha),
                                 self.opts.pigan_infer_max_batch)

    def view(self, scene: "Scene", camera: "Camera", name: str, number: int, what: str) -> "np.ndarray":
        """One picture; `number` tells a mask's views apart for --stochastic_sampling."""
        import torch

        from datasets.colouring import to_uint8
        from utils.pictures import resize

        opts, generator = self.opts, None
        if opts.stochastic_sampling:
            generator = torch.Generator().manual_seed(zlib.crc32(f"{opts.seed}/{name}/{number}".encode()))
        self.bar.set_description_str(f"{name} {what} ", refresh=False)
        view = scene.render(camera, opts.test_output_size, opts.pigan_infer_ray_step,
                            sampler=opts.sampler, generator=generator,
                            on_rays=lambda rays: self.bar.update(rays / opts.test_output_size**2))
        return resize(to_uint8(view.rgb), self.saved_size)

    def close(self) -> float:
        """Seconds per view."""
        self.bar.close()
        return (time.perf_counter() - self.started) / self.views


def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    for line in warnings_for(given):
        print(f"warning: {line}", file=sys.stderr)
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}")

    from datasets.inference_dataset import InferenceDataset, MaskOptions
    from datasets.masks import MaskGeometry
    from models.checkpoints import read_checkpoint
    from models.sem2nerf import Sem2NeRF
    from utils.device import pick_device
    from utils.files import make_folder

    device = pick_device(opts.device, opts.gpu_ids)
    contents = read_checkpoint(checkpoint)
    opts = complete(opts, given, contents["opts"])
    masks = MaskOptions(
        merged=opts.use_merged_labels, use_contour=opts.use_contour, encoding=opts.mask_encoding,
        geometry=MaskGeometry(opts.image_load_size, opts.image_crop_size, opts.src_input_size),
        label_order=opts.label_order, display_size=RESIZED if opts.resize_outputs else opts.test_output_size)
    data = InferenceDataset(opts.data_path, data_config(opts.dataset_type), masks, paths_list=opts.infer_paths_conf,
                            use_original_pose=opts.use_original_pose, n_images=opts.n_images,
                            use_shuffle=opts.use_shuffle, seed=opts.seed)
    for _ in read_ahead(data, opts):  # a bad mask is found before hours of rendering, not after
        pass
    net = Sem2NeRF.from_contents({**contents, "opts": model_opts(opts, contents["opts"])}, checkpoint).to(device)

    out = make_folder(opts.exp_dir)
    with (out / "inference.bash").open("a") as file:
        file.write(f"python {Path(sys.argv[0]).name} {shlex.join(argv)}\n")
    label = f"iter_{checkpoint.stem.rpartition('_')[2]}_infer"
    pictures, videos = (out / f"{label}_{kind}_{opts.test_output_size}" for kind in ("results", "videos"))
    style = f"_mask{''.join(map(str, opts.latent_mask))}_seed{opts.inject_code_seed}" if opts.latent_mask else ""

    renderer = Renderer(net, opts, len(data) * views_per_mask(opts))
    written: list[Path] = []
    for item in read_ahead(data, opts):
        codes, name = renderer.codes(item, data.label_nc), item["name"] + style
        written += write_pictures(renderer, item, codes, pictures / name)
        written += write_video_of(renderer, item, codes, videos / f"{name}.{opts.video_format}")
    seconds = renderer.close()
    for folder in dict.fromkeys(path.parent for path in written):
        print(f"wrote {sum(path.parent == folder for path in written)} files to {folder}/")
    print(f"{renderer.views} views of {opts.test_output_size} px in {seconds * renderer.views:.1f} s: "
          f"{seconds:.2f} s per view on {device}")


def read_ahead(data: "InferenceDataset", opts: argparse.Namespace) -> Iterator["MaskItem"]:
    """The masks in order, read by --test_workers threads, --test_batch_size ahead."""
    if opts.test_workers == 0:
        yield from (data[i] for i in range(len(data)))
        return
    with ThreadPoolExecutor(opts.test_workers) as pool:
        waiting = []
        for i in range(len(data)):
            waiting.append(pool.submit(data.__getitem__, i))
            if len(waiting) > opts.test_batch_size:
                yield waiting.pop(0).result()
        for item in waiting:
            yield item.result()


def views_per_mask(opts: argparse.Namespace) -> int:
    """How many views `write_pictures` and `write_video_of` render."""
    extra = (opts.mask_overlay_weight > 0 or opts.couple_outputs) and not opts.use_original_pose
    return (opts.n_outputs_to_generate + opts.use_original_pose + extra
            + opts.style_strip * opts.style_mix_seq_num + opts.render_videos * opts.num_frames)


def write_pictures(renderer: Renderer, item: "MaskItem", codes: "Codes", stem: Path) -> Iterator[Path]:
    """Write a mask's row, overlay, couple and strip of styles, as far as asked for; gives their paths."""
    import numpy as np

    from datasets.colouring import overlay
    from models.pigan.cameras import Camera
    from models.pigan.siren import style_code
    from models.pigan.trajectories import sweep
    from utils.pictures import row, save_png

    opts, name, mask = renderer.opts, item["name"], item["colour"]
    scene = renderer.scene(codes, opts.inject_code_seed)
    own = Camera(*item["pose"]) if item["pose"] else Camera()
    fov_deg, offsets = renderer.net.config.geometry.fov_deg, data_config(opts.dataset_type).eval_yaw_offsets
    cameras = [own] * opts.use_original_pose + sweep(opts.render_mode, offsets, opts.n_outputs_to_generate, fov_deg)
    views = [renderer.view(scene, camera, name, i, f"view {i + 1}/{len(cameras)}") for i, camera in enumerate(cameras)]
    yield save_png(f"{stem}.png", row([mask, *views]))

    if opts.mask_overlay_weight > 0 or opts.couple_outputs:
        view = views[0] if opts.use_original_pose else renderer.view(scene, own, name, len(cameras), "overlay")
        if opts.mask_overlay_weight > 0:
            yield save_png(f"{stem}_overlay.png", row([mask, view, overlay(view, mask, opts.mask_overlay_weight)]))
        if opts.couple_outputs:
            yield save_png(f"{stem}_coupled.png", row([mask, view]))
    if opts.style_strip:
        first, last = (style_code(renderer.net.siren, seed) for seed in (opts.inject_code_seed, opts.inject_code_seed2))
        styles = [first.lerp(last, float(weight)) for weight in np.linspace(0, 1, opts.style_mix_seq_num)]
        views = [renderer.view(renderer.scene(codes, style), own, name, len(cameras) + 1 + i,
                               f"style {i + 1}/{len(styles)}") for i, style in enumerate(styles)]
        yield save_png(f"{stem}-{opts.inject_code_seed2}_styles.png", row([mask, *views]))


def write_video_of(renderer: Renderer, item: "MaskItem", codes: "Codes", path: Path) -> Iterator[Path]:
    """Write a mask's video if --render_videos asks for it; gives its path."""
    from models.pigan.trajectories import trajectory
    from utils.video import write_video

    opts = renderer.opts
    if not opts.render_videos:
        return
    scene = renderer.scene(codes, opts.inject_code_seed)
    cameras = trajectory(opts.trajectory, opts.num_frames, renderer.net.config.geometry.fov_deg)

    def frames() -> Iterator["np.ndarray"]:
        shown = []
        for i, camera in enumerate(cameras):
            frame = renderer.view(scene, camera, item["name"], FIRST_FRAME + i, f"frame {i + 1}/{len(cameras)}")
            if opts.video_rev_end:
                shown.append(frame)
            yield frame
        yield from shown[-2:0:-1]  # neither end twice, so that the loop does not stutter

    write_video(path, frames(), renderer.saved_size)
    yield path


if __name__ == "__main__":
    run(main)
