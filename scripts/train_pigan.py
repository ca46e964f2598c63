"""Pretrain a decoder on photographs: the pi-GAN whose codes Sem2NeRF's encoder learns to predict.

    python scripts/train_pigan.py --exp_dir out/decoder --data_root data/CelebA
    torchrun --nproc_per_node=8 scripts/train_pigan.py --exp_dir out/decoder ...

`--help` lists all options; docs/training.md explains them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import CommandLine
from pretraining.options import TRAIN_PIGAN
from utils.cli import command, run
from utils.memory import memory_named

MEMORY = "give `pigan_steps_conf` a file with a larger batch_split or smaller batches"

if TYPE_CHECKING:
    from pretraining.decoder import DecoderObjective


@command()
def main(argv: Sequence[str]) -> None:
    train_command(argv, "scripts/train_pigan.py", TRAIN_PIGAN, _objective)


def _objective() -> type[DecoderObjective]:
    from pretraining.adversarial import AdversarialObjective

    return AdversarialObjective


def train_command(argv: Sequence[str], script: str, command_line: CommandLine, objective_type, memory: str = MEMORY
                  ) -> None:
    """What this script does; other commands train something else.

    Args:
        objective_type: imports and returns the class of the objective.
        memory: what to lower where memory runs out.
    """
    opts = command_line.parse(argv)

    from training.runtime import processes  # heavy imports stay behind --help

    with processes.running(opts.device, opts.gpu_ids, local_rank=opts.local_rank, debug=opts.debug) as world:
        from training.runtime.start import alone_in, find_own_run, reporter

        report = reporter(world)
        with memory_named(memory), alone_in(opts.exp_dir, world, report):
            from training import loop

            contents = find_own_run(opts, world, report)
            if contents is not None:
                opts = command_line.inherit(contents["opts"], argv)
            loop.run(objective_type()(opts, world, contents, report), world, contents, argv, script)


if __name__ == "__main__":
    run(main)
