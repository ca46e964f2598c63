"""What does each part of region-aware learning do? Trains every variant of synth_heads/configs/ablations/ with several
seeds on computer-made heads, examines them on heads that no training saw, and writes one table.

    python synth_heads/scripts/run_ablations.py --exp_dir out/ablations --workers 2
    python synth_heads/scripts/run_ablations.py --exp_dir out/smoke --seeds 2 --num_heads 4 --warm_steps 4 \
        --max_steps 4 --test_heads 1 --size 32                        # the whole chain, tiny

Run the same command again after an interruption: what is finished is kept, a training goes on where it was. More
--seeds or another file in --configs add to what is there. Each training is one of train_encoder.py, on one core.
synth_heads/docs/ablations.md explains the variants and says what was seen.
"""

import argparse
import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, add_flag, natural, positive
from synth_heads.ablations.options import arguments, choose, read_ablation
from utils.cli import command, run
from utils.errors import UserError
from utils.files import make_folder, write_text

if TYPE_CHECKING:
    from synth_heads.ablations.figures import Examination
    from synth_heads.ablations.plan import Cell

ROOT = Path(__file__).resolve().parents[2]
PLAN, RESULTS, TABLE, HEADS = "plan.json", "results.json", "table.md", "test_heads"
DATA = ("--views", "2", "--size", "128", "--mask_size", "512", "--merged", "--palette", "fixed", "--seed", "5")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="run_ablations.py", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--exp_dir", type=Path, default=Path("out/ablations"), help="folder for everything")
    parser.add_argument("--configs", type=Path, default=ROOT / "synth_heads/configs/ablations",
                        help="base.yaml and the variants")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of them, the baseline first; default: all")
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each variant: seeds 0, 1, ...")
    parser.add_argument("--pigan_weights", type=Path, default=ROOT / DEMO_CHECKPOINT,
                        help="the decoder, frozen: one for SynthHeads (a pi-GAN or a Sem2NeRF checkpoint)")
    parser.add_argument("--num_heads", type=positive, default=300, help="heads of the training set, two views each")
    parser.add_argument("--warm_steps", type=positive, help="steps of the warm start; default: those of base.yaml")
    parser.add_argument("--max_steps", type=positive, help="steps of the training by images; default: likewise")
    parser.add_argument("--test_heads", type=positive, default=12, help="heads of the examination")
    parser.add_argument("--test_seed", type=natural, default=1001, help="of these heads")
    parser.add_argument("--size", type=positive, default=64, help="pixels of the views in the examination")
    parser.add_argument("--segmenter_weights", type=Path, help="of the face segmenter; default: the bundled one")
    parser.add_argument("--parser_weights", dest="segmenter_weights", type=Path, default=argparse.SUPPRESS,
                        help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="trainings at a time")
    add_flag(parser, "--debug", "show tracebacks of errors")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)
    recipe, variants = read_ablation(opts.configs)
    variants = choose(variants, opts.variants)

    from evaluation.face_segmentation.registry import find_segmenter
    from synth_heads.ablations.figures import Examination
    from synth_heads.ablations.plan import agree_with_plan, decoder_sizes, lay_out, make_plan

    examination = Examination(opts.test_heads, opts.test_seed, opts.size,
                              find_segmenter("synthheads", opts.segmenter_weights))
    data = opts.exp_dir / "data"
    recipe = recipe.with_steps(opts.warm_steps, opts.max_steps).with_shared(
        {"data_root": str(data), "pigan_weights": str(opts.pigan_weights), **decoder_sizes(opts.pigan_weights)})
    make_folder(opts.exp_dir)
    made_of = {"num_heads": opts.num_heads, "build_synth_heads": " ".join(DATA)}
    plan = agree_with_plan(opts.exp_dir / PLAN, make_plan(recipe, variants, made_of, opts.pigan_weights, examination))
    build_data(data, opts)
    rows = lay_out(opts.exp_dir, recipe, variants, opts.seeds)
    train_and_examine(rows, examination, opts.exp_dir / HEADS, opts.workers)
    write_results(opts.exp_dir, plan, {name: [cell.read_figures() for cell in cells] for name, cells in rows.items()},
                  next(iter(variants)))


def build_data(root: Path, opts: argparse.Namespace) -> None:
    """The training heads, in one palette: a mask then says how its image looks."""
    from synth_heads.scripts.build_synth_heads import main as build

    build(["--out", str(root), "--num_heads", str(opts.num_heads), "--workers", str(opts.workers), *DATA])


def train_and_examine(rows: Mapping[str, Sequence["Cell"]], examination: "Examination", heads: Path, workers: int
                      ) -> None:
    """Whatever is missing; each warm start once, before the trainings that begin with it."""
    unfinished = [cell for cells in rows.values() for cell in cells if not cell.figures.exists()]
    starts = {cell.start.folder: cell.start for cell in unfinished if cell.start and not cell.model.exists()}
    _work(_train, [cell for cell in starts.values() if not cell.model.exists()], workers, "warm starts")
    _work(functools.partial(_finish, examination, heads), unfinished, workers, "trainings")


def _work(function: Callable[["Cell"], None], cells: Sequence["Cell"], workers: int, what: str) -> None:
    from utils.parallel import process_map

    for _ in _bar(process_map(function, cells, min(workers, len(cells))), what, len(cells)):
        pass


def _bar(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, desc=what, total=total, unit="run", dynamic_ncols=True) if total else items


def _train(cell: "Cell") -> None:
    """Train, or go on; in another process. The console goes to a file.

    Raises:
        UserError: the training was told to stop before its last step.
    """
    from synth_heads.scripts.train_encoder import main as train

    make_folder(cell.folder)
    command = [*arguments(cell.options), f"--exp_dir={cell.folder}", "--auto_resume", "--no_distributed"]
    if cell.start is not None:
        command.append(f"--checkpoint_path={cell.start.model}")
    with (cell.folder / "console.txt").open("a", encoding="utf-8") as console, \
            contextlib.redirect_stdout(console), contextlib.redirect_stderr(console):
        train(command)
    if not cell.model.exists():
        raise UserError(f"{cell.folder}: this training was stopped; run the same command again, it goes on")


def _finish(examination: "Examination", heads: Path, cell: "Cell") -> None:
    """Train if that is still to do, examine, write the figures; in another process."""
    from synth_heads.ablations.figures import examine

    if not cell.model.exists():
        _train(cell)
    write_text(cell.figures, json.dumps(examine(cell.model, examination, heads), indent=2) + "\n")


def write_results(folder: Path, plan: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, float]]],
                  baseline: str) -> None:
    """results.json holds everything, table.md the scores of `synth_heads.ablations.figures`."""
    from synth_heads.ablations.figures import report

    text = report(rows, baseline)
    write_text(folder / TABLE, text)
    write_text(folder / RESULTS, json.dumps({"plan": plan, "figures": rows}, indent=2) + "\n")
    print(f"{text}\nwrote {folder / TABLE} and {folder / RESULTS}")


if __name__ == "__main__":
    run(main)
