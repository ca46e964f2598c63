"""Train Sem2NeRF on one CPU, one GPU, or many GPUs and nodes.

    python scripts/train3d.py --exp_dir=out/run
    torchrun --nproc_per_node=8 scripts/train3d.py --exp_dir=out/run ...
    srun python scripts/train3d.py --exp_dir=out/run ...

`--help` lists all options; docs/training.md explains them.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.train_options import inherit, parse
from utils.cli import command, run
from utils.errors import UserError
from utils.files import make_folder, write_text


@command()
def main(argv: Sequence[str]) -> None:
    opts = parse(argv)

    from training.runtime import processes  # heavy imports stay behind --help

    with processes.running(opts.device, opts.gpu_ids, dist_url=opts.dist_url, local_rank=opts.local_rank,
                           world_size=opts.world_size, single=opts.no_distributed, debug=opts.debug) as world:
        _check_world(opts, world)
        train(opts, argv, world)


def train(opts: Namespace, argv: Sequence[str], world: Any) -> None:
    from training.coach3d import Coach3D
    from training.runtime.logs import RunLog
    from training.runtime.start import find_start

    say = print if world.is_main else (lambda text: None)
    contents, source, resume = find_start(opts, world, say)
    if contents is not None and resume:
        opts = inherit(opts, contents["opts"], argv)
    coach = Coach3D(opts, world, contents, source, resume, say)
    exp_dir = Path(opts.exp_dir)
    if world.is_main:
        make_folder(exp_dir / "checkpoints")
        write_text(exp_dir / "opt.json", json.dumps(vars(coach.opts), indent=2, sort_keys=True) + "\n")
    start = coach.state.global_step
    log = RunLog(exp_dir, start, opts.max_steps, active=world.is_main, progress=opts.progress)
    try:
        log.command(argv)
        log.stamp(f"started at step {start} ({world.size} processes, {world.device.type})")
        ending = coach.train(log)
        log.stamp(ending)
        wrote = coach.state.global_step > start
        log.say(f"{ending}; " + (f"checkpoints in {exp_dir / 'checkpoints'}" if wrote else
                                 "no step was left to train, so no checkpoint was written; give more --max_steps"))
    finally:
        log.close()


def _check_world(opts: Namespace, world: Any) -> None:
    if opts.distributed_train and world.size == 1 and world.is_main:
        print("--distributed_train: this is a single process; start several with torchrun (see docs/training.md)")
    if opts.use_multi_nodes and world.nodes == 1 and world.is_main:
        print("--use_multi_nodes: all processes are on one machine; see docs/training.md for several")
    if opts.amp == "bf16" and world.device.type == "cpu":
        raise UserError("--amp bf16: bfloat16 is many times slower than float32 on a CPU; leave it out")


if __name__ == "__main__":
    run(main)
