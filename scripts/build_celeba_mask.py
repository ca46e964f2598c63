"""Join the part images of CelebAMask-HQ into one label mask for every face.

    python scripts/build_celeba_mask.py --in_dir data/CelebAMask-HQ/CelebAMask-HQ-mask-anno --workers 4

Writes <out_dir>/<id>.png (single-channel, pixel value = label) and, beside that folder, a split of our own
(own_train_paths.txt, own_val_paths.txt, own_test_paths.txt, own_vis_paths.txt), unless the authors' train_paths.txt and
test_paths.txt are there. Run it again after an interruption, or when parts came later: finished masks are kept.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import os
from collections.abc import Sequence

from options.arguments import HelpFormatter, Parser, add_flag, positive
from utils.cli import command, run


@command()
def main(argv: Sequence[str]) -> None:
    """Find the parts, build the missing masks, write the lists."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--in_dir", type=Path, default=Path("data/CelebAMask-HQ/CelebAMask-HQ-mask-anno"),
                        help="folder of the part images, <0..14>/<id>_<part>.png")
    parser.add_argument("--out_dir", type=Path, default=Path("data/CelebAMask-HQ/mask"), help="folder for the masks")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1,
                        help="processes, by default one for each core")
    add_flag(parser, "--debug", "show the traceback of an error")
    args = parser.parse_args(argv)

    from tqdm import tqdm

    from datasets.celeba_parts import build_mask, find_parts, is_stale, what_is_missing
    from datasets.split import write_lists
    from utils.files import make_folder
    from utils.parallel import process_map

    parts = find_parts(args.in_dir)
    make_folder(args.out_dir)
    done = {path.name for path in args.out_dir.iterdir()}
    jobs = [(files, args.out_dir / f"{number}.png") for number, files in parts.items()]
    stale = [job for job in jobs if job[1].name in done and is_stale(*job)]
    jobs = stale + [job for job in jobs if job[1].name not in done]
    if len(jobs) < len(parts):
        print(f"{len(parts) - len(jobs)} of {len(parts)} masks are there already")
    if stale:
        print(f"{len(stale)} masks are made again: parts of them came later")
    finished = process_map(build_mask, jobs, min(args.workers, len(jobs)))
    for _ in tqdm(finished, total=len(jobs), unit="mask", disable=not jobs):
        pass
    print(f"{len(jobs)} masks written to {args.out_dir}")
    print(write_lists(args.out_dir.parent, list(parts)))
    if missing := what_is_missing(args.in_dir, len(parts)):
        print(missing)


if __name__ == "__main__":
    run(main)
