"""Measurements of rendering (a part of benchmark.py): a view, a video, an encoding, and how the cost grows.

Whatever is compared is measured in turn, A B A B, and a ratio is the median of the ratios of neighbours. Processor
seconds are the ones to compare on a busy machine; an idle one gives the same ratios in seconds.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from configs.paths_config import DEMO_CHECKPOINT
from models.config import ModelConfig
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.kernels import affine, sine_
from models.pigan.siren import mean_code, style_code
from models.pigan.trajectories import trajectory
from models.scene import Scene, View
from models.sem2nerf import Sem2NeRF
from scripts.dev.benchmark_reference import reference_view
from utils.parallel import thread_map

ROOT = Path(__file__).resolve().parents[2]
MASK = "data/CelebAMask-HQ/mask_samples/90001.png"
CONVERGED_STRIDE = 4  # the converged render is made of every fourth pixel of every fourth row
VISIBLE_GAIN = 3000  # makes the surfaces of a random field visible, as in a trained one
PRODUCTS, ROWS = 100, 2048  # of each thread, and rows of each, when the rate of matrix products is measured


class Cost(NamedTuple):
    seconds: float
    processor: float  # seconds of all threads together


@dataclass(frozen=True)
class Subject:
    """What is measured: a model and one of its scenes, from a mask or (a random model) from a style."""

    net: Sem2NeRF
    mask: Float[Tensor, "channels size size"]
    codes: Codes

    def scene(self) -> Scene:
        return self.net.scene_of(self.codes)


def load(args: argparse.Namespace) -> Subject:
    """The weights of --checkpoint_path and a bundled mask, or a random model of --width."""
    if args.width:
        torch.manual_seed(0)
        net = Sem2NeRF(ModelConfig(width=args.width)).eval().requires_grad_(False)
        net.siren.final_layer.weight.mul_(VISIBLE_GAIN)
        return Subject(net, torch.rand(net.config.input_nc, net.config.input_size, net.config.input_size),
                       style_code(net.siren, 1))
    net = Sem2NeRF.from_checkpoint(args.checkpoint_path or ROOT / DEMO_CHECKPOINT)
    mask = net.read(ROOT / MASK)
    with torch.no_grad():
        return Subject(net, mask, net.encode(mask[None]))


def cost(task: Callable[[], Any]) -> Cost:
    seconds, processor = time.perf_counter(), time.process_time()
    task()
    return Cost(time.perf_counter() - seconds, time.process_time() - processor)


def in_turn(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[Cost]]:
    """Costs of each task, run in turn (A B C, A B C, ...) after a warm-up round."""
    rounds = [{name: cost(task) for name, task in tasks.items()} for _ in range(repeats + 1)][1:]
    return {name: [costs[name] for costs in rounds] for name in tasks}


def ratio(slow: Sequence[Cost], fast: Sequence[Cost]) -> Cost:
    """Median of the ratios, round by round."""
    return Cost(*(statistics.median(a / b for a, b in zip(*values)) for values in zip(zip(*slow), zip(*fast))))


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs)))


def products(width: int, multiply: Callable[[Tensor, Tensor], Any]) -> Callable[[], Any]:
    """A task: PRODUCTS matrix products of the field's shape on each thread."""
    a, b, threads = torch.rand(ROWS, width), torch.rand(width, width), torch.get_num_threads()
    return lambda: list(thread_map(lambda _: [multiply(a, b) for _ in range(PRODUCTS)] and None, range(threads),
                                    threads))


def quality(view: Float[Tensor, "3 size size"], converged: Float[Tensor, "3 rows columns"]) -> dict[str, float]:
    difference = view[:, ::CONVERGED_STRIDE, ::CONVERGED_STRIDE] - converged
    return {"PSNR to the converged image, dB": 10 * math.log10(4 / max(difference.square().mean().item(), 1e-12)),
            "mean error, in 255ths": difference.abs().mean().item() * 127.5}


