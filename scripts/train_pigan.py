"""Pretrain a decoder on photographs: the pi-GAN whose codes Sem2NeRF's encoder learns to predict.

    python scripts/train_pigan.py --exp_dir out/decoder --data_root data/CelebA
    torchrun --nproc_per_node=8 scripts/train_pigan.py --exp_dir out/decoder ...

`--help` lists all options; docs/training.md explains them.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import CommandLine
from pretraining.options import TRAIN_PIGAN
from utils.cli import command, run

MEMORY = "give `pigan_steps_conf` a file with a larger batch_split or smaller batches"


@command()
def main(argv: Sequence[str]) -> None:
    opts = TRAIN_PIGAN.parse(argv)

    from pretraining.adversarial import AdversarialObjective  # heavy imports stay behind --help

    train_command(opts, argv, "scripts/train_pigan.py", TRAIN_PIGAN, AdversarialObjective)


def train_command(opts: Namespace, argv: Sequence[str], script: str, command_line: CommandLine,
                  objective_type: Callable[..., Any], memory: str = MEMORY) -> None:
    """What this script does; other commands train something else.

    Args:
        objective_type: the class of the objective.
        memory: what to lower where memory runs out.
    """
    from training import loop
    from training.runtime.start import find_own_run, started

    with started(opts, memory) as world:
        contents = find_own_run(opts, world)
        if contents is not None:
            opts = command_line.inherit(contents["opts"], argv)
        loop.run(objective_type(opts, world, contents, world.report), world, contents, argv, script)


if __name__ == "__main__":
    run(main)
