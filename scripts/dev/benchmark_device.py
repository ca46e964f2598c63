"""Measurements on one device, above all a GPU (a part of benchmark.py): a view, a video, an encoding.

Everything is measured in turn, A B A B, after a warm-up; times are medians between events of the device, memory is what
a task takes on top of what was there before. On a CPU the same runs with the clock, to be tested.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.pigan.cameras import Camera
from models.pigan.fast.fused import PRECISIONS, FusedField
from models.pigan.fast.kernels import multiplies
from models.pigan.siren import mean_code
from models.pigan.trajectories import trajectory
from models.scene import View
from models.sem2nerf import Sem2NeRF
from scripts.dev.benchmark_reference import reference_view
from scripts.dev.benchmark_render import Subject, converged_view, field_flops, load, quality

MATRIX_SIDE = {"cpu": 512}  # of the product that measures the device's rate; elsewhere 8192


class Measured(NamedTuple):
    seconds: float
    megabytes: float  # the most that was in use at a time, beyond what was before


def measure(task: Callable[[], Any], device: torch.device) -> Measured:
    """Once, to the end of what it launches."""
    if device.type != "cuda":
        start = time.perf_counter()
        task()
        return Measured(time.perf_counter() - start, math.nan)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    task()
    end.record()
    torch.cuda.synchronize(device)
    return Measured(start.elapsed_time(end) / 1000, (torch.cuda.max_memory_allocated(device) - before) / 2**20)


def in_turn(tasks: dict[str, Callable[[], Any]], repeats: int, device: torch.device) -> dict[str, Measured]:
    """Medians of each task, run in turn after a warm-up round."""
    rounds = [{name: measure(task, device) for name, task in tasks.items()} for _ in range(repeats + 1)][1:]
    return {name: Measured(*map(statistics.median, zip(*(one[name] for one in rounds)))) for name in tasks}


def card(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def precisions(device: torch.device) -> list[str]:
    """Those that the device has."""
    return [name for name, kind in PRECISIONS.items() if multiplies(device, kind)]


def on_device(args: argparse.Namespace, device: torch.device) -> Subject:
    """The weights of --checkpoint_path, or a random model of whose field the share --empty of space has no density."""
    subject = load(args)
    if args.width:
        make_empty(subject.net, subject.codes, args.empty)
    return Subject(subject.net.to(device), subject.mask.to(device), subject.codes.to(device))


def matrix_products(device: torch.device) -> dict[str, tuple[float, Callable[[], Tensor]]]:
    """By precision: operations of a large product, and the task."""
    side = MATRIX_SIDE.get(device.type, 8192)
    tasks: dict[str, tuple[float, Callable[[], Tensor]]] = {}
    for name in precisions(device):
        kind = torch.float32 if name == "tf32" else PRECISIONS[name]
        a, b = (torch.rand(side, side, device=device).to(kind) - 0.5 for _ in range(2))

        def product(a: Tensor = a, b: Tensor = b, allowed: bool = name == "tf32") -> Tensor:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high" if allowed else "highest")
            try:
                return a @ b
            finally:
                torch.set_float32_matmul_precision(before)

        tasks[name] = 2 * side**3, product
    return tasks


def render_figures(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One view: the official layout, the exact path and the grid in each precision."""
    subject, camera, size, samples = on_device(args, device), Camera(), args.size, args.samples
    shown: dict[str, Tensor] = {}
    scenes = {name: subject.net.scene_of(subject.codes, precision=name) for name in precisions(device)}
    figures: dict[str, Any] = {
        "card": card(device), "view": f"{size} px, {samples} + {samples} samples, width {subject.net.siren.width}"
        + (f", empty {args.empty}" if args.width else ""),
        "fused kernel": all(isinstance(scene.field, FusedField) for scene in scenes.values())}

    for name in scenes:  # the first grid pays for what is compiled
        fresh = [subject.net.scene_of(subject.codes, precision=name) for _ in range(3)]
        times = [measure(lambda scene=scene: scene.prepare([camera], size, samples), device) for scene in fresh]
        figures[f"grid, {name}: seconds to make it"] = statistics.median(cost.seconds for cost in times[1:])

    def keep(name: str, view: Callable[[], View | Tensor]) -> Callable[[], None]:
        def task() -> None:
            result = view()
            shown[name] = result if isinstance(result, Tensor) else result.rgb
        return task

    tasks = {"official layout": keep("official layout", lambda: reference_view(subject.net, subject.codes, camera, size,
                                                                               samples))}
    for name, scene in scenes.items():
        for sampler in ("exact", "grid"):
            tasks[f"{sampler}, {name}"] = keep(f"{sampler}, {name}", lambda scene=scene, sampler=sampler: scene.render(
                camera, size, samples, sampler=sampler))
    rates = matrix_products(device)
    costs = in_turn({**tasks, **{f"product, {name}": task for name, (_, task) in rates.items()}}, args.repeats, device)
    flops = 2 * size**2 * samples * field_flops(subject.net.siren.width)
    for name, (operations, _) in rates.items():
        figures[f"matrix rate, {name}, TFLOP/s"] = operations / costs[f"product, {name}"].seconds / 1e12
    converged = converged_view(scenes["fp32"], camera, size, args.converged).cpu() if args.converged else None
    for name in tasks:
        figures[f"{name}: seconds"], figures[f"{name}: memory, MB"] = costs[name]
        if name != "official layout":
            figures[f"official layout / {name}: time"] = costs["official layout"].seconds / costs[name].seconds
            figures[f"{name}: views per second"] = 1 / costs[name].seconds
            difference = (shown[name].cpu() - shown["official layout"].cpu()).square().mean().item()
            figures[f"{name}: PSNR to the official layout, dB"] = 10 * math.log10(4 / max(difference, 1e-12))
        if name.startswith("exact"):
            precision = name.split(", ")[1]
            figures[f"{name}: share of the matrix rate"] = (
                flops / costs[name].seconds / 1e12 / figures[f"matrix rate, {precision}, TFLOP/s"])
        if converged is not None:
            figures.update({f"{name}: {what}": value for what, value in
                            quality(shown[name].cpu(), converged).items()})
    return figures


