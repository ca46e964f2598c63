"""Photographs of faces -> aligned images, masks and poses: a data set that every other script reads.

  python scripts/prepare_photos.py holiday/ me.jpg --out data/mine --face_segmenter bisenet
  python scripts/inference3d.py --data_path data/mine/mask --use_original_pose --exp_dir out/mine

The face is found by YuNet (OpenCV reads its file) or MTCNN (pip install requests && pip install --no-deps
facenet-pytorch), aligned as in CelebA-HQ, and parsed by a face segmenter. pretrained_models/README.md says where
their weights come from. A photograph that cannot be used is named in one line, and the others go on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.arguments import HelpFormatter, Parser, add_flag, positive
from options.eval_options import SEGMENTERS
from utils.cli import command, run
from utils.errors import UserError
from utils.files import here, in_project, make_folder

DETECTORS = ("auto", "yunet", "mtcnn")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, help="photographs, and folders of them")
    parser.add_argument("--out", type=Path, default=Path("data/mine"), help="folder of the data set")
    parser.add_argument("--size", type=positive, default=512, help="pixels along each side of the images and masks")
    parser.add_argument("--detector", choices=DETECTORS, default="auto",
                        help="auto: yunet where its file is there, else mtcnn")
    parser.add_argument("--detector_weights", type=Path, help="YuNet's file, if it is not in pretrained_models/")
    parser.add_argument("--face_segmenter", choices=SEGMENTERS, default="bisenet",
                        help="what labels the parts: synthheads is for computer-made heads, the others for photographs")
    parser.add_argument("--segmenter_weights", type=Path, help="its file or folder, if it is not in pretrained_models/")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; of the segmenter")
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser.parse_args(argv)


@command("lower `size`")
def main(argv: Sequence[str]) -> None:
    """Find, align, parse, write."""
    opts = parse(argv)

    from configs.paths_config import YUNET_WEIGHTS
    from evaluation.face_segmentation.registry import load_segmenter
    from photos.detectors import load_detector
    from photos.prepare import prepare_all
    from utils.device import pick_device

    paths = find(opts.photos)
    device = pick_device(opts.device)
    weights = opts.detector_weights
    if weights is None and opts.detector != "mtcnn" and in_project(YUNET_WEIGHTS).is_file():
        weights = in_project(YUNET_WEIGHTS)
    detect = load_detector(opts.detector, weights)
    segmenter = load_segmenter(opts.face_segmenter, opts.segmenter_weights, device)
    if any((opts.out / name).exists() for name in ("images", "mask")):
        raise UserError(f"--out {opts.out}: there is a data set already; name another folder, or remove this one")
    done = prepare_all(paths, make_folder(opts.out), detect, lambda image: segmenter.segment(image.to(device)),
                       opts.size, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{len(done)} of {len(paths)} photographs are in {opts.out}/ (images, mask, poses, lists); look at "
          f"{opts.out}/report.png")


def find(given: Sequence[Path]) -> list[Path]:
    """The photographs that are named, and those of folders that are.

    Raises:
        UserError: something is not there, a folder cannot be read, or there is no photograph.
    """
    from datasets.photographs import SUFFIXES, list_photographs

    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder{here(path)}; give photographs")
        try:
            found += list_photographs(path) if path.is_dir() else [path]
        except OSError as error:
            raise UserError(f"{error.filename or path}: this folder cannot be read ({error.strerror}); change its "
                            "permissions") from error
    if not found:
        raise UserError(f"{given[0]}: no photographs in this folder ({', '.join(SUFFIXES)}), nor in those inside")
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    run(main)
