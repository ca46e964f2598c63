"""Train the small face segmenter that evaluation uses: images in, labels out.

    python synth_heads/scripts/build_synth_heads.py --num_heads 2000 --views 3 --size 160 --mask_size 512 --merged
    python synth_heads/scripts/train_segmenter.py --exp_dir out/segmenter
    python synth_heads/scripts/train_segmenter.py --data_root /tmp/heads --exp_dir /tmp/net --steps 3 --batch_size 2

Run the same command again after an interruption: it goes on from its last checkpoint and ends the same; with other
--steps it goes on, too, and the learning rate falls towards the new end. The data set is read into memory.
<exp_dir>/segmenter.pt is the result, log.txt says how it went; the score is that of the data set's test list, which
training does not see.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.data_configs import DATA_CONFIGS, data_config
from options.arguments import HelpFormatter, Parser, add_flag, natural, positive
from utils.cli import command, run
from utils.errors import UserError
from utils.files import make_folder

if TYPE_CHECKING:
    from datasets.training_set import ImagesDataset3D
    from synth_heads.segmentation.trainer import SegmenterTrainer

CHECKPOINT, RESULT, LOG = "run.pt", "segmenter.pt", "log.txt"
SOFT = 1.5          # pixels: standard deviation of the blur that stands for soft generated images


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--data_root", type=Path, default=DATA_CONFIGS["synthheads_seg_to_3dface"].data_root,
                        help="photographs and masks in the layout of CelebAMask-HQ")
    parser.add_argument("--dataset_type", default="synthheads_seg_to_3dface", help="its label table and framing")
    parser.add_argument("--exp_dir", type=Path, default=Path("out/segmenter"), help="for checkpoint, log and result")
    parser.add_argument("--size", type=positive, default=128,
                        help="pixels along each side of what the network reads; a multiple of 16")
    parser.add_argument("--image_load_size", type=positive, default=320, help="images are resized to this ...")
    parser.add_argument("--image_crop_size", type=positive, default=256, help="... and cropped to this centre")
    parser.add_argument("--steps", type=positive, default=1500, help="optimiser steps")
    parser.add_argument("--batch_size", type=positive, default=16, help="images per step")
    parser.add_argument("--learning_rate", type=float, default=3e-3, help="highest rate of AdamW; it falls as a cosine")
    parser.add_argument("--seed", type=natural, default=0, help="of weights, order and augmentation")
    parser.add_argument("--save_interval", type=positive, default=100, help="steps between checkpoints, log lines")
    parser.add_argument("--val_interval", type=positive, default=500, help="steps between validations")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_flag(parser, "--debug", "show the traceback of an error")
    return parser


@command()
def main(argv: Sequence[str]) -> None:
    opts = build_parser().parse_args(argv)
    if opts.size % 16:
        raise UserError(f"--size {opts.size}: give a multiple of 16")

    from evaluation.face_segmentation.small_network import SegmenterConfig
    from synth_heads.segmentation.trainer import SegmenterTrainer, TrainSettings, read_all, read_run, score
    from utils.device import pick_device

    sets = find_sets(opts)
    classes = len(sets["train"].label_space)
    settings = TrainSettings(opts.steps, opts.batch_size, opts.learning_rate, seed=opts.seed,
                             network=SegmenterConfig(classes, opts.size))
    earlier = read_run(make_folder(opts.exp_dir) / CHECKPOINT, settings)
    data = {name: read_all(part, lambda numbers, name=name: _bar(numbers, f"reading {name}"))
            for name, part in sets.items()}
    trainer = SegmenterTrainer(settings, data["train"], earlier, pick_device(opts.device))
    log(opts, f"{len(data['train'])} images to train on, from step {trainer.step} to {opts.steps}")
    train(trainer, data["val"], opts)

    from synth_heads.segmentation.augmentation import blur

    def soften(images: Any) -> Any:
        return blur(images, images.new_full((len(images),), SOFT))

    with trainer.average.in_place():
        sharp, soft = score(trainer.net, data["test"]), score(trainer.net, data["test"], soften)
        names = sets["train"].label_space.labels
        facts = {"labels": list(names), "trained_on": f"{len(data['train'])} images, {opts.steps} steps",
                 "test": {"images": len(data["test"]), "miou": sharp.miou, "pixel_accuracy": sharp.pixel_accuracy,
                          "iou": dict(zip(names, sharp.iou, strict=True)), "miou_blurred": soft.miou}}
        trainer.net.save(opts.exp_dir / RESULT, **facts)
    log(opts, json.dumps(facts["test"]))
    log(opts, f"test list: mIoU {sharp.miou:.4f}, pixel accuracy {sharp.pixel_accuracy:.4f}, blurred by {SOFT} px mIoU "
              f"{soft.miou:.4f}; wrote {opts.exp_dir / RESULT}")


def train(trainer: "SegmenterTrainer", held_out: Any, opts: argparse.Namespace) -> None:
    """Run the remaining steps, with checkpoints and log lines."""
    from models.checkpoints import save_checkpoint

    begun, losses = time.perf_counter(), []
    for step in _bar(range(trainer.step + 1, opts.steps + 1), "training"):
        losses.append(trainer.train_step())
        if step % opts.save_interval == 0 or step == opts.steps:
            save_checkpoint(opts.exp_dir / CHECKPOINT, trainer.contents())
            log(opts, f"step {step}: loss {sum(losses) / len(losses):.4f}, {time.perf_counter() - begun:.0f} s")
            losses.clear()
        if step % opts.val_interval == 0:
            result = trainer.score(held_out)
            log(opts, f"step {step}: validation mIoU {result.miou:.4f}, pixel accuracy {result.pixel_accuracy:.4f}")


def find_sets(opts: argparse.Namespace) -> "dict[str, ImagesDataset3D]":
    """Training, validation and test images; the test list is the validation list where a data set has none.

    Raises:
        UserError: something of the data set is missing.
    """
    from datasets.masks.lists import list_folder, list_names
    from datasets.masks.maps import MaskTransform
    from datasets.split import find_masks
    from datasets.training_set import ImagesDataset3D, ImagesOptions

    config = data_config(opts.dataset_type)
    masks = dict(zip(("train", "val"), find_masks(opts.data_root, config)[:2], strict=True))
    test_list = opts.data_root / "test_paths.txt"
    masks["test"] = masks["val"]
    if test_list.is_file():
        folder = opts.data_root / config.mask_folders[0]
        masks["test"] = list_names(test_list, folder, list_folder(folder))
    transform = MaskTransform(opts.image_load_size, opts.image_crop_size, opts.size)
    options = ImagesOptions(transform, opts.size, use_contour=False)
    for name, paths in masks.items():
        if not paths:
            raise UserError(f"--data_root {opts.data_root}: no masks for {name}; make a data set of "
                            "three heads or more")
    return {name: ImagesDataset3D(opts.data_root, config, paths, options) for name, paths in masks.items()}


def log(opts: argparse.Namespace, line: str) -> None:
    """To the terminal and to the log."""
    print(line, flush=True)
    with (opts.exp_dir / LOG).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _bar(numbers: Iterable[int], what: str) -> Iterable[int]:
    from tqdm import tqdm

    return tqdm(numbers, desc=what, dynamic_ncols=True, disable=None)


if __name__ == "__main__":
    run(main)
