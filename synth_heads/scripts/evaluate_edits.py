"""Edits of hair, mouth and glasses, drawn on label maps from the side, of heads that no training has seen.

    python synth_heads/scripts/evaluate_edits.py                                   # 20 heads, the bundled weights
    python synth_heads/scripts/evaluate_edits.py --num_heads 5 --refine_steps 120 --sheet out/edits.png

For each edit: the share of the edited region with the wanted label, and what changes outside, after the answer at
once and after refinement (docs/editing.md explains the way and the scores).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, add_flag, natural, positive
from utils.cli import command, run
from utils.errors import UserError
from utils.files import in_project, write_text


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--checkpoint_path", type=Path, default=DEMO_CHECKPOINT, help="the model")
    parser.add_argument("--semantic_head", metavar="FILE", help="by default the checkpoint's own")
    parser.add_argument("--num_heads", type=positive, default=20, help="heads")
    parser.add_argument("--seed", type=natural, default=1001, help="of the heads; training sets have other seeds")
    parser.add_argument("--size", type=positive, default=128, help="pixels along each side of a view")
    parser.add_argument("--refine_steps", type=natural, default=60,
                        help="of the optimisation; 0: the quick answer alone")
    parser.add_argument("--json", type=Path, help="write all scores to this file")
    parser.add_argument("--sheet", type=Path, help="write an image of the first heads' edits")
    add_flag(parser, "--debug", "show tracebacks of errors")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)

    from tqdm import tqdm

    from models.sem2nerf import Sem2NeRF
    from models.semantic_files import load_semantic_head
    from synth_heads.evaluation.view_edits import EDITS, SHEET_HEADS, Scores, make_trial, sheet_row, try_edit
    from utils.images import save_png, stack_rows

    net = Sem2NeRF.from_checkpoint(in_project(opts.checkpoint_path))
    if opts.semantic_head:
        net.semantic_head = load_semantic_head(opts.semantic_head, net.siren)
    if net.semantic_head is None:
        raise UserError(f"{opts.checkpoint_path}: has no semantic head, which edits are drawn and judged with; give "
                        "one with `semantic_head`, or train it with scripts/train_semantics.py")
    scores, rows = Scores(), []
    for number in tqdm(range(opts.num_heads), "heads", disable=None):
        for name in EDITS:
            trial = make_trial(number, name, opts.seed, opts.size)
            tried = dict(try_edit(net, trial, opts.refine_steps))
            for way, row in tried.items():
                scores.add(number, name, way, row)
            if opts.sheet and number < SHEET_HEADS:
                rows.append(sheet_row(tried, net.semantic_head.space))
    print(scores.table())
    if opts.json:
        write_text(opts.json, scores.as_json())
    if opts.sheet:
        save_png(opts.sheet, stack_rows(rows))


if __name__ == "__main__":
    run(main)
