"""Semantic masks -> heads in many styles, and videos between heads. `--help` shows worked commands."""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.inference_options import check_inputs, complete, find_checkpoint, model_answers
from options.style_options import parse_options
from utils.cli import command, run
from utils.errors import settings_named
from utils.progress import progress_bar

if TYPE_CHECKING:  # heavy modules are imported once the options are known to be right
    import numpy as np

    from datasets.inference_set import MaskItem
    from inference.style_mixing import StyleMixer
    from models.pigan.codes import Codes
    from models.sem2nerf import Sem2NeRF
    from photos.recolour import Recolour


@command("lower `pigan_infer_max_batch` (points computed at a time, e.g. 20000), then `test_output_size`",
         paths_list="infer_paths_conf")
def main(argv: Sequence[str]) -> None:
    opts, given = parse_options(argv)
    checkpoint, source = find_checkpoint(opts, given)
    check_inputs(opts, given)
    print(f"weights: {source}")

    from datasets.inference_set import InferenceDataset
    from datasets.masks.mask_input import MaskInput
    from inference.style_mixing import StyleMixer, by_number
    from inference.view_renderer import ViewRenderer, ViewSettings
    from models.checkpoints import read_checkpoint
    from models.config import with_options
    from models.sem2nerf import Sem2NeRF
    from utils.device import pick_device
    from utils.files import make_folder

    device = pick_device(opts.device)
    contents = with_options(read_checkpoint(checkpoint), model_answers(opts, given), checkpoint)
    opts = complete(opts, given, contents["opts"])
    with settings_named(data_path="interpolate") if opts.interpolate else contextlib.nullcontext():
        data = InferenceDataset(
            opts.interpolate[0] if opts.interpolate else opts.data_path, data_config(opts.dataset_type),
            MaskInput.of_checkpoint(contents), encoding=opts.mask_encoding, display_size=opts.test_output_size,
            paths_list=opts.infer_paths_conf, use_original_pose=opts.use_original_pose, n_images=opts.n_images)
    if opts.interpolate:
        data.paths = [Path(path) for path in opts.interpolate]
    elif opts.sequence:
        data.paths = by_number(data.paths)
    items = [data[index] for index in range(len(data))]  # a file that is no mask is found before anything is rendered
    net = Sem2NeRF.from_contents(contents, checkpoint).to(device)
    settings = ViewSettings(opts.test_output_size, opts.pigan_infer_ray_step, opts.sampler,
                            max_block=opts.pigan_infer_max_batch)
    mixer = StyleMixer(ViewRenderer(net, settings), opts.latent_mask, opts.mix_alpha)
    pictures = references(net, opts, given)
    out, start = make_folder(opts.exp_dir), time.perf_counter()
    if opts.interpolate:
        written, views = interpolation(mixer, items, opts, out)
    elif opts.sequence:
        written, views = sequence(mixer, items, opts, out)
    else:
        written, views = styles(mixer, items, opts, out, pictures)
    seconds = time.perf_counter() - start
    for path in written:
        print(f"wrote {path}")
    print(f"{views} views of {opts.test_output_size} px in {seconds:.1f} s: {seconds / views:.2f} s per view on "
          f"{device}")


def codes_of(mixer: "StyleMixer", item: "MaskItem") -> "Codes":
    """The mask's own codes."""
    net = mixer.renderer.net
    return net.encode(net.input.tensor(item.planes, mixer.renderer.devices[0])[None])


def references(net: "Sem2NeRF", opts: argparse.Namespace, given: set[str]) -> "list[Recolour]":
    """What gives heads the colours of each picture that is named."""
    if not opts.style_images:
        return []
    from photos.recolour import Recolour
    from photos.style_fit import COLOUR_LAYERS

    layers = opts.latent_mask if "latent_mask" in given else COLOUR_LAYERS
    return [Recolour.of_picture(net, data_config(opts.dataset_type), picture, None, None, layers)
            for picture in opts.style_images]


def styles(mixer: "StyleMixer", items: "list[MaskItem]", opts: argparse.Namespace, out: Path,
           pictures: "list[Recolour]") -> tuple[list[Path], int]:
    """A strip per mask (mask, styles), or one grid of all, with the pictures above their columns."""
    import numpy as np

    from models.pigan.cameras import Camera
    from photos.reference import framed_photo
    from utils.images import row, save_png
    from utils.panels import panel

    seeds = opts.style_seeds or range(opts.seed, opts.seed + opts.n_outputs_to_generate)
    written, rows = [], []
    if pictures:
        size, frame = opts.test_output_size, mixer.renderer.net.input.transform
        shown = [np.rint(framed_photo(each.source, frame, size) * 255).astype(np.uint8) for each in pictures]
        rows.append([np.full((size, size, 3), 255, np.uint8)] * (1 + len(seeds)) + shown)
    for item in progress_bar(items, "masks", len(items)):
        codes = codes_of(mixer, item)
        wanted = [*seeds, *(recolour(item, codes) for recolour in pictures)]
        rows.append([item.painted, *mixer.in_styles(codes, wanted, Camera(*item.pose or ()))])
        if not opts.grid:
            written.append(save_png(out / f"{item.name}_styles.png", row(rows[-1])))
    if opts.grid:
        captions = ["mask", *(f"style {number}" for number in seeds), *(Path(each.source).stem for each in pictures)]
        written.append(save_png(out / "styles.png", panel(captions, rows, opts.test_output_size)))
    for recolour in pictures:
        print(recolour.words)
    return written, len(items) * (len(seeds) + len(pictures))


def interpolation(mixer: "StyleMixer", items: "list[MaskItem]", opts: argparse.Namespace, out: Path
                  ) -> tuple[list[Path], int]:
    """A video from the first mask's head to the second's."""
    from models.pigan.cameras import Camera
    from models.pigan.trajectories import trajectory

    first, last = (codes_of(mixer, item) for item in items)
    if opts.style_seeds:
        first, last = mixer.styled(first, opts.style_seeds[0]), mixer.styled(last, opts.style_seeds[-1])
    cameras = [Camera()] * opts.num_frames if opts.trajectory == "still" else (
        trajectory(opts.trajectory, opts.num_frames, mixer.renderer.net.config.camera.fov_deg))
    path = out / f"{items[0].name}_to_{items[1].name}.{opts.video_format}"
    return write(path, mixer.between(first, last, cameras), len(cameras), opts)


def sequence(mixer: "StyleMixer", items: "list[MaskItem]", opts: argparse.Namespace, out: Path
             ) -> tuple[list[Path], int]:
    """A video of all masks in one palette."""
    from models.pigan.cameras import Camera

    heads = (codes_of(mixer, item) for item in items)
    frames = mixer.sequence(heads, [Camera(*item.pose or ()) for item in items],
                            opts.style_seeds[0] if opts.style_seeds else None)
    return write(out / f"sequence.{opts.video_format}", frames, len(items), opts)


def write(path: Path, frames: "Iterator[np.ndarray]", count: int, opts: argparse.Namespace) -> tuple[list[Path], int]:
    from utils.video import write_video

    write_video(path, progress_bar(frames, path.stem, count, "frame"), opts.test_output_size)
    return [path], count


if __name__ == "__main__":
    run(main)
