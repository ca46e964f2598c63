"""Train a semantic head on the frozen decoder of a checkpoint, from masks and poses alone.

    python scripts/train_semantics.py --checkpoint_path pretrained_models/sem2nerf_demo.pt --data_path data/SynthHeads

`--help` lists all options; docs/semantic_field.md explains them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.train_pigan import train_command
from semantics.options import TRAIN_SEMANTICS
from utils.cli import command, run

MEMORY = "lower `cache_gb`, then `batch_size`"


@command()
def main(argv: Sequence[str]) -> None:
    opts = TRAIN_SEMANTICS.parse(argv)

    from semantics.objective import SemanticsObjective  # heavy imports stay behind --help

    train_command(opts, argv, "scripts/train_semantics.py", TRAIN_SEMANTICS, SemanticsObjective, MEMORY)


if __name__ == "__main__":
    run(main)
