"""Semantic masks -> rows of images and videos of 3D heads. `--help` shows worked commands."""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.inference_options import check_inputs, complete, find_checkpoint, model_answers, parse_options
from utils.cli import command, run
from utils.errors import UserError

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    from datasets.inference_set import MaskItem
    from inference.results import ResultSettings, Writer
    from models.scene import Scene
    from models.sem2nerf import Sem2NeRF
    from photos.photo_fit import PhotoFit
    from photos.recolour import Recolour

MANY = 200  # masks from which on their reading takes a while
RESIZED = 256  # pixels of a saved view with --resize_outputs
BAR = "{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} views, {elapsed} gone, {remaining} left"


@command("lower `pigan_infer_max_batch` (points computed at a time, e.g. 20000), then `test_output_size`",
         paths_list="infer_paths_conf")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    checkpoint, source = find_checkpoint(opts, given)
    check_inputs(opts, given)
    print(f"weights: {source}")

    from tqdm import tqdm

    from datasets.inference_set import InferenceDataset, read_all
    from datasets.masks.map_files import check_tables
    from datasets.masks.mask_input import MaskInput
    from inference.results import Results
    from inference.view_renderer import ViewRenderer, ViewSettings
    from models.checkpoints import read_checkpoint
    from models.config import with_options
    from models.sem2nerf import Sem2NeRF
    from models.semantic_files import load_semantic_head
    from utils.device import pick_devices
    from utils.files import append_text, make_folder, write_text

    devices = pick_devices(opts.device, opts.gpu_ids)
    contents = with_options(read_checkpoint(checkpoint), model_answers(opts, given), checkpoint)
    opts = complete(opts, given, contents["opts"])
    data = InferenceDataset(
        opts.data_path, data_config(opts.dataset_type), MaskInput.of_checkpoint(contents), encoding=opts.mask_encoding,
        display_size=RESIZED if opts.resize_outputs else opts.test_output_size, paths_list=opts.infer_paths_conf,
        use_original_pose=opts.use_original_pose, n_images=opts.n_images, use_shuffle=opts.use_shuffle, seed=opts.seed)
    if len(data) >= MANY:
        print(f"reading {len(data)} masks once, so that bad ones are found before anything is rendered", flush=True)
    masks = read_all(data, opts.test_workers, opts.test_batch_size)
    net = Sem2NeRF.from_contents(contents, checkpoint).to(devices[0])
    if opts.semantic_head:
        net.semantic_head = load_semantic_head(opts.semantic_head, net.siren)
    settings, fit = result_settings(opts), fitting(opts, net)
    recolour = fit or recolouring(opts, given, net)
    if settings.extras.needs_labels and net.semantic_head is None:
        raise UserError(f"{'--render_labels' if opts.render_labels else '--alpha'}: {checkpoint} has no semantic head, "
                        "which labels are read with; give one with --semantic_head, or train it with "
                        "scripts/train_semantics.py")
    if opts.render_labels and net.semantic_head is not None:
        check_tables(net.semantic_head.space, net.input.space)

    out = make_folder(opts.exp_dir)
    script = sys.argv[0] if sys.argv[0].endswith("inference3d.py") else "scripts/inference3d.py"
    append_text(out / "inference.bash", f"python {shlex.join([script, *argv])}\n")
    label = f"iter_{checkpoint.stem.rpartition('_')[2]}_infer"
    images, videos = (out / f"{label}_{kind}_{opts.test_output_size}" for kind in ("results", "videos"))
    views = ViewSettings(opts.test_output_size, opts.pigan_infer_ray_step, opts.sampler,
                         opts.seed if opts.stochastic_sampling else None, opts.precision, opts.pigan_infer_max_batch,
                         labels=settings.extras.needs_labels)
    renderer = ViewRenderer(net, views, devices)
    total, start = settings.views_per_mask * len(data), time.perf_counter()
    # the bar moves ray by ray, so that the time left is honest from the first view on; silent unless on a terminal
    with tqdm(total=total, smoothing=0.05, dynamic_ncols=True, disable=None, bar_format=BAR) as bar:
        def progress(what: str, part: float) -> None:
            bar.set_description_str(f"{what} ", refresh=False)
            bar.update(part)

        results = Results(renderer, settings, images, videos, progress, recolour, writers(opts, net))
        written = [path for item in masks for path in results.write(item)]
    seconds = time.perf_counter() - start
    if recolour is not None:
        print(recolour.words)
    if fit is not None:
        written.append(images / "fit_photo.json")
        write_text(written[-1], json.dumps(fit.numbers, indent=1) + "\n")
    for folder in dict.fromkeys(path.parent for path in written):
        count = sum(path.parent == folder for path in written)
        print(f"wrote {count} file{'s' * (count > 1)} to {folder}/")
    print(f"{total} view{'s' * (total > 1)} of {opts.test_output_size} px in {seconds:.1f} s: "
          f"{seconds / total:.2f} s per view on {', '.join(map(str, devices))}")