def converged_view(scene: Scene, camera: Camera, size: int, samples: int) -> Float[Tensor, "3 rows columns"]:
    origin, directions = camera_rays(camera, size, scene.preset.fov_deg)
    directions = directions.reshape(size, size, 3)[::CONVERGED_STRIDE, ::CONVERGED_STRIDE]
    rgb = scene.render_rays(origin, directions.flatten(0, 1), samples).rgb
    return (rgb * 2 - 1).t().reshape(3, *directions.shape[:2])


def field_flops(width: int) -> int:
    """Of one point, colour included."""
    return 2 * (3 * width + 7 * width**2 + width + (width + 3) * width + 3 * width)


def render_figures(args: argparse.Namespace) -> dict[str, Any]:
    """One view: the official layout, the exact path and the grid; the share of the machine's rate; where time goes."""
    subject, camera, size, samples = load(args), Camera(), args.size, args.samples
    width, scene = subject.net.siren.width, subject.scene()
    zero, weight, threads = torch.zeros(width), torch.rand(width, width), torch.get_num_threads()
    hidden = [torch.rand(scene.block, width) for _ in range(threads)]
    shown: dict[str, Any] = {}

    def keep(name: str, view: Callable[[], View | Tensor]) -> Callable[[], None]:
        return lambda: shown.update({name: view()})

    costs = in_turn({
        "official layout": keep("official layout", lambda: reference_view(subject.net, subject.codes, camera, size,
                                                                          samples)),
        "exact": keep("exact", lambda: scene.render(camera, size, samples)),
        "grid": keep("grid", lambda: scene.render(camera, size, samples, sampler="grid")),
        "sgemm of PyTorch": products(width, torch.mm),
        "sgemm of oneDNN": products(width, lambda a, b: affine(a, b, zero)),
        "products": lambda: list(thread_map(lambda x: [affine(x, weight, zero) for _ in range(8)] and None, hidden,
                                             threads)),
        "sines": lambda: list(thread_map(lambda x: [sine_(x) for _ in range(8)] and None, hidden, threads)),
    }, args.repeats)
    flops = 2 * size**2 * samples * field_flops(width)
    rate = {name: PRODUCTS * threads * 2 * ROWS * width**2 / median(costs[name]).processor
            for name in ("sgemm of PyTorch", "sgemm of oneDNN")}
    figures: dict[str, Any] = {
        "view": f"{size} px, {samples} + {samples} samples, width {width}", "threads": threads,
        "block, points": scene.block, **{f"{name}, GFLOP/s per core": value / 1e9 for name, value in rate.items()}}
    for name in ("official layout", "exact", "grid"):
        figures[f"{name}: seconds"], figures[f"{name}: processor seconds"] = median(costs[name])
    for name in ("official layout", "exact"):  # counted as if every sample were coloured: what the image is worth
        for product, value in rate.items():
            figures[f"{name}: share of the {product}"] = flops / median(costs[name]).processor / value
    for name in ("exact", "grid"):
        figures[f"official layout / {name}: time"], figures[f"official layout / {name}: processor time"] = ratio(
            costs["official layout"], costs[name])
    points = 2 * size**2 * samples
    for name in ("products", "sines"):
        figures[f"exact: share of time in {name}"] = (
            median(costs[name]).processor / threads / scene.block * points / median(costs["exact"]).processor)
    difference = (shown["official layout"] - shown["exact"].rgb).abs()
    figures["exact: mean difference from the official layout"] = difference.mean().item()
    figures["exact: largest difference from the official layout"] = difference.max().item()
    figures["grid: evaluations per ray"] = shown["grid"].evaluations
    figures["grid: evaluations to make it"] = scene.grids[samples].evaluations
    if args.converged:
        converged = converged_view(scene, camera, size, args.converged)
        for name in ("exact", "grid"):
            figures.update({f"{name}: {what}": value for what, value in quality(shown[name].rgb, converged).items()})
    return figures


