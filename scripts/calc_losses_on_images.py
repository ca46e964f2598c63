"""How far images are from the true ones: two folders whose images have the same names -> one number per image, means.

  python scripts/calc_losses_on_images.py --data_path out/results --gt_path data/photographs
  python scripts/calc_losses_on_images.py --data_path out/results --gt_path data/photographs --mode l2,lpips,msssim,id

l2: mean squared difference of values in [-1, 1]. lpips: LPIPS with AlexNet. msssim: MS-SSIM, 1 for equal images. id:
cosine of ArcFace's features, 1 for equal images; both images must be aligned as in CelebA-HQ
(scripts/prepare_photos.py does so). Images are brought to 256 pixels, as pixel2style2pixel's script of this name does.

Written are stat_MODE.txt and scores_MODE.json for each mode, in inference_metrics/ beside the folder of results.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.paths_config import IDENTITY_WEIGHTS
from options.arguments import HelpFormatter, Parser, add_flag, natural, some_of
from utils.cli import command, run
from utils.files import in_project, write_text

if TYPE_CHECKING:
    from evaluation.image_losses import Loss

MODES = ("l2", "lpips", "msssim", "id")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--mode", type=some_of(MODES), default="l2,msssim", metavar="LIST",
                        help=f"some of {','.join(MODES)}")
    parser.add_argument("--data_path", type=Path, required=True, help="folder of results")
    parser.add_argument("--gt_path", type=Path, required=True, help="folder of the true images, of the same names")
    parser.add_argument("--out", type=Path, help="where the numbers go; default: inference_metrics/ beside the results")
    parser.add_argument("--lpips_weights", help="torchvision's AlexNet, for lpips, if it is not in pretrained_models/")
    parser.add_argument("--identity_weights", type=Path, default=IDENTITY_WEIGHTS, help="ArcFace's IR-SE50, for id")
    parser.add_argument("--workers", type=natural, default=2, help="threads that read images")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; of the networks")
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser.parse_args(argv)


@command("lower `workers`")
def main(argv: Sequence[str]) -> None:
    """Pair the images, measure, write."""
    opts = parse(argv)

    from evaluation.image_losses import find_pairs, mean_and_spread, measure_pairs

    pairs, losses = find_pairs(opts.data_path, opts.gt_path), load(opts)
    scores = measure_pairs(pairs, losses, opts.workers)
    out = opts.out or opts.data_path.resolve().parent / "inference_metrics"
    for mode, values in scores.items():
        mean, spread = mean_and_spread(values)
        words = f"Average {mode} of {len(values)} images is {mean:.4f}+-{spread:.4f}"
        write_text(out / f"stat_{mode}.txt", words + "\n")
        write_text(out / f"scores_{mode}.json", json.dumps(values, indent=1) + "\n")
        print(words)
    print(f"wrote {out}/stat_MODE.txt and scores_MODE.json")


def load(opts: argparse.Namespace) -> "dict[str, Loss]":
    """The losses that are asked for; their files are looked for before an image is read.

    Raises:
        UserError: a file of weights is missing or holds something else.
    """
    from evaluation.image_losses import l2
    from evaluation.metrics.image_quality import ms_ssim
    from utils.device import pick_device

    device = pick_device(opts.device)
    losses: dict[str, Loss] = {"l2": l2, "msssim": ms_ssim}
    if "lpips" in opts.mode:
        from criteria.perceptual import Perceptual

        perceptual = Perceptual(opts.lpips_weights, "leave lpips out of `mode` to go without").to(device)
        losses["lpips"] = lambda image, target: float(perceptual(image[None].to(device), target[None].to(device)))
    if "id" in opts.mode:
        from evaluation.identity import Identity

        likeness = Identity.from_file(in_project(opts.identity_weights)).to(device).likeness
        losses["id"] = lambda image, target: float(likeness(image[None].to(device), target[None].to(device)))
    return {mode: losses[mode] for mode in opts.mode}


if __name__ == "__main__":
    run(main)
