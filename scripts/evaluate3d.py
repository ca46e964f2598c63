"""A checkpoint and a data set -> a table of numbers. `--help` shows commands, docs/evaluation.md explains it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import data_config
from options.eval_options import complete, parse_options
from options.inference_options import find_checkpoint, model_answers
from utils.cli import command, run
from utils.errors import UserError
from utils.progress import progress_bar

if TYPE_CHECKING:
    from evaluation.report import Report

RENDERS, RESULTS, TABLE, SHEET = "renders", "results.json", "results.md", "sheet.png"


@command("lower `workers` (processes that render) or `pigan_infer_max_batch` (points computed at a time, e.g. 20000)")
def main(argv: Sequence[str]) -> "Report | None":
    """Render what is missing, measure, write. Returns what was written (None for a part of the rendering)."""
    from evaluation.metrics.registry import all_metrics, needs_of

    opts, given = parse_options(argv, {name: metric.needs[name] for name, metric in all_metrics().items()})
    checkpoint, source = find_checkpoint(opts, given)
    print(f"weights: {source}")

    from evaluation.metrics.diversity import STYLES
    from evaluation.metrics.registry import Evaluation
    from evaluation.networks import NetworkFiles
    from evaluation.rendering import Renders, RenderSettings
    from evaluation.report import Report
    from evaluation.run import check_data, load_networks, measure, protocol, wanted_views
    from evaluation.sheet import write_sheet
    from evaluation.test_set import EvaluationSet
    from evaluation.test_views import TestViews
    from models.checkpoints import read_checkpoint
    from models.config import ModelConfig, with_options
    from models.semantic_files import head_of
    from utils.device import pick_devices

    contents = with_options(read_checkpoint(checkpoint), model_answers(opts, given), checkpoint)
    opts, model = complete(opts, given, contents["opts"]), ModelConfig.from_contents(contents)
    data = EvaluationSet.find(opts.data_path, data_config(opts.dataset_type), opts.eval_paths_conf, opts.n_images)
    check_data(opts.metrics, data)
    devices = pick_devices(opts.device, opts.gpu_ids)     # all render, the first also measures
    files = NetworkFiles(opts.inception_weights, opts.lpips_weights, opts.face_segmenter, opts.segmenter_weights)
    # files that are missing are named before hours of rendering
    networks = None if opts.shard else load_networks(opts.metrics, files, devices[0])
    out = Path(opts.exp_dir)
    head = head_of(contents, checkpoint, opts.semantic_head)
    if head is None and "metrics" in given and "semantic" in opts.metrics:
        raise UserError(f"--metrics semantic: {checkpoint} has no semantic head; give one with --semantic_head, or "
                        "train it with scripts/train_semantics.py")
    settings = RenderSettings(checkpoint, model, opts.dataset_type, opts.test_output_size, opts.pigan_infer_ray_step,
                              opts.sampler, opts.latent_mask, STYLES, opts.pigan_infer_max_batch, semantic_head=head)
    renders = Renders.open(out / RENDERS, settings, opts.overwrite)
    tests = TestViews(data, renders, progress_bar)
    if networks is not None and "photographs" in needs_of(opts.metrics):
        tests.photographs()

    wanted = wanted_views(opts.metrics, data, opts.style_masks)
    shard = opts.shard or (0, 1)
    todo = len(renders.missing(data, wanted))
    print(f"{len(data.masks)} masks ({data.source}), {todo} of them to render")
    # what was trained here says where its patches lay
    caution = data.known_to_authors if "patch_shift" not in contents["opts"] else None
    if caution:
        print(f"warning: {caution}")
    workers = opts.workers or (len(devices) if devices[0].type == "cuda" else os.cpu_count() or 1)
    finished = renders.render_missing(data, wanted, workers, [str(device) for device in devices], shard)
    for _ in progress_bar(finished, "rendering", -(-todo // shard[1])):
        pass
    if networks is None:
        print(f"part {shard[0] + 1} of {shard[1]} is rendered; run the same command without --shard when all are")
        return None
    evaluation = Evaluation(tests, networks, model.camera.fov_deg, min(len(tests), opts.style_masks))
    results = measure(evaluation, opts.metrics)
    notes = [*([caution] if caution else []), *evaluation.notes]
    report = Report(protocol(evaluation, opts.metrics, files), results, notes)
    report.write(Path(opts.json) if opts.json else out / RESULTS, out / TABLE)
    write_sheet(out / SHEET, tests, networks, wanted, opts.sheet_rows)
    print(report.to_markdown())
    print(f"wrote {opts.json or out / RESULTS}, {out / TABLE} and {out / SHEET}")
    return report


if __name__ == "__main__":
    run(main)
