"""Command line of scripts/evaluate3d.py."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.data_configs import data_config
from options import inference_options
from options.arguments import LABEL_ORDER, HelpFormatter, Parser, add_flag, layer_list, parse, positive, ray_samples
from options.common import add_checkpoint, add_debug, add_device, add_max_points
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

    def metric_list(text: str) -> tuple[str, ...]:
        """'fid,kid' -> ('fid', 'kid'), in the order of the metrics."""
        names = {name.strip() for name in text.split(",") if name.strip()}
        if unknown := sorted(names - set(metric_needs)):
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not among {','.join(metric_needs)}")
        if not names:
            raise argparse.ArgumentTypeError("name one metric at least")
        return tuple(name for name in metric_needs if name in names)

    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    files = parser.add_argument_group("files")
    add_checkpoint(files)
    files.add_argument("--data_path", help="data set (or its folder of masks); by default where --dataset_type has it")
    files.add_argument("--eval_paths_conf", help="list of masks; default: test_paths.txt of the data set, or all")
    files.add_argument("--n_images", type=positive, metavar="N", help="only the first N masks")
    files.add_argument("--exp_dir", default="out/evaluation", help="folder for renders and results")
    files.add_argument("--json", help="where to write the numbers; default: <exp_dir>/results.json")
    add_flag(files, "--overwrite", "replace renders that were made with other settings")

    metrics = parser.add_argument_group("metrics")
    metrics.add_argument("--metrics", type=metric_list, default=",".join(without_files), metavar="LIST",
                         help=f"some of {','.join(metric_needs)}")
    metrics.add_argument("--inception_weights", help="for fid, kid, is and prc")
    metrics.add_argument("--lpips_weights", help="torchvision's AlexNet, for lpips_diversity; used for psnr if there")
    metrics.add_argument("--face_segmenter", type=segmenter_kind, default="synthheads",
                         metavar=f"{{{','.join(SEGMENTERS)}}}",
                         help="which network segments images for miou and pose: the bundled one, for computer-made "
                         "heads, or one for photographs, of which BiSeNet is the popular one")
    metrics.add_argument("--segmenter_weights", help="its file, if it is not in pretrained_models/")
    for earlier, name in (("--parser", "face_segmenter"), ("--parser_weights", "segmenter_weights")):
        metrics.add_argument(earlier, dest=name, default=argparse.SUPPRESS, help=argparse.SUPPRESS,
                             type=segmenter_kind if name == "face_segmenter" else str)
    metrics.add_argument("--semantic_head", metavar="FILE", help="for semantic: what train_semantics.py has trained "
                         "for these weights; by default the checkpoint's own")
    metrics.add_argument("--latent_mask", type=layer_list, default="6,7,8", metavar="LAYERS",
                         help="the layers that styles replace, for the diversity")
    metrics.add_argument("--style_masks", type=positive, default=50, metavar="N",
                         help="diversity: of the first N masks")
    metrics.add_argument("--sheet_rows", type=positive, default=8, metavar="N", help="masks on the sheet of images")

    masks = parser.add_argument_group("model and masks", "what the checkpoint says, unless it is given here")
    masks.add_argument("--dataset_type", default="celebahq_seg_to_3dface", help="label table, framing and poses")
    add_flag(masks, "--use_merged_labels", "left and right parts share a label")
    masks.add_argument("--image_load_size", type=positive, default=320, help="masks are resized to this ...")
    masks.add_argument("--image_crop_size", type=positive, default=256, help="... and cropped to this centre")
    masks.add_argument("--src_input_size", type=positive, default=224, help="pixels of the network input")
    masks.add_argument("--label_order", metavar="ORDER", default="celebamask", help=LABEL_ORDER)
    masks.add_argument("--pigan_curriculum_type", default="CelebAMask_HQ", help="camera preset of the decoder")
    add_flag(masks, "--encoder_not_zplus", "the encoder predicts one z")

    images = parser.add_argument_group("rendered views")
    images.add_argument("--test_output_size", type=positive, default=256, help="pixels along each side of a view")
    images.add_argument("--pigan_infer_ray_step", type=ray_samples, default=24,
                          help="samples per ray; as many again are placed where the surface is")
    images.add_argument("--sampler", choices=["exact", "grid", "auto"], default="exact", help="see inference3d.py")

    machine = parser.add_argument_group("speed and memory")
    add_device(machine)
    machine.add_argument("--gpu_ids", default="0",
                         help="with --device auto or cuda: rendering is spread over these GPUs")
    machine.add_argument("--workers", type=positive,
                         help="processes that render; default: one per GPU, or one per core")
    machine.add_argument("--shard", type=shard, metavar="K/N", help="render only the Kth of N parts of the masks (1/4 "
                         "... 4/4 on four machines with one disk), and measure nothing; then run without it")
    add_max_points(machine)
    add_debug(machine)
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
