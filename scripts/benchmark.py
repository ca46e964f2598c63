"""How fast this machine renders, beside the same picture computed the way the official release lays it out."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import HelpFormatter, Parser, add_flag, positive
from utils.cli import run

if TYPE_CHECKING:
    from models.pigan.codes import Codes
    from models.sem2nerf import Sem2NeRF

DESCRIPTION = """Timings on this machine; all figures of a run are taken in turn, so that their ratios hold even if the
machine has other work. Read the ratios, not the seconds.

  python scripts/benchmark.py render                          # bundled demo weights
  python scripts/benchmark.py render --width 256 --json b.json  # a random model of the published size
  python scripts/benchmark.py train --json b.json             # a training step at the published size
  python scripts/benchmark.py train --empty 0                 # the worst case: thin fog everywhere
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("task", choices=["render", "train"], help="render: one view of one scene; train: one step of "
                        "the encoder with a frozen field, seconds and peak memory of a process of its own; needs 10 GB")
    parser.add_argument("--checkpoint_path", help="weights; default: render: the bundled demo weights, train: random")
    parser.add_argument("--width", type=positive, help="use a random field of this width instead of weights")
    parser.add_argument("--size", "--resolution", type=positive, default=64, help="pixels along each side of the view")
    parser.add_argument("--samples", type=positive, help="render: samples a ray, coarse and fine each (default: 24); "
                        "train: samples a ray (default: 28)")
    parser.add_argument("--batch_size", type=positive, default=1, help="train: scenes a step")
    parser.add_argument("--empty", type=share, default=0.8, help="train with random weights: the share of space "
                        "without density (about 0.9 in the demo weights' field); 0: thin fog everywhere, where nothing "
                        "can be left out")
    parser.add_argument("--repeats", type=positive, default=5, help="timed runs of each, after one warm-up")
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


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    from utils.files import write_text

    figures = {"render": render_figures, "train": train_figures}[args.task](args)
    for name, value in figures.items():
        print(f"{name:42s} {value:.4g}" if isinstance(value, float) else f"{name:42s} {value}")
    if args.json:
        write_text(args.json, json.dumps(figures, indent=2) + "\n")


def load(args: argparse.Namespace) -> "tuple[Sem2NeRF, Codes]":
    """The model to time and the codes of one scene."""
    import torch

    from configs.paths_config import DEMO_CHECKPOINT
    from models.config import ModelConfig
    from models.pigan.siren import style_code
    from models.sem2nerf import Sem2NeRF

    if args.width:
        torch.manual_seed(0)
        net = Sem2NeRF(ModelConfig(encoder_type="SwinEncoderNano", width=args.width))
        with torch.no_grad():
            net.siren.final_layer.weight.mul_(3000)  # visible surfaces, as in a trained field
    else:
        path = args.checkpoint_path or Path(__file__).resolve().parents[1] / DEMO_CHECKPOINT
        net = Sem2NeRF.from_checkpoint(path)
    return net.eval().requires_grad_(False), style_code(net.siren, 1)


def render_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Median seconds of: the official layout, ours, and a matrix product of the field's own shape."""
    import torch

    from models.pigan.cameras import Camera
    from scripts.benchmark_reference import reference_view

    if args.threads:
        torch.set_num_threads(args.threads)
    args.samples = args.samples or 24
    net, codes = load(args)
    camera, width = Camera(), net.siren.width
    scene = net.scene_of(codes)
    a, b, c = torch.rand(2048, width), torch.rand(width, width), torch.empty(2048, width)
    seconds = timed({
        "official layout": lambda: reference_view(net, codes, camera, args.size, args.samples),
        "this project": lambda: scene.render(camera, args.size, args.samples).rgb,
        "sgemm": lambda: [torch.mm(a, b, out=c) for _ in range(200)],
    }, args.repeats)
    points = args.size**2 * 2 * args.samples
    trunk, colour = 3 * width + 7 * width**2 + width, (width + 3) * width + 3 * width
    field_flops = 2 * points * (trunk + colour)
    sgemm = 200 * 2 * 2048 * width**2 / seconds["sgemm"]
    difference = (reference_view(net, codes, camera, args.size, args.samples) -
                  scene.render(camera, args.size, args.samples).rgb).abs()
    return {
        "picture": f"{args.size} px, {args.samples} + {args.samples} samples, width {width}",
        "threads": torch.get_num_threads(),
        "sgemm GFLOP/s (2048 x W by W x W)": sgemm / 1e9,
        "official layout: seconds per view": seconds["official layout"],
        "official layout: share of the sgemm rate": field_flops / seconds["official layout"] / sgemm,
        "this project: seconds per view": seconds["this project"],
        # counted as if every sample were coloured, which is what the picture is worth
        "this project: share of the sgemm rate": field_flops / seconds["this project"] / sgemm,
        "this project: share, trunk only": 2 * points * trunk / seconds["this project"] / sgemm,
        "official layout / this project": seconds["official layout"] / seconds["this project"],
        "mean difference of the pictures": difference.mean().item(),
        "largest difference of the pictures": difference.max().item(),
    }


def train_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Median seconds and peak memory of a training step: the official layout, by itself and told to keep freed memory
    (for glibc, which else returns every large buffer to the system and pays for it with page faults), and ours."""
    import torch

    from scripts.benchmark_train import KEEP_FREED_MEMORY, StepProcess

    settings = {"checkpoint": args.checkpoint_path, "width": args.width or 256, "size": args.size,
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
        "step": f"{args.size} px, {settings['samples']} samples, batch {args.batch_size}, field width {ours['width']}",
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


def timed(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each task, run in turn (A B C, A B C, ...) after a warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for round_number in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    run(main)
