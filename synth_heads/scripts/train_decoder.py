"""Pretrain a decoder on heads whose z, views and depths are known.

    python synth_heads/scripts/train_decoder.py --exp_dir out/decoder --data_root data/SynthHeads --pigan_hidden_dim 128
    torchrun --nproc_per_node=8 synth_heads/scripts/train_decoder.py --exp_dir out/decoder ...

`--help` lists all options; synth_heads/README.md explains them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.train_pigan import train_command
from synth_heads.decoder.options import TRAIN_DECODER
from utils.cli import command, run


@command()
def main(argv: Sequence[str]) -> None:
    opts = TRAIN_DECODER.parse(argv)

    from synth_heads.decoder.objective import ReconstructionObjective  # heavy imports stay behind --help

    train_command(opts, argv, "synth_heads/scripts/train_decoder.py", TRAIN_DECODER, ReconstructionObjective)


if __name__ == "__main__":
    run(main)
