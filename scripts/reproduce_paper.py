"""From files to the paper's table: checks what is there, builds the masks, renders the test set, evaluates.

    python scripts/reproduce_paper.py --dataset celebahq --check        # what is missing, and where to get it
    python scripts/reproduce_paper.py --dataset celebahq                # official weights, the 2,000 test masks

Run the same command again after an interruption: it goes on. The result is <exp_dir>/table.md beside the files of
scripts/evaluate3d.py. synth_heads/scripts/evaluate_test_heads.py does the same with computer-made heads and the bundled
weights, and needs no further file.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.data_configs import DATA_CONFIGS
from configs.paths_config import (
    BISENET_WEIGHTS,
    BISENET_WEIGHTS_PAGE,
    OFFICIAL_CHECKPOINTS,
    OFFICIAL_CHECKPOINTS_PAGE,
    PRETRAINED_FOLDER,
)
from options.arguments import HelpFormatter, Parser, add_flag, positive, ray_samples
from utils.cli import command, run
from utils.errors import UserError
from utils.files import write_text

if TYPE_CHECKING:
    from evaluation.report import Report

TYPE = "celebahq_seg_to_3dface"
PARTS = "CelebAMask-HQ-mask-anno"
LISTS = "data/CelebAMask-HQ"
CELEBA_PAGE = "https://github.com/switchablenorms/CelebAMask-HQ"
# published in the paper's table for CelebAMask-HQ; its exact protocol is not
PUBLISHED = (("pix2pixHD", 67.32, 1.72), ("pSp", 55.56, 1.74), ("Sem2NeRF", 41.52, 2.03))


@dataclass(frozen=True)
class Needed:
    """A file or folder: what it is for, where it comes from, and whether anything works without it."""

    path: Path
    purpose: str
    source: str
    metrics: tuple[str, ...] = ()     # those that need it; empty: all do
    instead: str = ""                 # what is used where it is missing

    @property
    def there(self) -> bool:
        return self.path.exists()


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--dataset", choices=["celebahq"], required=True, help="the paper's table that is made")
    parser.add_argument("--exp_dir", type=Path, default=Path("out/reproduce_celebahq"), help="folder for everything")
    parser.add_argument("--data_root", type=Path, default=DATA_CONFIGS[TYPE].data_root, help="where the data set lies")
    parser.add_argument("--checkpoint_path", type=Path, default=OFFICIAL_CHECKPOINTS["CelebAMask_HQ"],
                        help="the model's weights")
    add_evaluation_options(parser)
    add_flag(parser, "--check", "only say what is there and what is not")
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Options that go on to scripts/evaluate3d.py."""
    parser.add_argument("--inception_weights", type=Path, help="default: in pretrained_models/")
    parser.add_argument("--n_images", type=positive, metavar="N", help="only the first N masks")
    parser.add_argument("--test_output_size", type=positive, help="pixels of a view; default: 256, or the weights' own")
    parser.add_argument("--pigan_infer_ray_step", type=ray_samples,
                        help="samples per ray; default: as for inference")
    parser.add_argument("--sampler", choices=["exact", "grid", "auto"], default="exact", help="see inference3d.py")
    parser.add_argument("--workers", type=positive, help="processes; default: one per GPU, or one per core")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--gpu_ids", default="0", help="rendering is spread over these")


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)
    needed = [*needed_files(opts), *needed_networks(opts)]
    for item in needed:
        print(f"{'found  ' if item.there else 'MISSING'} {item.path}: {item.purpose}"
              + ("" if item.there else f" <- {item.source}{item.instead and f'; without it: {item.instead}'}"))
    missing = [item for item in needed if not (item.there or item.metrics or item.instead)]
    if opts.check:
        return
    if missing:
        raise UserError(f"{len(missing)} of the files above cannot be done without, first {missing[0].path}: get it "
                        f"from {missing[0].source}, then run the same command again")
    if (opts.data_root / PARTS).is_dir():       # masks that are there already are kept
        from scripts.build_celeba_mask import main as join

        join(["--in_dir", str(opts.data_root / PARTS), "--out_dir", str(opts.data_root / "mask")])
    report = evaluate(opts, without={metric for item in needed if not item.there for metric in item.metrics},
                      dataset_type=TYPE, face_segmenter="bisenet")
    write_table(opts.exp_dir / "table.md", paper_table(report))


