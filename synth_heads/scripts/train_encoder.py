"""Train Sem2NeRF on heads whose z is known: scripts/train3d.py with further losses.

    python synth_heads/scripts/train_encoder.py --exp_dir=out/run --dataset_type=synthheads_seg_to_3dface \
        --encoder_output=z --z_lambda=1 ...

`--help` lists all options; docs/demo_model.md has a recipe.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.train3d import train_command
from synth_heads.encoder.options import TRAIN_ENCODER
from utils.cli import command, run

if TYPE_CHECKING:
    from training.extension import Extension


@command()
def main(argv: Sequence[str]) -> None:
    train_command(argv, "synth_heads/scripts/train_encoder.py", TRAIN_ENCODER, _extension)


def _extension(opts: Namespace) -> Extension:
    from synth_heads.encoder.extension import KnownHeads

    return KnownHeads(opts)


if __name__ == "__main__":
    run(main)
