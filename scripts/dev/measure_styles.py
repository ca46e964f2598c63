"""How well colours of references are met: heads of a data set, each in the colours of another one's picture.

  python synth_heads/scripts/build_synth_heads.py --merged --num_heads 40 --views 1 --size 256 --seed 1001 \\
      --out data/Refs
  python scripts/dev/measure_styles.py data/Refs --heads 20
  python scripts/dev/measure_styles.py data/Refs --heads 20 --style_parts hair

Head i of the first half takes the colours of head i of the second half. Printed are, as medians and means over the
heads: the error of each part's mean colour before and after (mean absolute, of 255; on whole renders, not on the rays
that were fitted; parts where the mask has them, and where the semantic head sees them), the change of colours of the
parts not named, and the change of mIoU of the labels found in the render with the mask (by the bundled face segmenter)
and of those of the semantic head. Times are processor seconds of a head, the search for its parts included.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from configs.data_configs import data_config
from configs.paths_config import DEMO_CHECKPOINT
from datasets.inference_set import InferenceDataset
from evaluation.face_segmentation.registry import load_segmenter
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from options.arguments import HelpFormatter, Parser, layer_list
from photos.colours import PartColours
from photos.recolour import Recolour
from photos.reference import read_reference
from photos.style_fit import COLOUR_LAYERS, named_parts
from utils.cli import run
from utils.files import in_project
from utils.images import row, save_png, stack_rows, to_uint8

DATA = "celebahq_seg_to_3dface"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--style_parts", help="default: all parts")
    parser.add_argument("--latent_mask", type=layer_list, default=COLOUR_LAYERS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--sheet", type=Path, help="where to draw own colours, reference, fitted colours")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    opts = parse(argv)
    net = Sem2NeRF.from_checkpoint(in_project(DEMO_CHECKPOINT))
    space, segmenter, config = net.input.network_space, load_segmenter("synthheads"), data_config(DATA)
    data = InferenceDataset(opts.data_root / "mask", config, net.input, use_original_pose=True)
    maps = ("mask", "semantic head") if net.semantic_head is not None else ("mask",)
    errors: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in maps}
    changes, ious, moved, seconds, sheet = [], [], [], [], []
    for index in range(opts.heads):
        item, other = data[index], data[opts.heads + index]
        photo = next(path for path in (opts.data_root / "CelebA-HQ-img").glob(f"{other.name}.*"))
        recolour = Recolour.of_picture(net, config, photo, other.path, opts.style_parts, opts.latent_mask)
        codes, begun = net.encode(net.input.tensor(item.planes)[None]), time.process_time()
        fitted = recolour(item, codes)
        seconds.append(time.process_time() - begun)
        camera = Camera(*item.pose or ())
        views = [net.scene_of(each).render(camera, opts.size, 24, sampler="grid", labels=len(maps) > 1)
                 for each in (codes, fitted)]
        images = [(view.rgb.permute(1, 2, 0).numpy() + 1) / 2 for view in views]
        rows = np.arange(opts.size) * len(item.planes.label) // opts.size
        drawn = item.planes.label[np.ix_(rows, rows)]
        names, shown = recolour.report[item.name].before, recolour.reference.mean
        for kind, where in (("mask", (drawn, drawn)), ("semantic head", [view.labels for view in views])):
            if kind not in maps:
                continue
            found = [PartColours.of(image, np.asarray(labels), space)
                     for image, labels in zip(images, where, strict=True)]
            for name in names:
                label = space.index(name)
                before, after = (float(np.abs(colours.mean[label] - shown[label]).mean() * 255) for colours in found)
                if np.isfinite(before + after):
                    errors[kind].setdefault(name, []).append((before, after))
        if opts.style_parts:
            rest = ~np.isin(drawn, [space.index(name) for name in named_parts(opts.style_parts, space)])
            changes.append(float(np.abs(images[0] - images[1])[rest].mean() * 255))
        scores = [miou(segmenter.segment(view.rgb[None])[0].numpy(), drawn, len(space)) for view in views]
        ious.append(scores[1] - scores[0])
        if len(maps) > 1:
            moved.append(1 - miou(np.asarray(views[1].labels), np.asarray(views[0].labels), len(space)))
        sheet.append([to_uint8(views[0].rgb), cut(read_reference(photo, other.path, net.input)[0], opts.size),
                      to_uint8(views[1].rgb)])
        print(f"{item.name} as {other.name}: {seconds[-1]:.1f} s", flush=True)
    for kind, by_name in errors.items():
        print(f"parts by the {kind}:")
        for name, values in by_name.items():
            before, after = np.array(values).T
            print(f"{name:>10} ({len(values)}): mean {before.mean():.1f} -> {after.mean():.1f}, "
                  f"median {np.median(before):.1f} -> {np.median(after):.1f}")
    print(f"mIoU of what the face segmenter finds with the mask: mean change {np.mean(ious):+.4f}, mean absolute "
          f"change {np.abs(ious).mean():.4f}")
    if moved:
        print(f"mIoU of the semantic head's labels before and after: 1 - {np.mean(moved):.4f}")
    if changes:
        print(f"parts not named change by {np.mean(changes):.2f} of 255 (mean), {np.max(changes):.2f} at most")
    print(f"{np.median(seconds):.1f} processor seconds a head (median)")
    if opts.sheet:
        save_png(opts.sheet, stack_rows([[row(images) for images in sheet[k:k + 4]] for k in range(0, len(sheet), 4)]))


def miou(found: np.ndarray, true: np.ndarray, labels: int) -> float:
    one, other = (torch.from_numpy(values.astype(np.int64)) for values in (found, true))
    return segmentation_score(confusion_matrix(one, other, labels)).miou


def cut(picture: np.ndarray, size: int) -> np.ndarray:
    rows = np.arange(size) * len(picture) // size
    return (picture[np.ix_(rows, rows)] * 255).astype(np.uint8)


if __name__ == "__main__":
    run(main)
