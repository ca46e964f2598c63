"""Train Sem2NeRF on heads whose z is known: scripts/train3d.py with further losses.

    python synth_heads/scripts/train_encoder.py --exp_dir=out/run --dataset_type=synthheads_seg_to_3dface \
        --encoder_output=z --z_lambda=1 ...

`--help` lists all options; docs/demo_model.md has a recipe.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.train3d import train_command
from synth_heads.encoder.options import TRAIN_ENCODER
from utils.cli import command, run


@command()
def main(argv: Sequence[str]) -> None:
    opts = TRAIN_ENCODER.parse(argv)

    from synth_heads.encoder.extension import KnownHeads  # heavy imports stay behind --help

    train_command(opts, argv, "synth_heads/scripts/train_encoder.py", TRAIN_ENCODER, KnownHeads)


if __name__ == "__main__":
    run(main)
