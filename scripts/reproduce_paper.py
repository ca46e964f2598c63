"""From files to the paper's table: checks what is there, builds the masks, renders the test set, evaluates.

    python scripts/reproduce_paper.py --dataset synthheads              # everything here, with the bundled weights
    python scripts/reproduce_paper.py --dataset celebahq --check  # what is missing, and where to get it
    python scripts/reproduce_paper.py --dataset celebahq                # official weights, the 2,000 test masks

Run the same command again after an interruption: it goes on. The result is <exp_dir>/table.md beside the files of
scripts/evaluate3d.py.
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
    DEMO_CHECKPOINT,
    OFFICIAL_CHECKPOINTS,
    OFFICIAL_CHECKPOINTS_PAGE,
    PARSER_WEIGHTS,
    PRETRAINED_FOLDER,
)
from options.arguments import HelpFormatter, Parser, add_flag, positive, ray_samples
from utils.cli import command, run
from utils.errors import UserError
from utils.files import write_text

if TYPE_CHECKING:
    from evaluation.report import Report

ROOT = Path(__file__).resolve().parents[1]
TEST_LIST = "test_masks.txt"
TYPES = {"celebahq": "celebahq_seg_to_3dface", "synthheads": "synthheads_seg_to_3dface"}
PARTS = "CelebAMask-HQ-mask-anno"
CELEBA_PAGE = "https://github.com/switchablenorms/CelebAMask-HQ"
# published in the paper's table for CelebAMask-HQ; its exact protocol is not
PUBLISHED = (("pix2pixHD", 67.32, 1.72), ("pSp", 55.56, 1.74), ("Sem2NeRF", 41.52, 2.03))
TEST_SEED, TEST_VIEWS, TEST_SIZE = 20220711, 2, 160     # of the SynthHeads test set: heads that no training drew
MASK_SIZE = 512     # as CelebAMask-HQ's


@dataclass(frozen=True)
class Needed:
    """A file or folder: what it is for, where it comes from, and whether anything works without it."""

    path: Path
    purpose: str
    source: str
    metrics: tuple[str, ...] = ()     # those that need it; empty: all do

    @property
    def there(self) -> bool:
        return self.path.exists()


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--dataset", choices=sorted(TYPES), required=True,
                        help="celebahq: the paper's; synthheads: computer-made heads, which are made here")
    parser.add_argument("--exp_dir", type=Path, help="folder for everything; default: out/reproduce_<dataset>")
    parser.add_argument("--data_root", type=Path, help="default: data/CelebAMask-HQ, or <exp_dir>/data for synthheads")
    parser.add_argument("--checkpoint_path", type=Path, help="default: the official weights, or the bundled ones")
    parser.add_argument("--inception_weights", type=Path, help="default: in pretrained_models/")
    parser.add_argument("--num_heads", type=positive, default=200, help="synthheads: heads of the test set")
    parser.add_argument("--n_images", type=positive, help="only the first so many masks")
    parser.add_argument("--test_output_size", type=positive, help="pixels of a view; default: 256, or the weights' own")
    parser.add_argument("--pigan_infer_ray_step", type=ray_samples, help="samples a ray; default: as for inference")
    parser.add_argument("--sampler", choices=["exact", "grid", "auto"], default="exact", help="see inference3d.py")
    parser.add_argument("--workers", type=positive, help="processes; default: one a GPU, or one a core")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--gpu_ids", default="0", help="rendering is spread over these")
    add_flag(parser, "--check", "only say what is there and what is not")
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)
    synth = opts.dataset == "synthheads"
    opts.exp_dir = opts.exp_dir or Path(f"out/reproduce_{opts.dataset}")
    opts.data_root = opts.data_root or (opts.exp_dir / "data" if synth else DATA_CONFIGS[TYPES["celebahq"]].data_root)
    opts.checkpoint_path = opts.checkpoint_path or (
        ROOT / DEMO_CHECKPOINT if synth else OFFICIAL_CHECKPOINTS["CelebAMask_HQ"])

    from evaluation.metrics.distribution import INCEPTION_FILE

    opts.inception_weights = opts.inception_weights or PRETRAINED_FOLDER / INCEPTION_FILE
    needed = needed_files(opts)
    for item in needed:
        print(f"{'found  ' if item.there else 'MISSING'} {item.path}: {item.purpose}"
              + ("" if item.there else f" <- {item.source}"))
    missing = [item for item in needed if not item.there and not item.metrics]
    if opts.check:
        return
    if missing:
        raise UserError(f"{len(missing)} of the files above cannot be done without, first {missing[0].path}: get it "
                        f"from {missing[0].source}, then run the same command again")
    without = {metric for item in needed if not item.there for metric in item.metrics}
    prepare_data(opts)
    report = evaluate(opts, without)
    table = paper_table(report, opts.dataset)
    write_text(opts.exp_dir / "table.md", table)
    print(f"{table}\nwrote {opts.exp_dir / 'table.md'}")


def needed_files(opts: argparse.Namespace) -> list[Needed]:
    """Everything that the run reads, with what depends on it."""
    from criteria.perceptual import ALEXNET_FILE, ALEXNET_URL, find_alexnet
    from evaluation.metrics.distribution import DISTRIBUTION_METRICS, INCEPTION_URL

    try:
        alexnet = find_alexnet()
    except UserError:
        alexnet = PRETRAINED_FOLDER / ALEXNET_FILE
    networks = [
        Needed(opts.inception_weights, "Inception network of FID, KID and IS", INCEPTION_URL, DISTRIBUTION_METRICS),
        Needed(alexnet, "AlexNet of LPIPS", ALEXNET_URL, ("lpips_diversity",)),
    ]
    if opts.dataset == "synthheads":
        again = "check out the repository again"
        return [Needed(opts.checkpoint_path, "the model", again), *networks,
                Needed(ROOT / PARSER_WEIGHTS, "face parser", again, ("miou", "pose"))]
    root, config = opts.data_root, DATA_CONFIGS[TYPES["celebahq"]]
    masks = next((root / name for name in config.mask_folders if (root / name).is_dir()), root / PARTS)
    return [
        Needed(opts.checkpoint_path, "the model", f"{OFFICIAL_CHECKPOINTS_PAGE} (pretrained models)"),
        Needed(masks, "masks, or the parts that they are made of", CELEBA_PAGE),
        Needed(root / config.pose_file, "poses", CELEBA_PAGE),
        Needed(root / "CelebA-HQ-img", "photographs", CELEBA_PAGE), *networks,
        Needed(BISENET_WEIGHTS, "face parser of photographs", BISENET_WEIGHTS_PAGE, ("miou", "pose")),
    ]


def prepare_data(opts: argparse.Namespace) -> None:
    """Make what is missing of the test set of computer-made heads, or of the masks of CelebAMask-HQ."""
    root = opts.data_root
    if opts.dataset == "synthheads":
        from synth_heads.scripts.build_synth_heads import main as build

        arguments = ["--out", str(root), "--num_heads", str(opts.num_heads), "--views", str(TEST_VIEWS), "--size",
                     str(TEST_SIZE), "--seed", str(TEST_SEED), "--merged", "--depth", "--mask_size", str(MASK_SIZE)]
        build([*arguments, *(["--workers", str(opts.workers)] if opts.workers else [])])
        # no training drew these heads: the first view of each is a test, not only those of the data set's test list
        write_text(opts.exp_dir / TEST_LIST, "".join(f"{head * 100}.png\n" for head in range(opts.num_heads)))
    elif (root / PARTS).is_dir():       # masks that are there already are kept
        from scripts.build_celeba_mask import main as join

        join(["--in_dir", str(root / PARTS), "--out_dir", str(root / "mask")])


def evaluate(opts: argparse.Namespace, without: set[str]) -> "Report":
    """Run scripts/evaluate3d.py with the metrics whose files are there."""
    from options.eval_options import METRICS
    from scripts import evaluate3d

    metrics = [name for name in METRICS if name not in without]
    values = {
        "checkpoint_path": opts.checkpoint_path, "dataset_type": TYPES[opts.dataset], "data_path": opts.data_root,
        "exp_dir": opts.exp_dir, "metrics": ",".join(metrics), "inception_weights": opts.inception_weights,
        "parser": "synthheads" if opts.dataset == "synthheads" else "bisenet",
        "eval_paths_conf": opts.exp_dir / TEST_LIST if opts.dataset == "synthheads" else None,
        **{name: getattr(opts, name) for name in ("n_images", "test_output_size", "pigan_infer_ray_step", "sampler",
                                                  "workers", "device", "gpu_ids")}}
    return evaluate3d.main([f"--{name}={value}" for name, value in values.items() if value is not None])


def paper_table(report: "Report", dataset: str) -> str:
    """The published rows beside ours, then all of ours."""
    from evaluation.report import number

    lines = ["| method | FID | IS |", "|---|---|---|"]
    lines += [f"| {name}, published, CelebAMask-HQ | {fid} | {score} |" for name, fid, score in PUBLISHED]
    name = {"celebahq": "CelebAMask-HQ", "synthheads": "SynthHeads (not comparable with the rows above)"}[dataset]
    ours = [number(report.results[key]) if key in report.results else "not measured" for key in ("fid", "is")]
    lines += [f"| this project, {report.protocol['checkpoint']}, {name} | {' | '.join(ours)} |", "",
              "The paper does not publish its exact protocol (resolution, poses, sampling, which images FID compares "
              "with, implementation of FID), so agreement to the digit cannot be expected.", ""]
    return "\n".join(lines) + "\n" + report.to_markdown("All scores")


if __name__ == "__main__":
    run(main)
