"""Pretrain a decoder: the pi-GAN whose codes Sem2NeRF's encoder learns to predict.

    python scripts/train_pigan.py --exp_dir out/decoder --data_root data/SynthHeads --pigan_hidden_dim 128
    python scripts/train_pigan.py --exp_dir out/decoder --objective adversarial --data_root data/CelebA
    torchrun --nproc_per_node=8 scripts/train_pigan.py --exp_dir out/decoder ...

`--help` lists all options; docs/training.md explains them.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.pigan_options import parse
from utils.cli import command, run
from utils.files import make_folder, write_text


@command()
def main(argv: Sequence[str]) -> None:
    opts = parse(argv)

    from training.runtime import processes  # heavy imports stay behind --help

    with processes.running(opts.device, opts.gpu_ids, local_rank=opts.local_rank, debug=opts.debug) as world:
        train(opts, argv, world)


def train(opts: Namespace, argv: Sequence[str], world: Any) -> None:
    from models.checkpoints import load_siren
    from training.pigan_coach import GENERATOR, PiganCoach
    from training.runtime.logs import RunLog
    from training.runtime.start import find_own_run

    say = print if world.is_main else (lambda text: None)
    if opts.objective == "adversarial":
        from training.objectives.pigan_adversarial import AdversarialObjective as Objective
    else:
        from synth_heads.decoder.objective import ReconstructionObjective as Objective

    contents = find_own_run(opts, world, say)
    objective = Objective(opts, world, say)
    if opts.pigan_weights and contents is None:
        load_siren(objective.siren, opts.pigan_weights)
        say(f"decoder: {opts.pigan_weights}")
    opts = Namespace(**{**vars(opts), "pigan_zdim": objective.siren.z_dim})
    coach = PiganCoach(opts, world, objective, contents, say)
    exp_dir = Path(opts.exp_dir)
    if world.is_main:
        make_folder(exp_dir / "checkpoints")
        write_text(exp_dir / "opt.json", json.dumps(vars(opts), indent=2, sort_keys=True) + "\n")
    log = RunLog(exp_dir, coach.global_step, opts.max_steps, active=world.is_main, progress=opts.progress)
    try:
        log.command(argv, "scripts/train_pigan.py")
        log.stamp(f"started at step {coach.global_step} ({world.size} processes, {world.device.type})")
        ending = coach.train(log)
        log.stamp(ending)
        log.say(f"{ending}; the decoder is {exp_dir / 'checkpoints' / GENERATOR}")
    finally:
        log.close()


if __name__ == "__main__":
    run(main)
