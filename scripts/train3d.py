"""Train Sem2NeRF on one CPU, one GPU, or many GPUs and nodes.

    python scripts/train3d.py --exp_dir=out/run
    torchrun --nproc_per_node=8 scripts/train3d.py --exp_dir=out/run ...
    srun python scripts/train3d.py --exp_dir=out/run ...

`--help` lists all options; docs/training.md explains them.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import CommandLine
from options.train_options import TRAIN3D
from utils.cli import command, run
from utils.errors import UserError

MEMORY = "lower `batch_size`, give `sample_chunk` 200000, or choose smaller sizes with `pigan_steps_conf`"

if TYPE_CHECKING:
    from training.extension import Extension
    from training.runtime.processes import World


@command()
def main(argv: Sequence[str]) -> None:
    train_command(TRAIN3D.parse(argv), argv, "scripts/train3d.py", TRAIN3D)


def train_command(opts: Namespace, argv: Sequence[str], script: str, command_line: CommandLine,
                  extension: Callable[[Namespace], Extension] | None = None) -> None:
    """What this script does; other commands add options and, made of these, an extension of the training."""
    from training import build, loop  # heavy imports stay behind --help
    from training.objectives.sem2nerf import Sem2NeRFObjective
    from training.runtime.start import find_start, started

    with started(opts, MEMORY, dist_url=opts.dist_url, world_size=opts.world_size, single=opts.no_distributed) as world:
        _check_world(opts, world)
        contents, source, resume = find_start(opts, world)
        if contents is not None and resume:
            opts = command_line.inherit(contents["opts"], argv)
        elif contents is not None and source is not None:
            of_weights = build.options_of_weights(contents, source)
            opts = command_line.inherit(of_weights, argv)
            build.check_weights_fit(opts, of_weights, source)
        further = extension and extension(opts)
        objective = Sem2NeRFObjective(opts, world, contents, source, resume, world.report, further)
        loop.run(objective, world, contents if resume else None, argv, script)


def _check_world(opts: Namespace, world: World) -> None:
    if opts.distributed_train and world.size == 1 and world.is_main:
        print("--distributed_train: this is a single process; start several with torchrun (see docs/training.md)")
    if opts.use_multi_nodes and world.nodes == 1 and world.is_main:
        print("--use_multi_nodes: all processes are on one machine; see docs/training.md for several")
    if world.size == 1 and "," in opts.gpu_ids and world.device.type == "cuda":
        print(f"--gpu_ids {opts.gpu_ids}: one process trains on one GPU, the first; for all of them: torchrun "
              "--nproc_per_node=N scripts/train3d.py ...")
    if opts.amp == "bf16" and world.device.type == "cpu":
        raise UserError("--amp bf16: bfloat16 is many times slower than float32 on a CPU; leave it out")


if __name__ == "__main__":
    run(main)