def video_figures(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """A whole video from a mask (encoding, grid and frames), beside frames of the official layout, which encodes the
    mask and averages 10,000 codes for each."""
    subject, size, samples = on_device(args, device), args.size, args.samples
    net, cameras = subject.net, trajectory(args.trajectory, args.frames, subject.net.config.camera.fov_deg)

    def encoded() -> Any:
        with torch.no_grad():
            return subject.codes if args.width else net.encode(subject.mask[None])

    def official() -> None:
        with torch.no_grad():
            mean_code(net.siren)
            net.encode(subject.mask[None])
        reference_view(net, subject.codes, cameras[0], size, samples)

    def own(precision: str) -> None:
        scene = net.scene_of(encoded(), precision=precision)
        scene.prepare(cameras, size, samples, args.sampler)
        for camera in cameras:
            scene.render(camera, size, samples, sampler=args.sampler)

    names = {f"{args.sampler}, {name}": name for name in precisions(device)}
    costs = in_turn({"official layout, one frame": official,
                     **{name: lambda name=name: own(names[name]) for name in names}}, args.repeats, device)
    theirs = costs["official layout, one frame"].seconds
    figures: dict[str, Any] = {"card": card(device), "video": f"{args.frames} frames ({args.trajectory}), {size} px, "
                               f"{samples} + {samples} samples, width {net.siren.width}",
                               "official layout: seconds per frame": theirs}
    for name in names:
        figures[f"{name}: seconds per frame"] = costs[name].seconds / args.frames
        figures[f"official layout / {name}: time"] = theirs / (costs[name].seconds / args.frames)
    return figures


def encode_figures(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Mask to scene, beside the official layout, which averages 10,000 codes for every view."""
    subject = on_device(args, device)

    @torch.no_grad()
    def encode(average: bool) -> None:
        if average:
            mean_code(subject.net.siren)
        subject.net.scene_of(subject.net.encode(subject.mask[None]))

    costs = in_turn({"official layout": lambda: encode(True), "this project": lambda: encode(False)}, args.repeats,
                    device)
    figures: dict[str, Any] = {"card": card(device), "encoder": subject.net.config.encoder_type}
    for name, (seconds, _) in costs.items():
        figures[f"{name}: seconds per mask"] = seconds
    figures["official layout / this project: time"] = costs["official layout"].seconds / costs["this project"].seconds
    return figures


@torch.no_grad()
def make_empty(net: Sem2NeRF, codes: Any, empty: float) -> None:
    """Shift the density so that this share of space has none; with 0, all of it has some."""
    points = (torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.24
    density = net.siren(points[None].to(net.siren.final_layer.weight.device), codes)[1]
    net.siren.final_layer.bias.sub_(density.quantile(empty) if empty else density.min() - 0.1)
