"""Train a semantic head on the frozen decoder of a checkpoint, from masks and poses alone.

    python scripts/train_semantics.py --checkpoint_path pretrained_models/sem2nerf_demo.pt --data_path data/SynthHeads

`--help` lists all options; docs/semantic_field.md explains them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.train_pigan import train_command
from semantics.options import TRAIN_SEMANTICS
from utils.cli import command, run

MEMORY = "lower `cache_gb`, then `batch_size`"

if TYPE_CHECKING:
    from semantics.objective import SemanticsObjective


@command()
def main(argv: Sequence[str]) -> None:
    train_command(argv, "scripts/train_semantics.py", TRAIN_SEMANTICS, _objective, MEMORY)


def _objective() -> type[SemanticsObjective]:
    from semantics.objective import SemanticsObjective

    return SemanticsObjective


if __name__ == "__main__":
    run(main)
