"""Make SynthHeads, a data set of computer-made heads with masks, poses and depth, in the layout of CelebAMask-HQ.

    python synth_heads/scripts/build_synth_heads.py --num_heads 2500 --views 4 --size 256   # then build_celeba_mask.py
    python synth_heads/scripts/build_synth_heads.py --num_heads 20 --size 512 --merged --depth --out /tmp/heads

Run the same command again after an interruption: it continues, and ends the same. More --num_heads extend a data set.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.data_configs import DATA_CONFIGS
from options.arguments import HelpFormatter, Parser, add_flag, positive
from utils.cli import command, run

DEFAULT_OUT = DATA_CONFIGS["synthheads_seg_to_3dface"].data_root


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; `Settings` checks the ranges."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to make")
    parser.add_argument("--num_heads", type=int, default=2500, help="different heads")
    parser.add_argument("--views", type=int, default=4, help="images of each head, 1 to 100")
    parser.add_argument("--size", type=int, default=512, help="pixels per side, 128 to 512")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other heads")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1,
                        help="processes, by default one for each core; no byte depends on it")
    add_flag(parser, "--merged", "write the label masks to mask/ at once, instead of one image a part")
    add_flag(parser, "--depth", "write depth/ too")
    parser.add_argument("--palette", choices=["free", "fixed"], default="free",
                        help="fixed: all heads share their colours and light, so that a mask says how its image "
                             "looks")
    parser.add_argument("--norms", choices=["full", "varied"], default="full",
                        help="varied: every second head lies nearer to the mean head, by random factors for shape and "
                             "colour, for decoders that must know the middle of the space")
    add_flag(parser, "--edits", "every second head is the one before with one part edited, seen from the same sides: "
             "for decoders and encoders that must keep the parts apart")
    parser.add_argument("--mask_size", type=int,
                        help="pixels per side of the combined masks, if larger than the images: CelebAMask-HQ's have "
                             "512, which the width of contours follows; by default --size")
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser.parse_args(argv)


@command()
def main(argv: Sequence[str]) -> None:
    """Render the missing heads and write everything that goes with them."""
    args = parse(argv)

    from tqdm import tqdm

    from synth_heads.data.dataset import build_dataset
    from synth_heads.data.record import Settings

    settings = Settings(args.num_heads, args.views, args.size, args.seed, args.palette, args.merged, args.depth,
                        args.norms, args.mask_size, args.edits)

    def track(heads: Iterator[int], before: int) -> Iterator[int]:
        if before:
            print(f"{before} of {args.num_heads} heads are there already")
        with tqdm(total=args.num_heads * args.views, initial=before * args.views, unit="image") as bar:
            for head in heads:
                bar.update(args.views)
                yield head

    build_dataset(args.out, settings, args.workers, track)
    print(f"{args.num_heads} heads x {args.views} views in {args.out}; dataset_card.md says what they are")
    if not args.merged:
        print(f"label masks: python scripts/build_celeba_mask.py --in_dir {args.out / 'CelebAMask-HQ-mask-anno'} "
              f"--out_dir {args.out / 'mask'}")


if __name__ == "__main__":
    run(main)
