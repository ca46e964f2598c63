"""Command line of scripts/train_semantics.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse

from options.arguments import CommandLine, HelpFormatter, Parser, add_flag, layer_list, natural, positive
from options.run_options import PER_START, add_devices, add_output, add_run
from utils.errors import UserError

DESCRIPTION = """Teach a frozen decoder to name what it shows: a linear map from its sine layers to labels.

All it needs are masks with their poses, no photographs: the codes are the encoder's own.
"""

EXAMPLES = """examples:
  the bundled weights, on computer-made heads:
    python synth_heads/scripts/build_synth_heads.py --merged --palette fixed --mask_size 512 --num_heads 600 \\
        --views 4 --size 128 --seed 501 --out data/SynthHeads
    python scripts/train_semantics.py --checkpoint_path pretrained_models/sem2nerf_demo.pt --data_path data/SynthHeads
  the official weights on the masks of CelebAMask-HQ, on a GPU:
    python scripts/train_semantics.py --checkpoint_path pretrained_models/sem2nerf_celebahq_pretrained.pt \\
        --data_path data/CelebAMask-HQ --exp_dir out/celeba_labels --max_steps 3000 --cache_gb 20
  go on where a run stopped:
    python scripts/train_semantics.py --exp_dir out/celeba_labels --auto_resume
  on several GPUs:
    torchrun --nproc_per_node=4 scripts/train_semantics.py --checkpoint_path ... --data_path ...

checkpoints/semantic_head.pt is the head: inference3d.py and evaluate3d.py take it as --semantic_head, and
convert_checkpoint.py --semantic_head puts it into a checkpoint. docs/semantic_field.md explains the rest.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="train_semantics.py", usage="%(prog)s [options]", description=DESCRIPTION, epilog=EXAMPLES,
                    formatter_class=HelpFormatter)
    add_run(parser, exp_dir="out/semantic_head")

    data = parser.add_argument_group("network and data")
    data.add_argument("--checkpoint_path", help="Sem2NeRF whose decoder gets the head; its weights stay as they are")
    data.add_argument("--data_path", "--data_root",
                      help="data root: mask/ (or masks/) with label PNGs, and the pose file")
    data.add_argument("--dataset_type", help="label table, framing and poses; None: the checkpoint's")
    data.add_argument("--train_paths_conf", "--train_list", help="text file: masks to train on")
    data.add_argument("--test_paths_conf", "--val_list", help="text file: masks to validate on")
    add_flag(data, "--other_views", "where the data set says which images show one head (`ids` in its z.npz or "
             "latents.npz): a mask's code also has to explain rays of another mask of its head", default=True)
    data.add_argument("--num_masks", type=natural, default=0, help="train on so many masks; 0: on all")
    data.add_argument("--val_images", type=positive, default=50, help="validate on so many masks")

    head = parser.add_argument_group("head and step")
    add_flag(head, "--use_merged_labels", "left and right parts share a label (19 -> 16; cats 16 -> 8)", default=True)
    head.add_argument("--layers", type=layer_list, default="1,3,5,7", metavar="LAYERS",
                      help="sine layers of the density that it reads, 0 to 7")
    head.add_argument("--batch_size", type=positive, default=16, help="masks of a step and process")
    head.add_argument("--rays", type=positive, default=128,
                      help="of each mask: half through pixels of the whole mask, half spread evenly over its labels; "
                           "with --other_views as many again through another mask of its head")
    head.add_argument("--val_rays", type=positive, default=1024, help="of each mask in validation")
    head.add_argument("--learning_rate", type=float, default=2e-2, help="greatest rate of AdamW; it climbs for a tenth "
                      "of the steps, then falls along a cosine")
    head.add_argument("--weight_decay", type=float, default=1e-4, help="of AdamW")
    head.add_argument("--cache_gb", type=float, default=2.0,
                      help="most memory for features of rays that are kept; those of other masks are computed again "
                           "whenever they are needed")

    add_output(parser, val_interval=500, size=64)
    add_devices(parser)
    parser.set_defaults(max_steps=3000, ema=0.0)
    return parser


def check(opts: argparse.Namespace) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such option.
    """
    for name, what in (("checkpoint_path", "the Sem2NeRF that is to get a head"),
                       ("data_path", "a data root with masks and poses")):
        if not getattr(opts, name):
            raise UserError(f"--{name}: name {what}")
    if not opts.layers or max(opts.layers) > 7:
        raise UserError(f"--layers {','.join(map(str, opts.layers))}: give one or more layers of the density, 0 to 7 "
                        "(layer 8 is that of the colours)")
    if not opts.learning_rate > 0:
        raise UserError(f"--learning_rate {opts.learning_rate}: give a number above 0")
    for name in ("weight_decay", "cache_gb"):
        if not getattr(opts, name) >= 0:
            raise UserError(f"--{name} {getattr(opts, name)}: give at least 0")
    if opts.test_output_size < 8:
        raise UserError(f"--test_output_size {opts.test_output_size}: give 8 pixels or more")


TRAIN_SEMANTICS = CommandLine(build_parser, check, PER_START)
