"""A checkpoint and a data set -> a table of numbers. `--help` shows commands, docs/evaluation.md explains it."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config, get_camera_preset
from options.eval_options import complete, parse_options
from options.inference_options import find_checkpoint, model_opts
from utils.cli import command, run

if TYPE_CHECKING:
    from evaluation.measures import TestSet
    from evaluation.rendering import RenderSettings
    from evaluation.report import Report
    from evaluation.run import Networks

RENDERS, RESULTS, TABLE, SHEET = "renders", "results.json", "results.md", "sheet.png"


@command()
def main(argv: Sequence[str]) -> "Report | None":
    """Render what is missing, measure, write. Returns what was written (None for a share of the rendering)."""
    opts, given = parse_options(argv)
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}")

    from evaluation.measures import TestSet
    from evaluation.rendering import Renders
    from evaluation.report import Report
    from evaluation.run import Files, Networks, check_data, measure, protocol, wanted_views
    from evaluation.test_set import EvaluationSet
    from models.checkpoints import read_checkpoint
    from utils.device import pick_devices

    trained = read_checkpoint(checkpoint)["opts"]
    opts = complete(opts, given, trained)
    data = EvaluationSet.find(opts.data_path, data_config(opts.dataset_type), opts.eval_paths_conf, opts.n_images)
    check_data(opts.metrics, data)
    devices = pick_devices(opts.device, opts.gpu_ids)
    files = Files(opts.inception_weights, opts.lpips_weights, opts.parser, opts.parser_weights)
    networks = None if opts.shard else Networks.load(opts.metrics, files, devices[0])  # missing files show before hours
    settings = render_settings(opts, checkpoint, trained)
    out = Path(opts.exp_dir)
    renders = Renders.open(out / RENDERS, settings, opts.overwrite)
    tests = TestSet(data, renders, _track)
    if networks is not None and {"fid", "kid", "prc", "psnr"} & set(opts.metrics):
        tests.truth()  # a photograph that is missing, too

    wanted = wanted_views(opts.metrics, data, opts.style_masks)
    share = opts.shard or (0, 1)
    todo = len(renders.missing(data, wanted))
    print(f"{len(data.masks)} masks ({data.source}), {todo} of them to render")
    workers = opts.workers or (len(devices) if devices[0].type == "cuda" else os.cpu_count() or 1)
    finished = renders.render_missing(data, wanted, workers, [str(device) for device in devices], share)
    for _ in _bar(finished, "rendering", -(-todo // share[1])):
        pass
    if networks is None:
        print(f"share {share[0] + 1} of {share[1]} is rendered; run the same command without --shard when all are")
        return None
    fov_deg = get_camera_preset(opts.pigan_curriculum_type).fov_deg
    results, notes = measure(tests, opts.metrics, networks, opts.style_masks, fov_deg)
    report = Report(protocol(tests, opts.metrics, networks, files, opts.style_masks), results, notes)
    report.write(Path(opts.json) if opts.json else out / RESULTS, out / TABLE)
    write_sheet(out / SHEET, tests, networks, wanted, opts.sheet_rows)
    print(report.to_markdown())
    print(f"wrote {opts.json or out / RESULTS}, {out / TABLE} and {out / SHEET}")
    return report


def render_settings(opts: argparse.Namespace, checkpoint: Path, trained: dict[str, Any]) -> "RenderSettings":
    """What the images depend on."""
    from datasets.masks.maps import MaskTransform
    from evaluation.metrics.diversity import STYLES
    from evaluation.rendering import RenderSettings

    answers = {name: value for name, value in model_opts(opts, trained).items() if trained.get(name) != value}
    transform = MaskTransform(opts.image_load_size, opts.image_crop_size, opts.src_input_size,
                            data_config(opts.dataset_type).crop)
    return RenderSettings(
        checkpoint, tuple(sorted(answers.items())), opts.dataset_type, opts.use_merged_labels, opts.use_contour,
        transform, opts.test_output_size, opts.pigan_infer_ray_step, opts.sampler, opts.latent_mask, STYLES,
        opts.pigan_infer_max_batch)


def write_sheet(path: Path, tests: "TestSet", networks: "Networks", wanted: Mapping[str, int], rows: int) -> None:
    """Mask, true image, views, parsed labels and styles of the first masks, a mask a row."""
    from utils.errors import UserError
    from utils.images import save_png, to_uint8
    from utils.panels import mask_image, panel

    space, kinds = tests.data.config.label_space, [kind for kind in ("own", "near", "novel") if kind in wanted]
    try:
        truth = tests.truth()
    except UserError:  # masks without photographs
        truth = None
    captions, lines = ["mask"], []
    for index in range(min(rows, len(tests))):
        views = {kind: tests.views(kind, index).rgb for kind in wanted if index < wanted[kind]}
        line = [mask_image(tests.labels(index, merged=False), space)]
        if truth is not None:
            line.append(truth[index]["image"].permute(1, 2, 0).numpy())
        line += [to_uint8(views[kind][0]) for kind in kinds]
        if networks.parser is not None:
            labels = networks.parser.parse(views["own"].to(networks.device))[0]
            line.append(mask_image(labels, space.merged))
        lines.append(line + [to_uint8(image) for image in views.get("styles", ())])
    captions += ["true image"] * (truth is not None) + kinds + ["parsed"] * (networks.parser is not None)
    captions += ["style"] * (len(lines[0]) - len(captions))
    save_png(path, panel(captions, lines, min(max(tests.renders.settings.size, 96), 192)))


def _track(numbers: Iterable[int], what: str) -> Iterable[int]:
    return _bar(numbers, what, len(numbers))


def _bar(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, desc=what, total=total, unit="mask", dynamic_ncols=True, disable=None)


if __name__ == "__main__":
    run(main)
