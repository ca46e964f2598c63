"""Command line of scripts/train3d.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from options.arguments import LABEL_ORDER, CommandLine, Parser, add
from utils.errors import UserError

EXAMPLES = """examples:
  one process, CPU or GPU:
    python scripts/train3d.py --exp_dir=out/run --patch_train --start_from_latent_avg --use_merged_labels --use_contour
  eight GPUs of one machine:
    torchrun --nproc_per_node=8 scripts/train3d.py --exp_dir=out/run ...
  go on where a run stopped:
    python scripts/train3d.py --exp_dir=out/run --continue_training

docs/training.md has recipes for one GPU, many nodes, little memory, and for data of your own.
"""

# what belongs to one start of the program, not to the run: never taken over from an earlier start's options
PER_START = frozenset({
    "exp_dir", "checkpoint_path", "continue_training", "auto_resume", "overwrite", "device", "gpu_ids", "world_size",
    "dist_url", "local_rank", "no_distributed", "distributed_train", "use_multi_nodes", "debug", "progress",
})
LOSSES = ("l2_lambda", "l1_lambda", "lpips_lambda", "dis_lambda")  # something can be learnt from each of them

Option = Callable[..., None]


def build_parser(prog: str = "train3d.py", description: str = "Train Sem2NeRF: one semantic mask -> a NeRF.",
                 epilog: str = EXAMPLES) -> argparse.ArgumentParser:
    parser = Parser(prog=prog, usage=f"{prog} [options]", description=description, epilog=epilog,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    _run_options(option_group(parser, "run"))
    _paper_options(option_group(parser, "of the paper"))
    _speed_options(option_group(parser, "speed and memory"))
    _further_options(option_group(parser, "beyond the paper"))
    _output_options(option_group(parser, "intervals and output"))
    _device_options(option_group(parser, "processes and devices"))
    return parser


def option_group(parser: argparse.ArgumentParser, title: str) -> Option:
    """A function that adds an option to a new group, see `options.arguments.add`."""
    return partial(add, parser.add_argument_group(title))


def _run_options(option: Option) -> None:
    option("--exp_dir", None, "folder of this run: checkpoints, logs, images (required)")
    option("--max_steps", 800000, "optimiser steps of the whole run")
    option("--checkpoint_path", None, "start from this checkpoint's weights; with --continue_training also from its "
           "optimisers and step")
    option("--continue_training", False, "go on: with the newest checkpoint of --exp_dir, else with --checkpoint_path")
    option("--auto_resume", False, "as --continue_training where --exp_dir holds a checkpoint, else start afresh: for "
           "job scripts")
    option("--overwrite", False, "delete an earlier run in --exp_dir")
    option("--seed", 0, "of everything random: weights, order of the data, patches, poses")
    option("--debug", False, "show tracebacks of errors")


def _paper_options(option: Option) -> None:
    option("--dataset_type", "celebahq_seg_to_3dface", "the category: an entry of configs/data_configs.py")
    option("--data_root", None, "folder with images, masks and poses; default: the data set's own")
    option("--train_paths_conf", None, "text file with the masks to train on, one per line; default: the data root's "
           "train list, else all but the held-out masks")
    option("--test_paths_conf", None, "the same for validation")
    option("--use_merged_labels", False, "give left and right parts (eyes, brows, ears) one label")
    option("--use_contour", False, "show the encoder where labels meet, too: a contour and a distance map")
    option("--label_order", "celebamask", LABEL_ORDER)
    option("--image_load_size", -1, "pixels that images are resized to before the centre crop; -1: automatic")
    option("--image_crop_size", -1, "pixels of the centre crop; -1: automatic")
    option("--output_size", -1, "pixels of the target images; -1: img_size of --pigan_steps_conf")
    option("--src_input_size", 224, "pixels of the network input")
    option("--batch_size", 2, "samples per process and step (per micro-batch, with --grad_accum)")

    option("--encoder_type", "SwinEncoder", "size of the encoder: SwinEncoder (Swin-T), SwinEncoderSmall or "
           "SwinEncoderNano")
    option("--swin_weights", None, "ImageNet weights of the encoder; default: swin_tiny_patch4_window7_224.pth in "
           "pretrained_models/ if it is there; 'none': random")
    option("--encoder_not_zplus", False, "the encoder predicts one z for the mapping network, not each layer's codes: "
           "heads stay those that the decoder knows, and follow the mask less closely")
    option("--encoder_output", argparse.SUPPRESS, "the same in words: codes, or z", metavar="{codes,z}",
           type=_predicts_z, dest="encoder_not_zplus")
    option("--start_from_latent_avg", False, "the encoder predicts offsets from the decoder's mean code, so that "
           "training starts with a head")
    option("--pigan_curriculum_type", "CelebAMask_HQ", "camera of the decoder: CelebAMask_HQ or CatMask", "--camera")
    option("--pigan_weights", None, "the pretrained decoder: a pi-GAN state dict or a Sem2NeRF checkpoint; default: "
           "the file in pretrained_models/ for the data set or its camera; 'random': untrained", "--decoder_weights")
    option("--pigan_zdim", 256, "length of the decoder's z")
    option("--pigan_hidden_dim", 256, "width of the decoder's field", "--decoder_width")
    option("--use_cond_dis", False, "show the discriminator the whole mask too")

    option("--pigan_steps_conf", "configs/pigan_steps/sem2nerf.yaml", "file of sizes by step: img_size, resolution_vol "
           "and num_steps", "--size_schedule")
    option("--patch_train", False, "render resolution_vol^2 rays of a random patch, not the whole image coarsely: "
           "details are learnt too")
    option("--no_ray_random_shift", False, "keep patches in the middle of the image")
    option("--ray_min_scale", 0.125, "smallest patch, as a fraction of the image's side")
    option("--ray_max_scale", 1.0, "greatest patch")
    option("--ray_scale_anneal", 0.0019, "how fast the smallest patch shrinks; 0: it is small from the start")
    option("--train_rand_pose_prob", -1.0, "fraction of samples at an extreme pose, trained by the adversarial loss "
           "alone: sides that photographs hide look real too", "--extreme_pose_prob")
    option("--pigan_infer_ray_step", 28, "samples per ray in validation, and in training where --pigan_steps_conf has "
           "no num_steps", "--samples_per_ray")
    option("--pigan_train_hs", False, "sample each ray a second time, near the surface that the first samples found",
           "--importance_samples")
    option("--pigan_train_lvd", False, "colours do not depend on the view direction in training, as in inference",
           "--lock_view_direction")

    option("--l2_lambda", 1.0, "weight of the mean squared error")
    option("--lpips_lambda", 0.8, "weight of LPIPS: sharper images; 0 needs no AlexNet")
    option("--lpips_weights", None, "AlexNet of LPIPS; default: $TORCH_HOME, then pretrained_models/")
    option("--w_norm_lambda", 0.005, "weight of the codes' distance from the mean code: keeps heads plausible")
    option("--dis_lambda", 0.08, "weight of the adversarial terms; 0: no discriminator")
    option("--optim_name", "ranger", "optimiser of both networks", choices=("ranger", "adam", "adamw"))
    option("--learning_rate", 1e-4, "of the encoder")
    option("--learning_rate_dis", 2e-5, "of the discriminator")
    # accepted, and without a choice: they follow from others, or there is one value
    option("--label_nc", 16, None)
    option("--input_nc", 18, None)
    option("--discriminator_type", "patch", None, choices=("patch",))


def _predicts_z(text: str) -> bool:
    if text not in ("codes", "z"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither codes nor z")
    return text == "z"


def _speed_options(option: Option) -> None:
    option("--grad_accum", 1, "micro-batches of a step: a batch of --batch_size x this many in the memory of one")
    option("--sample_chunk", 0, "points of the field computed at a time, and again in the backward pass: less memory, "
           "more time, same result; 0: all at once")
    option("--pigan_infer_max_batch", 2400000, "most points of the field computed at a time in validation",
           "--validation_chunk")
    option("--amp", "none", "bf16: the encoder's transformer, LPIPS and the discriminator in bfloat16, on GPUs; codes "
           "and field stay in float32", choices=("none", "bf16"))
    option("--field_precision", "fp32", "products in hidden layers of the frozen field, on GPUs: fp32, tf32 or bf16 "
           "(faster; codes, sines and sums stay in float32)", choices=("fp32", "tf32", "bf16"))
    option("--compile", False, "compile encoder and discriminator (torch.compile): a slow first step, faster ones "
           "after it")
    option("--cuda_graphs", True, "on a GPU, record encoder, LPIPS and discriminator as CUDA graphs: faster where "
           "batches are small; only in a single process, without --grad_accum and --compile (false turns it off)")
    option("--workers", 2, "loader processes of each training process; 0: none")
    option("--test_workers", 1, "the same for validation")
    option("--test_batch_size", 1, "masks encoded together in validation")
    option("--map_cache", None, "folder that keeps contour and distance maps; default: .map_cache in the data root; "
           "'none': compute them each time")


def _further_options(option: Option) -> None:
    option("--mirror", False, "train on every sample mirrored, too")
    option("--patch_shift", "free", "where patches lie: anywhere, or on the diagonal as in the 2022 release",
           choices=("free", "diagonal"))
    option("--train_decoder", False, "train the field too (it is frozen otherwise)")
    option("--l1_lambda", 0.0, "weight of the mean absolute error")
    option("--scheduler_name", "none", "learning rate over the steps: constant, or a cosine down to 1%% of "
           "--learning_rate", choices=("none", "cosine"))
    option("--grad_clip", 0.0, "greatest norm of the encoder's gradient; 0: not clipped")
    option("--ema", 0.0, "decay of an average of the weights that validation and checkpoints use, e.g. 0.999; 0: none")


def _output_options(option: Option) -> None:
    option("--board_interval", 50, "steps between loss curves and console lines")
    option("--image_interval", 100, "steps between training images")
    option("--val_interval", 2500, "steps between validations; 0: none")
    option("--save_interval", 20000, "steps between iteration_N.pt files; 0: none but the last")
    option("--latest_interval", 1000, "steps between updates of latest_model.pt")
    option("--keep_checkpoints", 0, "how many iteration_N.pt files to keep, the newest ones; 0: all")
    option("--test_output_size", 128, "pixels of validation images")
    option("--val_images", 0, "masks to validate on, from the start of the list; 0: all")
    option("--val_latent_mask", None, "layers whose codes validation takes from the mean code, e.g. 7,8 for colours")
    option("--test_pigan_latent_avg", False, "validate the decoder's mean head in place of the encoder's, to check "
           "the decoder", "--show_mean_head")
    option("--progress", False, "show the progress bar though the output is no terminal")


def _device_options(option: Option) -> None:
    option("--device", "auto", "auto, cpu, cuda or cuda:N")
    option("--gpu_ids", "0", "GPU of a single process (-1: the CPU); a launcher gives each process its own")
    option("--world_size", 1, "number of processes, where neither a launcher nor SLURM says it")
    option("--dist_url", "env://", "where processes meet: env:// or tcp://HOST:PORT")
    option("--local_rank", 0, None, "--local-rank")  # which torch.distributed.launch passes
    option("--no_distributed", False, "a single process, whatever the environment says")
    option("--distributed_train", False, None)  # both print a line where there is one process, or one machine
    option("--use_multi_nodes", False, None)


def check(opts: argparse.Namespace, losses: tuple[str, ...] = LOSSES) -> None:
    """Refuse values that cannot work.

    Args:
        losses: weights of which at least one must not be 0.

    Raises:
        UserError: naming the first such option.
    """
    if not opts.exp_dir:
        raise UserError("--exp_dir is missing: name a folder for checkpoints and logs, e.g. --exp_dir=out/my_run")
    at_least = {
        1: ("max_steps", "batch_size", "test_batch_size", "src_input_size", "pigan_infer_ray_step", "pigan_zdim",
            "pigan_hidden_dim", "pigan_infer_max_batch", "grad_accum", "board_interval", "image_interval",
            "latest_interval", "test_output_size", "world_size"),
        0: ("workers", "test_workers", *losses, "w_norm_lambda", "grad_clip", "val_interval", "save_interval",
            "keep_checkpoints", "val_images", "sample_chunk", "ray_scale_anneal", "seed"),
    }
    for least, names in at_least.items():
        for name in names:
            if not getattr(opts, name) >= least:  # also refuses nan
                raise UserError(f"--{name} {getattr(opts, name)}: give at least {least}")
    for name in ("learning_rate", "learning_rate_dis"):
        if not getattr(opts, name) > 0:
            raise UserError(f"--{name} {getattr(opts, name)}: give a rate above 0")
    for name in ("image_load_size", "image_crop_size", "output_size"):
        if getattr(opts, name) != -1 and getattr(opts, name) < 1:
            raise UserError(f"--{name} {getattr(opts, name)}: give a number of pixels, or -1 for automatic")
    if not 0 <= opts.ema < 1:
        raise UserError(f"--ema {opts.ema}: give a decay below 1, e.g. 0.999, or 0 for no average")
    if not opts.train_rand_pose_prob <= 1:
        raise UserError(f"--train_rand_pose_prob {opts.train_rand_pose_prob}: give a probability, at most 1")
    if opts.pigan_infer_ray_step < 3:
        raise UserError(f"--pigan_infer_ray_step {opts.pigan_infer_ray_step}: give at least 3 samples per ray")
    if not any(getattr(opts, name) for name in losses):
        raise UserError(f"{', '.join(f'--{name}' for name in losses)} are all 0: nothing would be learnt; give at "
                        "least one of them a weight")


TRAIN3D = CommandLine(build_parser, check, PER_START)
parse, inherit = TRAIN3D.parse, TRAIN3D.inherit
