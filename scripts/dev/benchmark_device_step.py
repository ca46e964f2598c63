"""A training step on one device, above all a GPU, beside the official layout (a part of benchmark.py)."""

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from configs.data_configs import data_config
from criteria.perceptual import Perceptual
from models.config import ModelConfig
from models.discriminators.patch_discriminator import CHANNELS, PatchDiscriminator
from models.pigan.siren import mean_code
from models.sem2nerf import Sem2NeRF
from scripts.dev.benchmark_device import card, in_turn, make_empty, precisions
from scripts.dev.benchmark_reference import reference_training_rays
from scripts.dev.benchmark_train import disc
from training.extreme_poses import ExtremePoseRanges
from training.feed import Feed, Place
from training.graphs import use_graphs
from training.optimizers import build_optimizer
from training.patches import PatchConfig
from training.step import Batch, DiscriminatorLoss, LossWeights, PatchGenerator, Rendering, StepNoise, TrainStep
from training.step_noise import PackedNoise, StepNoiseConfig, draw_step_noise

SIZE = 128  # rays along each side of a patch in the paper's recipe


class OfficialGenerator(PatchGenerator):
    """Renders the way the official release lays it out, whatever the settings."""

    def _render(self, codes: Any, origins: Tensor, directions: Tensor, noise: Any) -> Tensor:
        return reference_training_rays(self.net, codes, origins, directions, noise.perturbation)


def random_net(args: argparse.Namespace, device: torch.device) -> Sem2NeRF:
    """A model of random weights in whose field the share `empty` of space has no density."""
    torch.manual_seed(0)
    net = Sem2NeRF(ModelConfig(width=args.width or 256, **({"encoder_type": args.encoder} if args.encoder else {})))
    net.requires_grad_(False).to(device)
    net.set_latent_avg(mean_code(net.siren))
    net.siren.final_layer.weight.mul_(3000)
    make_empty(net, net.latent_avg, args.empty)
    net.encoder.requires_grad_()
    return net.train()


def perceptual_of_random_weights(device: torch.device) -> Perceptual:
    """LPIPS takes its time whatever its weights are."""
    import lpips

    metric = Perceptual.__new__(Perceptual)
    nn.Module.__init__(metric)
    metric.metric = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    return metric.requires_grad_(False).eval().to(device)


class Setting(NamedTuple):
    """How a training step computes."""

    field: str = "fp32"  # precision of the field's products
    amp: bool = False  # networks in bfloat16
    graphs: bool = True  # networks as CUDA graphs
    official: bool = False  # renders in the official layout
    each_weight: bool = False  # updates weights one by one, as the official release's optimiser does


def training_step(args: argparse.Namespace, device: torch.device, setting: Setting) -> tuple[Callable[[], None], float]:
    """A step of the README's recipe on random data: L2, LPIPS, the norm of codes and the discriminator, with Ranger;
    and how many megabytes its CUDA graphs hold all the time."""
    size, samples, batch = args.size or SIZE, args.samples or 28, args.batch_size
    net, data = random_net(args, device), data_config("celebahq_seg_to_3dface")
    rendering, amp = Rendering(samples, precision=setting.field), setting.amp
    generator = (OfficialGenerator if setting.official else PatchGenerator)(net, rendering, amp)
    perceptual = perceptual_of_random_weights(device)
    discriminator = PatchDiscriminator(size, 0, torch.bfloat16 if amp else torch.float32).to(device).train() \
        if size in CHANNELS else None
    weights = LossWeights(dis=0.08 if discriminator else 0.0)

    def distance(image: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=amp, cache_enabled=False):
            return perceptual(image, target).float()

    step = TrainStep(generator, net, weights, discriminator=discriminator, perceptual=distance,
                     discriminator_pass=DiscriminatorLoss(discriminator) if discriminator else None)
    held = 0.0
    if setting.graphs and device.type == "cuda":
        before = torch.cuda.memory_reserved(device)
        use_graphs(step, batch, {size})
        held = (torch.cuda.memory_reserved(device) - before) / 2**20
    optimizers = [build_optimizer("ranger", [{"params": [p]} for p in part.parameters()] if setting.each_weight else
                                  part.parameters(), 1e-4) for part in (net.encoder, discriminator) if part is not None]
    masks = disc(net.config.input_nc, net.config.input_size).expand(batch, -1, -1, -1).to(device)
    images = torch.rand(batch, 3, 4 * size, 4 * size, device=device) * 2 - 1
    content = Batch(masks, images, torch.full((batch, 2), math.pi / 2, device=device))
    config = StepNoiseConfig(0, samples, False, PatchConfig(), ExtremePoseRanges(data.extreme_yaw, data.extreme_pitch),
                             0.0, net.encoder.drop_path_layers)

    def read(place: Place) -> PackedNoise:
        positions = list(range(place.samples_seen, place.samples_seen + batch))
        return draw_step_noise(config, place.step, positions, positions[0], batch, size, device.type == "cuda")

    feed: Feed[PackedNoise, StepNoise] = Feed(read, lambda noise: noise.to(device), device)
    number = iter(range(10**9))

    def task() -> None:
        n = next(number)
        _, noise = feed.take(Place(n, n * batch, 0), Place(n + 1, (n + 1) * batch, 0))
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        if discriminator is not None:
            discriminator.requires_grad_(False)
        generated = step.generator_losses(content, noise, 4 * size)
        generated.total.backward()
        if discriminator is not None:
            discriminator.requires_grad_(True)
            step.discriminator_losses(generated).total.backward()
        feed.send_ahead()
        for optimizer in optimizers:
            optimizer.step()

    return task, held


def fits(task: Callable[[], None]) -> bool:
    """Whether there is memory for a task."""
    try:
        task()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return False
    return True


def train_figures(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """A training step: the official layout, and ours in each precision."""
    settings = {"official layout": Setting(graphs=False, official=True)}
    if device.type == "cuda":
        settings["official layout with its optimiser"] = Setting(graphs=False, official=True, each_weight=True)
        settings["fp32, without graphs"] = Setting(graphs=False)
    for name in precisions(device):
        settings["bf16, networks too" if name == "bf16" else name] = Setting(name, amp=name == "bf16")
    tasks, held = {}, {}
    for name, setting in settings.items():  # graphs are recorded before anything else runs
        tasks[name], held[name] = training_step(args, device, setting)
    if not fits(tasks["official layout"]):
        tasks = {name: task for name, task in tasks.items() if not name.startswith("official layout")}
    costs = in_turn(tasks, args.repeats, device)
    figures: dict[str, Any] = {
        "card": card(device), "step": f"{args.size or SIZE} px, {args.samples or 28} samples, batch {args.batch_size}, "
        f"width {args.width or 256}, empty {args.empty}"}
    theirs = costs.get("official layout")
    if theirs is None:
        figures["official layout"] = "out of memory"
    for name, (seconds, megabytes) in costs.items():
        megabytes += held[name]
        figures[f"{name}: seconds per step"], figures[f"{name}: memory, MB"] = seconds, megabytes
        if theirs is not None and name != "official layout":
            figures[f"official layout / {name}: time"] = theirs.seconds / seconds
            figures[f"{name} / official layout: memory"] = megabytes / theirs.megabytes
    return figures
