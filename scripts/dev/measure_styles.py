"""How well colours of references are met: heads of a data set, each in the colours of another one's picture.

  python synth_heads/scripts/build_synth_heads.py --merged --num_heads 40 --views 1 --size 256 --seed 1001 \\
      --out data/Refs
  python scripts/dev/measure_styles.py data/Refs --heads 20
  python scripts/dev/measure_styles.py data/Refs --heads 20 --style_parts hair

Head i of the first half takes the colours of head i of the second half. Printed are, as medians and means over the
heads: the error of each part's mean colour before and after (mean absolute, of 255; on whole renders, not on the rays
that were fitted), the change of colours of the parts not named, and the change of mIoU of the labels found in the
render with the mask (by the bundled face segmenter). Times are processor seconds of a fit.
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
from photos.reference import read_reference
from photos.style_fit import COLOUR_LAYERS, fit_colours, named_parts
from utils.cli import run
from utils.files import in_project
from utils.images import row, save_png, stack_rows, to_uint8


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--style_parts", help="default: all parts")
    parser.add_argument("--latent_mask", type=layer_list, default=COLOUR_LAYERS)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--sheet", type=Path, help="where to draw own colours, reference, fitted colours")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    opts = parse(argv)
    net = Sem2NeRF.from_checkpoint(in_project(DEMO_CHECKPOINT))
    space, segmenter = net.input.network_space, load_segmenter("synthheads")
    data = InferenceDataset(opts.data_root / "mask", data_config("celebahq_seg_to_3dface"), net.input,
                            use_original_pose=True)
    parts = named_parts(opts.style_parts, space) if opts.style_parts else None
    errors: dict[str, list[tuple[float, float]]] = {}
    changes, ious, seconds, sheet = [], [], [], []
    for index in range(opts.heads):
        item, other = data[index], data[opts.heads + index]
        photo = next(path for path in (opts.data_root / "CelebA-HQ-img").glob(f"{other.name}.*"))
        picture, labels_there = read_reference(photo, other.path, net.input)
        reference = PartColours.of(picture, labels_there, space)
        rows = np.arange(opts.size) * len(item.planes.label) // opts.size
        labels, camera = item.planes.label[np.ix_(rows, rows)], Camera(*item.pose or ())
        codes, begun = net.encode(net.input.tensor(item.planes)[None]), time.process_time()
        fitted = fit_colours(net, codes, camera, labels, reference, parts, opts.latent_mask)
        seconds.append(time.process_time() - begun)
        views = [net.scene_of(each).render(camera, opts.size, 24, sampler="grid").rgb for each in (codes, fitted.codes)]
        images = [(view.permute(1, 2, 0).numpy() + 1) / 2 for view in views]
        found = [PartColours.of(image, labels, space) for image in images]
        for name in fitted.before:
            label = space.index(name)
            before, after = (float(np.abs(colours.mean[label] - reference.mean[label]).mean() * 255)
                             for colours in found)
            errors.setdefault(name, []).append((before, after))
        if parts:
            rest = ~np.isin(labels, [space.index(name) for name in parts])
            changes.append(float(np.abs(images[0] - images[1])[rest].mean() * 255))
        true = torch.from_numpy(labels.astype(np.int64))
        scores = [segmentation_score(confusion_matrix(segmenter.segment(view[None])[0].long(), true, len(space))).miou
                  for view in views]
        ious.append(scores[1] - scores[0])
        sheet.append([to_uint8(views[0]), cut(picture, opts.size), to_uint8(views[1])])
        print(f"{item.name} as {other.name}: {seconds[-1]:.1f} s, mIoU {scores[0]:.3f} -> {scores[1]:.3f}, "
              + ", ".join(f"{name} {values[-1][0]:.1f} -> {values[-1][1]:.1f}" for name, values in errors.items()
                          if name in fitted.before), flush=True)
    for name, values in errors.items():
        before, after = np.array(values).T
        print(f"{name:>10} ({len(values)}): mean {before.mean():.1f} -> {after.mean():.1f}, "
              f"median {np.median(before):.1f} -> {np.median(after):.1f}")
    print(f"mIoU: mean change {np.mean(ious):+.4f}, mean absolute change {np.abs(ious).mean():.4f}")
    if changes:
        print(f"parts not named change by {np.mean(changes):.2f} of 255 (mean), {np.max(changes):.2f} at most")
    print(f"{np.median(seconds):.1f} processor seconds a fit (median)")
    if opts.sheet:
        save_png(opts.sheet, stack_rows([[row(images) for images in sheet[k:k + 4]] for k in range(0, len(sheet), 4)]))


def cut(picture: np.ndarray, size: int) -> np.ndarray:
    rows = np.arange(size) * len(picture) // size
    return (picture[np.ix_(rows, rows)] * 255).astype(np.uint8)


if __name__ == "__main__":
    run(main)
