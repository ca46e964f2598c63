"""One training step at a time in a process of its own, so that its peak memory is known (a part of benchmark.py)."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if TYPE_CHECKING:
    from torch import Tensor

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}


class StepProcess:
    """A process that takes a training step when asked to.

    Args:
        settings: see `training_step`; and `threads`.
        environment: variables to set in it.
    """

    def __init__(self, settings: dict[str, Any], environment: dict[str, str]) -> None:
        # threads that wait for each other should sleep: the processes take turns
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", **environment}
        self.process = subprocess.Popen([sys.executable, __file__, json.dumps(settings)], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout
        self._read()  # ready

    def step(self) -> dict[str, Any]:
        """Take a step; its measurements, and those of the process so far."""
        self._requests.write("step\n")
        self._requests.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the measuring process ended with status {self.process.wait()} (out of memory?)")
        return json.loads(line)

    def close(self) -> None:
        self._requests.close()
        self.process.wait()
        self._answers.close()


def training_step(settings: dict[str, Any]) -> tuple[Callable[[], None], dict[str, Any]]:
    """A step of the encoder on random data (frozen field, L2 loss, Ranger), and facts about the model.

    Args:
        settings: `checkpoint` (path or None) or `width` and `empty` (share of space without density) of a random
            model; `size` (pixels along each side), `samples`, `batch`; `official`: laid out the official way.
    """
    import torch

    from models.config import ModelConfig
    from models.pigan.cameras import Camera, camera_rays
    from models.pigan.fast.render import render_rays
    from models.pigan.sampling import RayNoise
    from models.sem2nerf import Sem2NeRF
    from scripts.dev.benchmark_reference import reference_training_rays
    from training.ranger import Ranger

    torch.manual_seed(0)
    if settings["checkpoint"]:
        net = Sem2NeRF.from_checkpoint(settings["checkpoint"])
    else:
        net = Sem2NeRF(ModelConfig(width=settings["width"]))
        if settings["empty"]:
            net.siren.final_layer.weight.data.mul_(3000)  # visible surfaces, as in a trained field
    net.requires_grad_(False)
    net.encoder.requires_grad_()
    optimizer = Ranger(net.encoder.parameters(), lr=1e-4)

    batch, samples, preset, rays = settings["batch"], settings["samples"], net.config.camera, settings["size"] ** 2
    masks = disc(net.config.input_nc, net.config.input_size).expand(batch, -1, -1, -1)
    origin, directions = camera_rays(Camera(), settings["size"], preset.fov_deg)
    origins, directions = origin.expand(batch, -1), directions.expand(batch, -1, -1)
    target = torch.rand(batch, rays, 3)

    probes = origin + directions[0, ::7, None] * torch.linspace(preset.ray_start, preset.ray_end, 8)[:, None]
    with torch.no_grad():
        density = net.siren(probes.reshape(1, -1, 3), net.eval().encode(masks[:1]))[1]
        if not settings["checkpoint"]:
            shift = density.quantile(settings["empty"]) if settings["empty"] else density.min() - 0.1
            net.siren.final_layer.bias.sub_(shift)
            density = density - shift
    net.train()

    def step() -> None:
        perturbation = torch.rand(batch, rays, samples)
        codes = net.encode(masks)
        if settings["official"]:
            rgb = reference_training_rays(net, codes, origins, directions, perturbation)
        else:
            rgb = render_rays(net.siren, codes, origins, directions, near=preset.ray_start, far=preset.ray_end,
                              samples=samples, hierarchical=False, lock_view_dependence=False,
                              last_back=preset.last_back, clamp=preset.clamp_mode,
                              noise=RayNoise(perturbation)).rgb
        (rgb - target).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, {"width": net.siren.width, "dense": (density > 0).float().mean().item()}


def disc(channels: int, size: int) -> "Tensor":
    """A mask (1, channels, size, size), one-hot in its first two channels: a round face before a background."""
    import torch

    along = torch.linspace(-1, 1, size)
    inside = (along**2 + along[:, None] ** 2 < 0.6**2).float()
    masks = torch.zeros(1, channels, size, size)
    masks[0, 0], masks[0, 1] = 1 - inside, inside
    return masks


def main(settings: dict[str, Any]) -> None:
    """Answer every line of standard input with a step's measurements."""
    import torch

    torch.set_num_threads(settings["threads"])
    step, facts = training_step(settings)
    facts["start_mb"] = peak_mb()
    print("{}", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        step()
        print(json.dumps({**facts, "seconds": time.perf_counter() - wall,
                          "cpu_seconds": time.process_time() - processor, "peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """The most memory this process ever held, in megabytes.

    Linux lets `ru_maxrss` begin at what the parent held when it started this process, so the kernel's own mark of this
    program is read there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        marks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if marks:
            return int(marks[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
