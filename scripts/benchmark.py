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
    from models.pigan.cameras import Camera
    from models.pigan.codes import Codes
    from models.sem2nerf import Sem2NeRF

DESCRIPTION = """Timings on this machine; all figures of a run are taken in turn, so that their ratios hold even if the
machine has other work. Read the ratios, not the seconds.

  python scripts/benchmark.py render                          # bundled demo weights
  python scripts/benchmark.py render --width 256 --json b.json  # a random model of the published size
"""
OFFICIAL_BLOCK = 50_000  # points per block of the official release


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("task", choices=["render"], help="render: one view of one scene")
    parser.add_argument("--checkpoint_path", help="weights; default: the bundled demo weights")
    parser.add_argument("--width", type=positive, help="use a random field of this width instead of weights")
    parser.add_argument("--size", type=positive, default=64, help="pixels along each side of the view")
    parser.add_argument("--samples", type=positive, default=24, help="samples a ray, coarse and fine each")
    parser.add_argument("--repeats", type=positive, default=5, help="timed runs of each, after one warm-up")
    parser.add_argument("--threads", type=positive, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--json", help="also write the figures to this file")
    add_flag(parser, "--debug", "show the full traceback of an error")
    return parser


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    import torch

    from utils.files import write_text

    if args.threads:
        torch.set_num_threads(args.threads)
    figures = render_figures(args)
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


def reference_view(net: "Sem2NeRF", codes: "Codes", camera: "Camera", size: int, samples: int):
    """The same samples and picture as `Scene.render`, laid out as the official release does it.

    All points of a pass are made at once, FiLM is applied as written, in blocks of 50,000 points, with a direction per
    point; every sample is coloured in both passes.
    """
    import torch

    from models.pigan.cameras import camera_rays
    from models.pigan.integration import composite
    from models.pigan.sampling import importance_depths, midpoints, stratified_depths
    from models.pigan.siren import LOCKED_DIRECTION

    geometry = net.config.geometry
    origin, directions = camera_rays(camera, size, geometry.fov_deg)

    def field(depths):
        points = (origin + directions[:, None] * depths[..., None]).reshape(1, -1, 3)
        locked = torch.tensor(LOCKED_DIRECTION).expand_as(points).contiguous()
        out = torch.empty(1, points.shape[1], 4)
        for start in range(0, points.shape[1], OFFICIAL_BLOCK):
            part = slice(start, start + OFFICIAL_BLOCK)
            rgb, density = net.siren(points[:, part], codes, locked[:, part])
            out[:, part] = torch.cat([rgb, density[..., None]], -1)
        return out.reshape(*depths.shape, 4)

    with torch.no_grad():
        coarse = stratified_depths(geometry.ray_start, geometry.ray_end, samples,
                                   torch.full((len(directions), samples), 0.5))
        coarse_out = field(coarse)
        weights = composite(coarse_out[..., :3], coarse_out[..., 3], coarse).weights
        fine = importance_depths(coarse, weights, midpoints(samples, coarse).expand_as(coarse))
        depths, order = torch.cat([coarse, fine], 1).sort(1)
        out = torch.cat([coarse_out, field(fine)], 1).gather(1, order[..., None].expand(-1, -1, 4))
        rgb = composite(out[..., :3], out[..., 3], depths, last_back=geometry.eval_last_back).rgb
        return (rgb * 2 - 1).t().reshape(3, size, size)


if __name__ == "__main__":
    run(main)
