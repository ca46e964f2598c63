"""Convert a Sem2NeRF checkpoint between our layout and the official release's, without loss."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import HelpFormatter, Parser, add_flag
from utils.cli import command, run
from utils.errors import UserError

DESCRIPTION = """Convert a checkpoint between layouts; weights, optimiser states and all else are kept bit by bit.

  # ours -> official: the 2022 code and its descendants can read it, if it is a model of the paper's sizes (what they
  # cannot read is said)
  python scripts/convert_checkpoint.py out/my_run/checkpoints/best_model.pt best_model_official.pt

  # a small file to share: weights alone, in half precision
  python scripts/convert_checkpoint.py out/my_run/checkpoints/best_model.pt my_model.pt --release

  # with labels: the head that train_semantics.py has trained goes into the checkpoint
  python scripts/convert_checkpoint.py pretrained_models/my_model.pt my_model_labels.pt --to native \\
      --semantic_head out/semantic_head/checkpoints/semantic_head.pt

  # official -> ours (not needed for reading; it leaves out the constant buffers of the official encoder)
  python scripts/convert_checkpoint.py pretrained_models/sem2nerf_celebahq_pretrained.pt native.pt
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("input", help="checkpoint of either layout")
    parser.add_argument("output", help="file to write")
    parser.add_argument("--to", choices=["official", "native", "other"], default="other",
                        help="layout to write; other: the one that the input is not in")
    add_flag(parser, "--release", "write only what using the model needs, in half precision (native layout)")
    parser.add_argument("--semantic_head", metavar="FILE",
                        help="put the head that train_semantics.py has trained for this decoder into the checkpoint")
    add_flag(parser, "--overwrite", "replace an existing output")
    add_flag(parser, "--debug", "show the full traceback of an error")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    if Path(args.output).exists() and not args.overwrite:
        raise UserError(f"{args.output}: exists already; choose another name or add --overwrite")

    if args.release and args.to == "official":
        raise UserError("--release: such files are in the native layout; leave out --to official")

    from models.checkpoints import (
        for_release,
        is_official,
        read_contents,
        release_obstacles,
        save_checkpoint,
        to_native,
        to_official,
    )

    contents = read_contents(args.input)
    if args.semantic_head:
        from models.semantic_files import head_of

        head = head_of(contents, args.input, args.semantic_head)
        contents = {**contents, "semantic": head and head.state()}
    if args.release:
        target, converted = "native", for_release(contents)
    else:
        target = args.to if args.to != "other" else "native" if is_official(contents) else "official"
        converted = to_official(contents) if target == "official" else to_native(contents)
    save_checkpoint(args.output, converted)
    print(f"wrote {args.output} ({target} layout, {len(contents['state_dict'])} weights read)")
    if target == "official" and (obstacles := release_obstacles(contents)):
        print(f"warning: the code of the official release cannot load it: {'; '.join(obstacles)}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
