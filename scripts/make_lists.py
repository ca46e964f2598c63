"""Split the masks of a data set into training, validation and test: own_train_paths.txt and others, beside the masks.

    python scripts/make_lists.py data/CatMask

Nothing is written where the data set has lists of its own (train_paths.txt and test_paths.txt). build_celeba_mask.py
does the same for CelebAMask-HQ. Edited masks (419_hair.png) are in no list.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collections.abc import Sequence

from options.arguments import HelpFormatter, Parser, add_flag
from utils.cli import command, run
from utils.errors import UserError


@command()
def main(argv: Sequence[str]) -> None:
    """Find the masks, write the lists."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("data_root", type=Path, help="the data set, with its masks in mask/ or masks/")
    add_flag(parser, "--debug", "show the traceback of an error")
    root = parser.parse_args(argv).data_root

    from datasets.masks.lists import list_folder
    from datasets.split import write_lists

    folder = next((root / name for name in ("mask", "masks") if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"{root}: there is no folder mask/ or masks/ in it; give the folder of a data set")
    ids = [int(path.stem) for path in list_folder(folder) if path.stem.isascii() and path.stem.isdigit()]
    if not ids:
        raise UserError(f"{folder}: no mask is named by a number, as in 419.png; name them so")
    print(write_lists(root, ids))


if __name__ == "__main__":
    run(main)
