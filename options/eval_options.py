"""Command line of scripts/evaluate3d.py."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.data_configs import data_config
from options import common, inference_options
from options.arguments import LABEL_ORDER, HelpFormatter, Parser, add, add_flag, layer_list, parse, positive, some_of
from utils.errors import UserError
from utils.files import here, in_project

SEGMENTERS = ("synthheads", "bisenet", "segformer", "farl")
DESCRIPTION = """A checkpoint and a data set -> numbers: results.json, results.md and sheet.png in --exp_dir.

  # the bundled weights, on computer-made heads that come with their truth
  python synth_heads/scripts/build_synth_heads.py --num_heads 40 --views 2 --size 160 --seed 7 --merged --depth \\
      --out data/SynthTest
  python scripts/evaluate3d.py --data_path data/SynthTest --dataset_type synthheads_seg_to_3dface --exp_dir out/eval

  # official weights on the test list of CelebAMask-HQ
  python scripts/evaluate3d.py --checkpoint_path pretrained_models/sem2nerf_celebahq_pretrained.pt \\
      --data_path data/CelebAMask-HQ --metrics fid,kid,is,miou,lpips_diversity,view_consistency,pose,psnr \\
      --face_segmenter bisenet --inception_weights pretrained_models/weights-inception-2015-12-05-6726825d.pth \\
      --test_output_size 256 --exp_dir out/eval_celebahq --json out/eval_celebahq.json

Every mask is rendered from its own pose, and from others as the metrics need. Renders are kept in <exp_dir>/renders: a
run that was stopped goes on, another one with more metrics renders only what is missing. Options that describe the
model come from the checkpoint unless they are given. docs/evaluation.md explains each number.
"""


def build_parser(metric_needs: Mapping[str, tuple[str, ...]]) -> argparse.ArgumentParser:
    """
    Args:
        metric_needs: name of each metric -> what it needs, as evaluation/metrics/registry.py knows it.
    """
    without_files = [name for name, needs in metric_needs.items() if not {"inception", "lpips"} & set(needs)]
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    files = parser.add_argument_group("files")
    common.add_checkpoint(files)
    add(files, "--data_path", None, "data set (or its folder of masks); by default where --dataset_type has it")
    add(files, "--eval_paths_conf", None, "list of masks; default: test_paths.txt of the data set, or all")
    add(files, "--n_images", None, "only the first N masks", type=positive, metavar="N")
    add(files, "--exp_dir", "out/evaluation", "folder for renders and results")
    add(files, "--json", None, "where to write the numbers; default: <exp_dir>/results.json")
    add_flag(files, "--overwrite", "replace renders that were made with other settings")

    metrics = parser.add_argument_group("metrics")
    add(metrics, "--metrics", ",".join(without_files), f"some of {','.join(metric_needs)}", metavar="LIST",
        type=some_of(list(metric_needs)))
    add(metrics, "--inception_weights", None, "for fid, kid, is and prc")
    add(metrics, "--lpips_weights", None, "torchvision's AlexNet, for lpips_diversity; used for psnr if there")
    add(metrics, "--face_segmenter", "synthheads", "which network segments images for miou and pose: the bundled one, "
        "for computer-made heads, or one for photographs, of which BiSeNet is the popular one", type=segmenter_kind,
        metavar=f"{{{','.join(SEGMENTERS)}}}")
    add(metrics, "--segmenter_weights", None, "its file, if it is not in pretrained_models/")
    add(metrics, "--parser", argparse.SUPPRESS, None, type=segmenter_kind, dest="face_segmenter")  # earlier names
    add(metrics, "--parser_weights", argparse.SUPPRESS, None, dest="segmenter_weights")
    common.add_semantic_head(metrics)
    add(metrics, "--latent_mask", "6,7,8", "the layers that styles replace, for the diversity", type=layer_list,
        metavar="LAYERS")
    add(metrics, "--style_masks", 50, "diversity: of the first N masks", type=positive, metavar="N")
    add(metrics, "--sheet_rows", 8, "masks on the sheet of images", type=positive, metavar="N")

    masks = parser.add_argument_group("model and masks", "what the checkpoint says, unless it is given here")
    common.add_framing(masks, note="")
    add(masks, "--label_order", "celebamask", LABEL_ORDER, metavar="ORDER")
    common.add_model(masks, note="")

    images = parser.add_argument_group("rendered views")
    common.add_views(images, note="")
    common.add_sampler(images, "exact")

    machine = parser.add_argument_group("speed and memory")
    common.add_device(machine)
    add(machine, "--gpu_ids", "0", "with --device auto or cuda: rendering is spread over these GPUs")
    add(machine, "--workers", None, "processes that render; default: one per GPU, or one per core", type=positive)
    add(machine, "--shard", None, "render only the Kth of N parts of the masks (1/4 ... 4/4 on four machines with one "
        "disk), and measure nothing; then run without it", type=shard, metavar="K/N")
    common.add_max_points(machine)
    common.add_debug(machine)
    return parser


def segmenter_kind(text: str) -> str:
    """`bisenet` is often written `bisnet`."""
    kind = {"bisnet": "bisenet"}.get(text, text)
    if kind not in SEGMENTERS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SEGMENTERS)}")
    return kind


def shard(text: str) -> tuple[int, int]:
    """'1/4' -> (0, 4)."""
    first, _, last = text.partition("/")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard; the first of four is 1/4")
    return int(first) - 1, int(last)


def parse_options(argv: Sequence[str], metric_needs: Mapping[str, tuple[str, ...]]
                  ) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    opts, given = parse(build_parser(metric_needs), argv)
    if not opts.latent_mask and {"diversity", "lpips_diversity"} & set(opts.metrics):
        raise UserError("--latent_mask '': name the layers that styles replace, or leave diversity out of --metrics")
    return opts, given


def complete(opts: argparse.Namespace, given: set[str], trained: Mapping[str, Any]) -> argparse.Namespace:
    """Fill in what the checkpoint's `opts` decide, as for inference, and where the data set lies.

    Raises:
        UserError: there is no data set.
    """
    out = inference_options.complete(opts, given | {"data_path"}, trained)
    if out.data_path is None:
        out.data_path = str(in_project(data_config(out.dataset_type).data_root))
    if not Path(out.data_path).exists():
        raise UserError(f"--data_path {out.data_path}: there is no such data set{here(out.data_path)}; get or make one "
                        "(README.md, Data sets)")
    return out
