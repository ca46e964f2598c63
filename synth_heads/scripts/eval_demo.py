"""Examine a face model on computer-made heads that no training has seen.

    python synth_heads/scripts/eval_demo.py --json out/demo.json --sheet out/demo.png
    python synth_heads/scripts/eval_demo.py --checkpoint_path out/run/checkpoints/best_model.pt --num_heads 20

The model must read merged labels, as the demo's does. docs/demo_model.md explains the figures.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, add_flag, natural, positive
from utils.cli import command, run
from utils.errors import UserError

SAMPLES_FOLDER = Path(__file__).resolve().parents[2] / "data/CelebAMask-HQ/mask_samples"
# figure -> (what it should be at least or at most, in words)
GOALS = {
    "decoder_psnr": (">=", 22.0, "decoder alone, its own codes, 64 px: PSNR, dB"),
    "code_spread": (">=", 0.5, "spread of the shape codes over masks / over heads"),
    "shuffled_loss": (">=", 3.0, "loss of PSNR with another head's mask, dB"),
    "own_depth_error": ("<=", 0.05, "depth, own view: median error / depth of the head"),
    "novel_depth_error": ("<=", 0.07, "depth, novel views"),
    "own_psnr_matched": (">=", 20.0, "PSNR after matching each label's mean colour, own view, dB"),
    "novel_loss": ("<=", 1.5, "loss of that PSNR in novel views, dB"),
    "own_miou": (">=", 0.60, "mIoU of the parsed image, own view"),
    "own_accuracy": (">=", 0.90, "pixel accuracy of the same"),
    "novel_miou": (">=", 0.50, "mIoU, novel views"),
    "novel_accuracy": (">=", 0.85, "pixel accuracy, novel views"),
    "edit_share_least": (">=", 0.70, "share of the change inside the edited region, least of all edits"),
    "style_miou_loss": ("<=", 0.05, "loss of mIoU with random styles"),
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="eval_demo.py", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--checkpoint_path", type=Path, default=DEMO_CHECKPOINT, help="the model")
    parser.add_argument("--parser_weights", type=Path, help="of the face parser; default: the bundled one")
    parser.add_argument("--num_heads", type=positive, default=200, help="heads to examine")
    parser.add_argument("--style_heads", type=natural, default=20, help="of these, so many in six styles")
    parser.add_argument("--size", type=positive, default=128, help="pixels of the images")
    parser.add_argument("--seed", type=natural, default=1001, help="of the heads; training sets have other seeds")
    parser.add_argument("--sampler", choices=("exact", "grid", "auto"), default="auto",
                        help="how views are rendered, see inference3d.py")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--sheet", type=Path, help="write a image of the first heads, edits and styles")
    add_flag(parser, "--debug", "show tracebacks of errors")
    return parser.parse_args(argv)


@command()
def main(argv: Sequence[str]) -> None:
    opts = parse(argv)
    from evaluation.face_segmentation.registry import find_segmenter

    find_segmenter("synthheads", opts.parser_weights)
    _load(opts)  # says at once what is wrong with the model

    import numpy as np
    from tqdm import tqdm

    from synth_heads.evaluation.examination import Tally, summary
    from utils.parallel import process_map

    tally, rows = Tally(), []
    jobs = [(opts, numbers) for numbers in np.array_split(np.arange(opts.num_heads), -(-opts.num_heads // 5))]
    with tqdm(total=opts.num_heads, unit="head") as bar:
        for (_, numbers), (part, images) in zip(jobs, process_map(_examine_heads, jobs, opts.workers), strict=True):
            tally.merge(part)
            rows += images
            bar.update(len(numbers))
    edits, edit_rows = _examine_edits(opts)
    figures = summary(tally, edits)
    print(_table(figures))
    for name, share in sorted(edits.items(), key=lambda item: item[1]):
        print(f"edit {name}: {share:.0%} of the change in the edited region")
    if opts.json:
        from utils.files import write_text

        content = {"checkpoint": str(opts.checkpoint_path), "num_heads": opts.num_heads, "size": opts.size,
                   "seed": opts.seed, "figures": figures, "edits": edits, "goals_met": {
                       name: _met(name, figures) for name in GOALS if name in figures}}
        write_text(opts.json, json.dumps(content, indent=2) + "\n")
        print(f"{opts.json}: all figures")
    if opts.sheet:
        from utils.images import save_png, stack_rows

        print(f"{save_png(opts.sheet, stack_rows([*rows[:8], *edit_rows]))}: images")


def _load(opts: argparse.Namespace) -> tuple[Any, Any]:
    """The model and how it frames masks."""
    from datasets.masks.maps import MaskTransform
    from models.checkpoints import read_checkpoint
    from models.sem2nerf import Sem2NeRF

    contents = read_checkpoint(opts.checkpoint_path)
    values = contents["opts"]
    if not values.get("use_merged_labels"):
        raise UserError(f"--checkpoint_path {opts.checkpoint_path}: this model reads masks without merged labels; this "
                        "script examines models that read merged ones")
    return Sem2NeRF.from_contents(contents, opts.checkpoint_path), MaskTransform.from_opts(values)


def _examine_heads(job: tuple[argparse.Namespace, Any]) -> tuple[Any, list[Any]]:
    """A few heads; in another process. The wrong mask of a head is that of the next one of the same few."""
    import torch

    from datasets.masks.maps import merge_labels
    from evaluation.face_segmentation.registry import load_segmenter
    from synth_heads.evaluation.examination import SPACE, Tally, encode, examine_head, examine_styles
    from synth_heads.evaluation.trials import make_trial
    from utils.images import colour_labels, to_uint8

    opts, numbers = job
    (net, transform), parser = _load(opts), load_segmenter("synthheads", opts.parser_weights)
    trials = [make_trial(int(number), opts.seed, opts.size) for number in numbers]
    if len(trials) == 1:
        trials.append(make_trial(int(numbers[0]) + 1, opts.seed, opts.size))
    tally, rows = Tally(), []
    with torch.no_grad():
        wrong = [encode(net, trial.mask, transform) for trial in (*trials[1:], trials[0])]
    for number, trial, other in zip(numbers, trials, wrong, strict=False):
        part, images = examine_head(net, parser, trial, other, transform, opts.size, opts.sampler)
        tally.merge(part)
        label = colour_labels(merge_labels(trial.views[0].labels, SPACE), SPACE.merged.palette)
        row = [label, trial.views[0].rgb, *map(to_uint8, images)]
        if number < opts.style_heads:
            part, styled = examine_styles(net, parser, trial, transform, opts.size, opts.sampler)
            tally.merge(part)
            row += [to_uint8(image) for image in styled[1:]]
        rows.append(row)
    return tally, rows if numbers[0] < 8 else []


def _examine_edits(opts: argparse.Namespace) -> tuple[dict[str, float], list[Any]]:
    """Every edited sample beside its original."""
    from datasets.masks.files import read_mask
    from datasets.masks.maps import merge_labels
    from models.pigan.cameras import Camera
    from synth_heads.data.dataset import camera_angles
    from synth_heads.data.samples import SAMPLES
    from synth_heads.evaluation.examination import SPACE, examine_edit
    from utils.images import colour_labels, to_uint8

    net, transform = _load(opts)
    shares, rows = {}, []
    for sample in SAMPLES:
        before = read_mask(SAMPLES_FOLDER / f"{sample.identity}.png", SPACE)
        for edit in sample.edits:
            after = read_mask(SAMPLES_FOLDER / f"{sample.identity}_{edit}.png", SPACE)
            camera = Camera(*camera_angles(sample.pose_deg).tolist())
            name = f"{sample.identity}_{edit}"
            shares[name], images = examine_edit(net, before, after, camera, transform, opts.size, opts.sampler)
            frame = transform.at(opts.size)
            masks = [colour_labels(frame.apply(merge_labels(mask, SPACE)), SPACE.merged.palette)
                     for mask in (before, after)]
            rows.append([masks[0], to_uint8(images[0]), masks[1], to_uint8(images[1])])
    return shares, rows


def _met(name: str, figures: dict[str, float]) -> bool:
    way, goal, _ = GOALS[name]
    return figures[name] >= goal if way == ">=" else figures[name] <= goal


def _table(figures: dict[str, float]) -> str:
    lines = ["| figure | value | goal | |", "|---|---|---|---|"]
    for name, (way, goal, meaning) in GOALS.items():
        if name in figures:
            verdict = "" if _met(name, figures) else "missed"
            lines.append(f"| {meaning} | {figures[name]:.3f} | {way} {goal:g} | {verdict} |")
    rest = "  ".join(f"{name} {value:.4g}" for name, value in sorted(figures.items()) if name not in GOALS)
    return "\n".join([*lines, "", rest])


if __name__ == "__main__":
    run(main)
