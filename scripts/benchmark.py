"""How fast this machine renders, beside the same image computed the way the official release lays it out."""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import HelpFormatter, Parser, add_flag, positive
from utils.cli import command, run
from utils.errors import UserError

DESCRIPTION = """Timings on this machine; all figures of a run are taken in turn, so that their ratios hold even if the
machine has other work. Read the ratios of processor time, not the seconds.

  python scripts/benchmark.py render                          # bundled demo weights
  python scripts/benchmark.py render --width 256 --json b.json  # a random model of the published size
  python scripts/benchmark.py render --converged 512          # also the error to a converged image
  python scripts/benchmark.py video --size 256 --samples 72   # 36 frames; a grid and the encoding included
  python scripts/benchmark.py encode                          # from mask to scene
  python scripts/benchmark.py growth --plot docs/performance_growth.svg  # cost by size, samples and width
  python scripts/benchmark.py train --json b.json             # a training step at the published size
  python scripts/benchmark.py train --empty 0                 # the worst case: thin fog everywhere
  python scripts/benchmark.py render --device cuda --width 256 --size 512 --samples 72  # on a GPU, each precision
"""
TASKS = {"render": "one view of one scene", "video": "a whole video from one mask", "encode": "from mask to scene",
         "growth": "the exact path by size, samples and width",
         "train": "one step of the encoder with a frozen field, seconds and peak memory of a process of its own; "
                  "needs 10 GB"}


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("task", choices=list(TASKS), help="; ".join(f"{name}: {text}" for name, text in TASKS.items()))
    parser.add_argument("--checkpoint_path", help="weights; default: the bundled demo weights, for train random ones")
    parser.add_argument("--width", type=positive, help="use a random field of this width instead of weights")
    parser.add_argument("--size", "--resolution", type=positive, help="pixels along each side of a view "
                        "(default: 64; video: 128)")
    parser.add_argument("--samples", type=positive, help="samples per ray, coarse and fine each (default: 24); train: "
                        "samples per ray (default: 28)")
    parser.add_argument("--sampler", choices=["auto", "grid", "exact"], default="grid",
                        help="video: see inference3d.py")
    parser.add_argument("--frames", type=positive, default=36, help="video: how many")
    parser.add_argument("--trajectory", choices=["front", "orbit"], default="front", help="video: path of the camera")
    parser.add_argument("--converged", type=positive, help="render, video: compare with an image of this many "
                        "samples, coarse and fine each; 512 takes minutes")
    parser.add_argument("--plot", help="growth: also draw the figures into this file, .svg or .png (needs "
                        "matplotlib)")
    parser.add_argument("--batch_size", type=positive, default=1, help="train: scenes per step")
    parser.add_argument("--empty", type=share, default=0.8, help="random weights, train or --device: the share "
                        "of space without density (about 0.9 in the demo weights' field); 0: thin fog everywhere, "
                        "where nothing can be left out")
    parser.add_argument("--repeats", type=positive, default=5, help="timed runs of each, after one warm-up; video: "
                        "frames of the official layout")
    parser.add_argument("--device", help="measure on this device, cuda, cuda:N or cpu, with its own clock: all "
                        "precisions, memory, and the share of its rate of matrix products (not growth)")
    parser.add_argument("--encoder", help="train with --device: the encoder (default: SwinEncoder)")
    parser.add_argument("--threads", type=positive, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--json", help="also write the figures to this file")
    add_flag(parser, "--debug", "show the full traceback of an error")
    return parser


def share(text: str) -> float:
    """An argparse type: a number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


@command()
def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    from utils.files import write_text

    if args.device:
        figures = device_figures(args)
    else:
        figures = train_figures(args) if args.task == "train" else rendering_figures(args)
    for name, value in figures.items():
        print(f"{name:58s} {value:.4g}" if isinstance(value, float) else f"{name:58s} {value}")
    if args.json:
        write_text(args.json, json.dumps(figures, indent=2) + "\n")


def device_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of a task on `args.device`.

    Raises:
        UserError: there is no such device, or the task is `growth`.
    """
    from scripts.dev import benchmark_device, benchmark_device_step
    from utils.device import pick_device

    if args.task == "growth":
        raise UserError("`device` and growth: growth counts a CPU's seconds; leave the option out")
    device = pick_device(args.device)
    if args.task == "train":
        return benchmark_device_step.train_figures(args, device)
    args.samples, args.size = args.samples or 24, args.size or (128 if args.task == "video" else 64)
    return getattr(benchmark_device, f"{args.task}_figures")(args, device)


def rendering_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of a task that trains nothing."""
    import torch

    from scripts.dev import benchmark_render

    if args.threads:
        torch.set_num_threads(args.threads)
    args.samples = args.samples or 24
    args.size = args.size or (128 if args.task == "video" else 64)
    figures = getattr(benchmark_render, f"{args.task}_figures")(args)
    if args.plot and args.task == "growth":
        from scripts.dev.benchmark_plot import draw_growth

        draw_growth(figures, args.plot)
    return figures


def train_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Median seconds and peak memory of a training step: the official layout, by itself and told to keep freed memory
    (for glibc, which else returns every large buffer to the system and pays for it with page faults), and ours."""
    import torch

    from scripts.dev.benchmark_train import KEEP_FREED_MEMORY, StepProcess

    settings = {"checkpoint": args.checkpoint_path, "width": args.width or 256, "size": args.size or 64,
                "samples": args.samples or 28, "batch": args.batch_size, "empty": args.empty,
                "threads": args.threads or torch.get_num_threads()}
    names = ("official layout", "official layout, freed memory kept", "this project")
    processes = [StepProcess({**settings, "official": i < 2}, KEEP_FREED_MEMORY if i == 1 else {}) for i in range(3)]
    try:
        for process in processes:
            process.step()  # warm-up
        rounds = [[process.step() for process in processes] for _ in range(args.repeats)]
    finally:
        for process in processes:
            process.close()
    runs = {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for name, runs in zip(names, zip(*rounds))}
    ours = runs["this project"]
    figures: dict[str, Any] = {
        "step": f"{settings['size']} px, {settings['samples']} samples, batch {args.batch_size}, "
                f"field width {ours['width']}",
        "threads": settings["threads"],
        "share of the points with density": ours["dense"],
    }
    for name, measured in runs.items():
        figures[f"{name}: seconds per step"] = measured["seconds"]
        figures[f"{name}: CPU seconds per step"] = measured["cpu_seconds"]
        figures[f"{name}: peak memory, MB"] = measured["peak_mb"]
        figures[f"{name}: memory before the first step, MB"] = measured["start_mb"]
    for name in names[:2]:
        figures[f"{name} / this project: time"] = runs[name]["seconds"] / ours["seconds"]
        figures[f"{name} / this project: CPU time"] = runs[name]["cpu_seconds"] / ours["cpu_seconds"]
        figures[f"this project / {name}: memory"] = ours["peak_mb"] / runs[name]["peak_mb"]
    return figures


if __name__ == "__main__":
    run(main)