def video_figures(args: argparse.Namespace) -> dict[str, Any]:
    """A whole video from a mask (encoding, grid and frames) beside frames of the official layout, which encodes the
    mask and averages 10,000 codes for each."""
    subject, size, samples = load(args), args.size, args.samples
    net, frames = subject.net, args.frames
    cameras = trajectory(args.trajectory, frames, net.config.camera.fov_deg)
    official, judged = [], []

    def start() -> Scene:
        with torch.no_grad():
            codes = subject.codes if args.width else net.encode(subject.mask[None])
        scene = net.scene_of(codes)
        scene.prepare(cameras, size, samples, args.sampler)
        return scene

    def reference(camera: Camera) -> None:
        with torch.no_grad():
            mean_code(net.siren)
            net.encode(subject.mask[None])
        reference_view(net, subject.codes, camera, size, samples)

    made: list[Any] = []
    own = cost(lambda: made.append(start()))
    begun, evaluations, used = own, 0.0, made[0]
    for i, camera in enumerate(cameras):
        frame = cost(lambda camera=camera: made.append(used.render(camera, size, samples, sampler=args.sampler)))
        own = Cost(own.seconds + frame.seconds, own.processor + frame.processor)
        view = made.pop()
        evaluations += view.evaluations
        if i % max(1, frames // args.repeats) == 0:
            official.append(cost(lambda camera=camera: reference(camera)))
            if args.converged:
                converged = converged_view(used, camera, size, args.converged)
                exact = used.render(camera, size, samples)
                judged.append([*quality(view.rgb, converged).values(), *quality(exact.rgb, converged).values()])
    grid = sum(grid.evaluations for grid in used.grids.values())
    per_frame, theirs = Cost(own.seconds / frames, own.processor / frames), median(official)
    figures: dict[str, Any] = {
        "video": f"{frames} frames ({args.trajectory}), {size} px, {samples} + {samples} samples, width "
                 f"{net.siren.width}, --sampler {args.sampler}",
        "threads": torch.get_num_threads(),
        "official layout: seconds per frame": theirs.seconds,
        "official layout: processor seconds per frame": theirs.processor,
        "this project: seconds per frame": per_frame.seconds,
        "this project: processor seconds per frame": per_frame.processor,
        "this project: processor seconds before the first frame": begun.processor,
        "official layout / this project: time": theirs.seconds / per_frame.seconds,
        "official layout / this project: processor time": theirs.processor / per_frame.processor,
        "evaluations per ray, without the grid's": evaluations / frames,
        "evaluations per ray, the grid's included": evaluations / frames + grid / frames / size**2,
    }
    if judged:
        names = [f"{path}: {what}" for path in (args.sampler, "exact")
                 for what in ("least PSNR, dB", "mean error, in 255ths")]
        for name, values in zip(names, zip(*judged)):
            figures[name] = min(values) if "PSNR" in name else statistics.mean(values)
    return figures


def encode_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Mask to scene, beside the official layout, which averages 10,000 codes for every view."""
    subject = load(args)
    net = subject.net

    def encode(average: bool) -> None:
        with torch.no_grad():
            if average:
                mean_code(net.siren)
            net.scene_of(net.encode(subject.mask[None]))

    costs = in_turn({"official layout": lambda: encode(True), "this project": lambda: encode(False)}, args.repeats)
    figures: dict[str, Any] = {"encoder": net.config.encoder_type, "threads": torch.get_num_threads()}
    for name, values in costs.items():
        figures[f"{name}: seconds per mask"], figures[f"{name}: processor seconds per mask"] = median(values)
    figures["official layout / this project: processor time"] = ratio(costs["official layout"],
                                                                      costs["this project"]).processor
    return figures


def growth_figures(args: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds of the exact path by size, samples and width."""
    figures: dict[str, Any] = {}
    for what, values in (("size", (32, 64, 96)), ("samples", (12, 24, 48)), ("width", (64, 128, 256))):
        settings = [{"size": 48, "samples": 24, "width": 128, what: value} for value in values]
        scenes = [load(argparse.Namespace(width=chosen["width"])).scene() for chosen in settings]
        costs = in_turn({str(chosen[what]): lambda scene=scene, chosen=chosen: scene.render(
            Camera(), chosen["size"], chosen["samples"]) for scene, chosen in zip(scenes, settings)}, args.repeats)
        figures.update({f"{what} {name}: processor seconds": median(measured).processor
                        for name, measured in costs.items()})
    return figures
