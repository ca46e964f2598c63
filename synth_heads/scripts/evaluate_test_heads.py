"""Evaluate a model on a test set of computer-made heads: makes heads that no training drew, renders, measures.

    python synth_heads/scripts/evaluate_test_heads.py                # 200 heads, the bundled weights
    python synth_heads/scripts/evaluate_test_heads.py --num_heads 9 --checkpoint_path out/run/checkpoints/best_model.pt

The same metrics and protocol as scripts/evaluate3d.py, on a data set of its own. Run the same command again after an
interruption: it goes on. The result is <exp_dir>/table.md beside the files of scripts/evaluate3d.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, add_flag, positive
from scripts.reproduce_paper import add_evaluation_options, evaluate, needed_networks, write_table
from utils.cli import command, run
from utils.files import write_text

ROOT = Path(__file__).resolve().parents[2]
TEST_LIST = "test_masks.txt"
SEED, VIEWS, SIZE = 20220711, 2, 160    # of the test set: no training has this seed
MASK_SIZE = 512                         # as CelebAMask-HQ's


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--exp_dir", type=Path, default=Path("out/reproduce_synthheads"), help="folder for everything")
    parser.add_argument("--data_root", type=Path, help="of the test set; default: <exp_dir>/data")
    parser.add_argument("--checkpoint_path", type=Path, default=ROOT / DEMO_CHECKPOINT, help="the model's weights")
    parser.add_argument("--num_heads", type=positive, default=200, help="heads of the test set")
    add_evaluation_options(parser)
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)
    opts.data_root = opts.data_root or opts.exp_dir / "data"
    without = {metric for item in needed_networks(opts) if not item.there for metric in item.metrics}
    make_test_set(opts)
    report = evaluate(opts, without, dataset_type="synthheads_seg_to_3dface", eval_paths_conf=opts.exp_dir / TEST_LIST)
    write_table(opts.exp_dir / "table.md", report.to_markdown("SynthHeads, computer-made heads that no training drew"))


def make_test_set(opts: argparse.Namespace) -> None:
    """The heads, as far as they are not there; the first view of each is a test, not only those of the test list."""
    from synth_heads.scripts.build_synth_heads import main as build

    arguments = ["--out", str(opts.data_root), "--num_heads", str(opts.num_heads), "--views", str(VIEWS), "--size",
                 str(SIZE), "--seed", str(SEED), "--merged", "--depth", "--mask_size", str(MASK_SIZE)]
    build([*arguments, *(["--workers", str(opts.workers)] if opts.workers else [])])
    write_text(opts.exp_dir / TEST_LIST, "".join(f"{head * 100}.png\n" for head in range(opts.num_heads)))


if __name__ == "__main__":
    run(main)
