"""Evaluate a face model on computer-made heads that no training has seen.

    python synth_heads/scripts/eval_demo.py --json out/demo.json --sheet out/demo.png
    python synth_heads/scripts/eval_demo.py --checkpoint_path out/run/checkpoints/best_model.pt --num_heads 20

Rendering, metrics and report are those of scripts/evaluate3d.py; the heads have one palette, so that a mask determines
its image, and their codes are known. The model must read merged labels, as the demo's does. docs/demo_model.md explains
the scores and their goals.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, add_flag, natural, positive
from utils.cli import command, run

if TYPE_CHECKING:
    from evaluation.report import Report

METRICS = ("decoder", "code_spread", "diversity", "psnr", "shuffled", "novel_drop", "miou", "truth", "style_alignment",
           "edits")
# at least, or at most where lower is better
GOALS = {
    "decoder_psnr": 22.0, "code_spread": 0.5, "shuffled_psnr_drop": 3.0, "depth_error": 0.05, "novel_depth_error": 0.07,
    "psnr_matched": 20.0, "novel_psnr_drop": 1.5, "miou": 0.60, "pixel_accuracy": 0.90, "novel_miou": 0.50,
    "novel_pixel_accuracy": 0.85, "edit_fraction_least": 0.70, "style_miou_drop": 0.05,
}


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="eval_demo.py", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--checkpoint_path", type=Path, default=DEMO_CHECKPOINT, help="the model")
    parser.add_argument("--segmenter_weights", type=Path, help="of the face segmenter; default: the bundled one")
    parser.add_argument("--parser_weights", dest="segmenter_weights", type=Path, default=argparse.SUPPRESS,
                        help=argparse.SUPPRESS)
    parser.add_argument("--num_heads", type=positive, default=200, help="heads to evaluate on")
    parser.add_argument("--style_heads", type=natural, default=20, metavar="N",
                        help="the first N heads are also rendered in six styles")
    parser.add_argument("--size", type=positive, default=128, help="pixels of the images")
    parser.add_argument("--seed", type=natural, default=1001, help="of the heads; training sets have other seeds")
    parser.add_argument("--sampler", choices=("exact", "grid", "auto"), default="auto",
                        help="how views are rendered, see inference3d.py")
    parser.add_argument("--workers", type=natural, default=os.cpu_count() or 1, help="processes; 0: none but this one")
    parser.add_argument("--exp_dir", type=Path, help="folder for heads and renders, in which a run that was stopped "
                        "goes on; default: one that is removed at the end")
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    parser.add_argument("--sheet", type=Path, help="write an image of the first heads, edits and styles")
    add_flag(parser, "--debug", "show tracebacks of errors")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)

    from evaluation.metrics.registry import added
    from synth_heads.evaluation import metrics

    with contextlib.ExitStack() as stack:
        stack.enter_context(added(metrics.METRICS))
        folder = opts.exp_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eval_demo_")))
        report, edits = evaluate(opts, folder)
        page, content = report.to_markdown("Held-out heads"), report.to_json()
    print(page)
    for name, edit in sorted(edits.items(), key=lambda item: item[1].fraction):
        print(f"edit {name}: {edit.fraction:.0%} of the change in the edited region")
    if opts.json:
        from utils.files import write_text

        write_text(opts.json, content)
        print(f"{opts.json}: all scores")


def evaluate(opts: argparse.Namespace, folder: Path) -> "tuple[Report, dict[str, Any]]":
    """Draw the heads, render, measure; also writes the sheet."""
    import torch

    from evaluation.metrics.registry import Evaluation
    from evaluation.networks import NetworkFiles
    from evaluation.report import Report
    from evaluation.run import load_networks, measure, network_facts
    from evaluation.sheet import write_sheet
    from synth_heads.evaluation.edits import render_edits
    from synth_heads.evaluation.heads import HeldOutHeads
    from synth_heads.evaluation.views import HeldOutViews, render_settings
    from utils.progress import progress_bar

    files = NetworkFiles(segmenter_weights=opts.segmenter_weights)
    networks = load_networks(METRICS, files, torch.device("cpu"))
    settings = render_settings(opts.checkpoint_path, opts.size, opts.sampler)
    heads = HeldOutHeads.make(folder, opts.num_heads, opts.seed, opts.size, opts.workers, progress_bar)
    styled = min(opts.style_heads, opts.num_heads)
    tests = HeldOutViews.render(heads, settings, heads.folder, styled, workers=opts.workers, track=progress_bar)
    edits = render_edits(settings)
    evaluation = Evaluation(tests, networks, settings.model.camera.fov_deg, styled)
    evaluation.shared["edits"] = {name: edit.fraction for name, edit in edits.items()}
    results = measure(evaluation, METRICS)
    protocol = {
        "images": opts.num_heads, "masks": heads.data.source, **settings.facts(),
        "poses": "each mask's own; other views: 25 degrees to both sides", "codes": "the mask's own in all layers, but "
        "for the styles", "styles_of": f"the first {styled} masks", **network_facts(networks, files),
        "edits": evaluation.shared["edits"]}
    if opts.sheet:
        views = {"own": opts.num_heads, "novel": opts.num_heads, "styles": styled}
        below = [[edit.masks[0], edit.images[0], edit.masks[1], edit.images[1]] for edit in edits.values()]
        write_sheet(opts.sheet, tests, networks, views, 8, below)
        print(f"{opts.sheet}: images")
    return Report(protocol, results, evaluation.notes, GOALS), edits


if __name__ == "__main__":
    run(main)