def writers(opts: argparse.Namespace, net: "Sem2NeRF") -> "list[Writer]":
    """What is written for each mask beside images and videos."""
    if not opts.render_viewer:
        return []
    from utils.files import write_text
    from web.viewer.page import viewer_page

    def write_viewer(scene: "Scene", item: "MaskItem", stem: Path) -> Path:
        path = stem.with_name(f"{stem.name}.html")
        write_text(path, viewer_page(scene, stem.name, item.planes.label, net.input.network_space, opts.viewer_quality))
        return path

    return [write_viewer]


def fitting(opts: argparse.Namespace, net: "Sem2NeRF") -> "PhotoFit | None":
    """What refines heads to look like their photographs, where that is asked for.

    Raises:
        UserError: LPIPS' weights were named and are not there, or are something else.
    """
    if not opts.fit_photo:
        return None
    from criteria.perceptual import Perceptual, find_alexnet
    from photos.photo_fit import PhotoFit

    perceptual = None
    try:
        perceptual = Perceptual(find_alexnet(opts.lpips_weights)).to(net.latent_avg.frequencies.device)
    except UserError:
        if opts.lpips_weights:
            raise
        print("--fit_photo without LPIPS: its weights are not there (pretrained_models/README.md)")
    return PhotoFit(net, data_config(opts.dataset_type), perceptual)


def recolouring(opts: argparse.Namespace, given: set[str], net: "Sem2NeRF") -> "Recolour | None":
    """What gives heads the colours of a picture, where one is named."""
    if not opts.style_image:
        return None
    from photos.recolour import Recolour
    from photos.style_fit import COLOUR_LAYERS

    layers = opts.latent_mask if "latent_mask" in given and opts.latent_mask else COLOUR_LAYERS
    return Recolour.of_picture(net, data_config(opts.dataset_type), opts.style_image, opts.style_mask, opts.style_parts,
                               layers)


def result_settings(opts: argparse.Namespace) -> "ResultSettings":
    """What is written for each mask."""
    from inference.extras import ExtraSettings
    from inference.results import ResultSettings, VideoSettings

    return ResultSettings(
        views=opts.n_outputs_to_generate, sweep=opts.render_mode,
        yaw_offsets=data_config(opts.dataset_type).eval_yaw_offsets, own_pose=opts.use_original_pose,
        overlay_weight=opts.mask_overlay_weight, couple=opts.couple_outputs,
        saved_size=RESIZED if opts.resize_outputs else None,
        style_layers=() if opts.style_image or opts.fit_photo else opts.latent_mask,
        suffix=f"_as_{Path(opts.style_image).stem}" if opts.style_image else "_fitted" * opts.fit_photo,
        style_seed=opts.inject_code_seed, style_weight=1.0 if opts.mix_alpha is None else opts.mix_alpha,
        strip=(opts.inject_code_seed2, opts.style_mix_seq_num) if opts.style_strip else None,
        mean_head=opts.test_pigan_latent_avg,
        video=VideoSettings(opts.trajectory, opts.num_frames, opts.video_rev_end, opts.video_format)
        if opts.render_videos else None,
        extras=ExtraSettings(opts.render_labels, opts.save_depth, opts.alpha))


if __name__ == "__main__":
    # Read when PyTorch is imported: threads that wait for each other shall sleep. By default they count for some
    # milliseconds, which takes the core from whom they wait for as soon as the machine has other work. (Many small
    # operations, as in training, are faster with the default on a machine that has none.)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run(main)