def needed_files(opts: argparse.Namespace) -> list[Needed]:
    """Model, data set and the face segmenter of photographs."""
    root, config = opts.data_root, DATA_CONFIGS[TYPE]
    masks = next((root / name for name in config.mask_folders if (root / name).is_dir()), root / PARTS)
    return [
        Needed(opts.checkpoint_path, "the model", f"{OFFICIAL_CHECKPOINTS_PAGE} (pretrained models)"),
        Needed(masks, "masks, or the parts that they are made of", CELEBA_PAGE),
        Needed(root / config.pose_file, "poses", CELEBA_PAGE),
        Needed(root / "CelebA-HQ-img", "photographs", CELEBA_PAGE),
        *(Needed(root / f"{side}_paths.txt", f"the authors' {side} list", f"{OFFICIAL_CHECKPOINTS_PAGE} ({LISTS})",
                 instead="own split, whose test faces the authors' weights mostly trained on")
          for side in ("train", "val", "test")),
        Needed(BISENET_WEIGHTS, "face segmenter of photographs", BISENET_WEIGHTS_PAGE, needing("face_segmenter")),
    ]


def needed_networks(opts: argparse.Namespace) -> list[Needed]:
    """The networks that measure and have to be downloaded; sets where Inception's file is looked for."""
    from criteria.perceptual import ALEXNET_FILE, ALEXNET_URL, find_alexnet
    from evaluation.networks import INCEPTION_FILE, INCEPTION_URL

    opts.inception_weights = opts.inception_weights or PRETRAINED_FOLDER / INCEPTION_FILE
    try:
        alexnet = find_alexnet()
    except UserError:
        alexnet = PRETRAINED_FOLDER / ALEXNET_FILE
    return [
        Needed(opts.inception_weights, "Inception network of FID, KID and IS", INCEPTION_URL, needing("inception")),
        Needed(alexnet, "AlexNet of LPIPS", ALEXNET_URL, needing("lpips")),
    ]


def needing(network: str) -> tuple[str, ...]:
    """The metrics that a network is needed for."""
    from evaluation.metrics.registry import all_metrics

    return tuple(name for name, metric in all_metrics().items() if network in metric.needs[name])


def evaluate(opts: argparse.Namespace, without: set[str], **values: object) -> "Report":
    """Run scripts/evaluate3d.py with all metrics but those of `without`; `values` are more options for it.

    Label maps of the field itself are not the paper's, and its weights have no semantic head.
    """
    from evaluation.metrics.registry import all_metrics
    from scripts import evaluate3d

    values |= {
        "checkpoint_path": opts.checkpoint_path, "data_path": opts.data_root, "exp_dir": opts.exp_dir,
        "metrics": ",".join(name for name in all_metrics() if name not in {*without, "semantic"}),
        **{name: getattr(opts, name) for name in ("inception_weights", "n_images", "test_output_size",
                                                  "pigan_infer_ray_step", "sampler", "workers", "device", "gpu_ids")}}
    report = evaluate3d.main([f"--{name}={value}" for name, value in values.items() if value is not None])
    assert report is not None, "there is one without --shard"
    return report


def paper_table(report: "Report") -> str:
    """The published rows beside ours, then all of ours."""
    from evaluation.report import number

    lines = ["| method | FID | IS |", "|---|---|---|"]
    lines += [f"| {name}, published, CelebAMask-HQ | {fid} | {score} |" for name, fid, score in PUBLISHED]
    ours = [number(report.results[key]) if key in report.results else "not measured" for key in ("fid", "is")]
    split = report.protocol["masks"].partition(", ")[2]
    lines += [f"| this project, {report.protocol['checkpoint']}, CelebAMask-HQ, {split} | {' | '.join(ours)} |", "",
              "The paper does not publish its exact protocol (resolution, poses, sampling, which images FID compares "
              "with, implementation of FID), so agreement to the digit cannot be expected.", ""]
    return "\n".join(lines) + "\n" + report.to_markdown("All scores")


def write_table(path: Path, table: str) -> None:
    """To a file and to the terminal."""
    write_text(path, table)
    print(f"{table}\nwrote {path}")


if __name__ == "__main__":
    run(main)
