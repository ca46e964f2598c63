"""Command line of scripts/train3d.py. Nothing heavy is imported here, so that --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from options.arguments import Parser, add_flag, options_of_run
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


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="train3d.py", description="Train Sem2NeRF: one semantic mask -> a NeRF.", epilog=EXAMPLES,
                    formatter_class=argparse.RawDescriptionHelpFormatter)

    def group(title: str):
        made = parser.add_argument_group(title)

        def option(name: str, default: Any, help: str, **kwargs: Any) -> None:
            if isinstance(default, bool):
                add_flag(made, name, help)
            else:
                kind = kwargs.pop("type", str if default is None else type(default))
                shown = "" if default is None else f" (default: {default})"
                made.add_argument(name, default=default, type=kind, help=help + shown,
                                  **({} if "choices" in kwargs else {"metavar": kind.__name__.upper()}), **kwargs)

        return option

    _run_options(group("run"))
    _data_options(group("data"))
    _model_options(group("model"))
    _render_options(group("rays"))
    _loss_options(group("losses and optimisers"))
    _output_options(group("intervals and output"))
    _distributed_options(parser, group("processes and devices"))
    return parser


def _run_options(option) -> None:
    option("--exp_dir", None, "folder of this run: checkpoints, logs, images (required)")
    option("--max_steps", 800000, "optimiser steps of the whole run")
    option("--checkpoint_path", None, "start from this checkpoint's weights; with --continue_training also from its "
           "optimisers and step")
    option("--continue_training", False, "go on: with the newest checkpoint of --exp_dir, else with --checkpoint_path")
    option("--auto_resume", False, "as --continue_training where --exp_dir holds a checkpoint, else start afresh")
    option("--overwrite", False, "delete an earlier run in --exp_dir")
    option("--seed", 0, "of everything random: weights, order of the data, patches, poses")
    option("--debug", False, "show tracebacks of errors")


def _data_options(option) -> None:
    option("--dataset_type", "celebahq_seg_to_3dface", "entry of configs/data_configs.py")
    option("--data_root", None, "folder with the images, masks and poses; default: the data set's own")
    option("--train_paths_conf", None, "text file naming the masks to train on, one a line; default: the data root's "
           "train list, else all but the held-out masks")
    option("--test_paths_conf", None, "the same for validation")
    option("--use_merged_labels", False, "merge labels to the coarser table (left and right parts alike)")
    option("--use_contour", False, "append contour and distance map to the network input")
    option("--label_nc", 16, "label channels; follows from data set and --use_merged_labels")
    option("--input_nc", 18, "channels of the network input; follows from --label_nc and --use_contour")
    option("--mirror", False, "train on every sample mirrored, too")
    option("--image_load_size", -1, "pixels the images are resized to before the centre crop; -1: automatic")
    option("--image_crop_size", -1, "pixels of the centre crop; -1: automatic")
    option("--output_size", -1, "pixels of the target images; -1: img_size of --pigan_steps_conf")
    option("--src_input_size", 224, "pixels of the network input")
    option("--batch_size", 2, "samples a process and step (a micro-batch, with --grad_accum)")
    option("--test_batch_size", 1, "samples encoded together in validation")
    option("--workers", 2, "loader processes of each training process; 0: none")
    option("--test_workers", 1, "the same for validation")
    option("--map_cache", None, "folder that keeps contour and distance maps; default: .map_cache in the data root; "
           "'none': compute them each time")


def _model_options(option) -> None:
    option("--encoder_type", "SwinEncoder", "size of the encoder, a key of SWIN_SIZES")
    option("--swin_weights", None, "ImageNet weights of the encoder; default: swin_tiny_patch4_window7_224.pth in "
           "pretrained_models/ if it is there; 'none': random")
    option("--encoder_not_zplus", False, "the encoder predicts one z for the mapping network instead of all codes")
    option("--start_from_latent_avg", False, "the encoder predicts offsets from the decoder's mean code")
    option("--pigan_curriculum_type", "CelebAMask_HQ", "camera of the decoder: CelebAMask_HQ or CatMask")
    option("--pigan_weights", None, "the pretrained decoder: a pi-GAN state dict or a Sem2NeRF checkpoint; default: "
           "the camera preset's file in pretrained_models/; 'random': untrained")
    option("--pigan_zdim", 256, "length of z")
    option("--pigan_hidden_dim", 256, "width of the field")
    option("--train_decoder", False, "train the field too (it is frozen otherwise)")
    option("--discriminator_type", "patch", "which discriminator", choices=("patch",))
    option("--use_cond_dis", False, "show the discriminator the mask too")


def _render_options(option) -> None:
    option("--pigan_steps_conf", "configs/pigan_steps/sem2nerf.yaml", "sizes by step: img_size, resolution_vol")
    option("--pigan_infer_ray_step", 28, "points a ray")
    option("--pigan_train_hs", False, "a second, importance-sampled pass in training")
    option("--pigan_train_lvd", False, "lock the view direction in training, as at inference")
    option("--pigan_infer_max_batch", 2400000, "most points evaluated at a time in validation")
    option("--sample_chunk", 0, "evaluate so many points at a time, and again in the backward pass: less memory, more "
           "time; 0: all at once")
    option("--patch_train", False, "render resolution_vol^2 rays of a random patch instead of a coarse whole image")
    option("--patch_shift", "free", "where patches lie: anywhere, or on the diagonal as in the 2022 release",
           choices=("free", "diagonal"))
    option("--no_ray_random_shift", False, "keep patches centred")
    option("--ray_min_scale", 0.125, "smallest patch, as a fraction of the image's side")
    option("--ray_max_scale", 1.0, "greatest patch")
    option("--ray_scale_anneal", 0.0019, "how fast the smallest patch shrinks; 0: it is small from the start")
    option("--train_rand_pose_prob", -1.0, "share of steps at an extreme pose, judged by the discriminator alone")


def _loss_options(option) -> None:
    option("--l2_lambda", 1.0, "weight of the mean squared error")
    option("--l1_lambda", 0.0, "weight of the mean absolute error")
    option("--lpips_lambda", 0.8, "weight of LPIPS; 0 needs no AlexNet")
    option("--lpips_weights", None, "AlexNet of LPIPS; default: $TORCH_HOME, then pretrained_models/")
    option("--w_norm_lambda", 0.005, "weight of the codes' distance from the mean code")
    option("--latent_lambda", 0.0, "weight of the codes' distance from those in the data set's latents.npz; not in the "
           "paper, a warm start for data that carries them")
    option("--z_lambda", 0.0, "weight of the distance of z itself from the one in latents.npz, with "
           "--encoder_not_zplus: small parts of a face count as much as hair; not in the paper")
    option("--edit_lambda", 0.0, "weight of how far what an edit of one part changes in the image is from what it "
           "should change, and with --z_lambda in z too; for data built with --edits; not in the paper")
    option("--dis_lambda", 0.08, "weight of the adversarial terms; 0: no discriminator")
    option("--optim_name", "ranger", "optimiser of both networks", choices=("ranger", "adam", "adamw"))
    option("--learning_rate", 1e-4, "of the encoder")
    option("--learning_rate_dis", 2e-5, "of the discriminator")
    option("--scheduler_name", "none", "learning-rate schedule of both", choices=("none", "cosine"))
    option("--grad_accum", 1, "micro-batches summed up in one step")
    option("--grad_clip", 0.0, "greatest norm of the encoder's gradient; 0: not clipped")
    option("--ema", 0.0, "decay of an average of the weights that validation and checkpoints use, e.g. 0.999; 0: none")


def _output_options(option) -> None:
    option("--board_interval", 50, "steps between loss curves and console lines")
    option("--image_interval", 100, "steps between training images")
    option("--val_interval", 2500, "steps between validations; 0: none")
    option("--save_interval", 20000, "steps between iteration_N.pt files; 0: none")
    option("--latest_interval", 1000, "steps between updates of latest_model.pt")
    option("--keep_checkpoints", 0, "how many iteration_N.pt files to keep, the newest ones; 0: all")
    option("--test_output_size", 128, "pixels of validation images")
    option("--val_images", 0, "validate on so many masks; 0: all of the list")
    option("--val_latent_mask", None, "layers whose codes validation takes from the mean code, e.g. 7,8")
    option("--test_pigan_latent_avg", False, "validate the decoder's mean code in place of the encoder's codes")
    option("--progress", False, "show the progress bar though the output is no terminal")


def _distributed_options(parser: argparse.ArgumentParser, option) -> None:
    option("--device", "auto", "auto, cpu, cuda or cuda:N")
    option("--gpu_ids", "0", "GPU of a single process; a launcher gives each process its own")
    option("--amp", "none", "bf16: encoder and losses in bfloat16 (GPU); the field stays in float32",
           choices=("none", "bf16"))
    option("--compile", False, "torch.compile the encoder")
    option("--world_size", 1, "number of processes, where neither a launcher nor SLURM says it")
    option("--dist_url", "env://", "where processes meet: env:// or tcp://HOST:PORT")
    # torch.distributed.launch passes --local-rank
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, metavar="INT", help=argparse.SUPPRESS)
    option("--no_distributed", False, "a single process, whatever the environment says")
    option("--distributed_train", False, "expect several processes: a line says so if there is only one")
    option("--use_multi_nodes", False, "expect several machines: a line says so if there is only one")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse and check. With --continue_training or --auto_resume, options that are not given are those of the run.

    Raises:
        UserError: a value is out of range, or options contradict each other.
    """
    parser = build_parser()
    opts = parser.parse_args(argv)
    if not opts.exp_dir:
        raise UserError("--exp_dir is missing: name a folder for checkpoints and logs, e.g. --exp_dir=out/my_run")
    if opts.continue_training or opts.auto_resume:
        parser.set_defaults(**options_of_run(Path(opts.exp_dir), set(vars(opts)) - PER_START))
        opts = parser.parse_args(argv)
    check(opts)
    return opts


def inherit(opts: argparse.Namespace, earlier: Mapping[str, Any], argv: Sequence[str]) -> argparse.Namespace:
    """The options again, with the defaults of those not in `argv` taken from a checkpoint's `opts`."""
    parser = build_parser()
    known = {key: value for key, value in earlier.items() if key in vars(opts) and key not in PER_START}
    parser.set_defaults(**known)
    opts = parser.parse_args(argv)
    check(opts)
    return opts


def check(opts: argparse.Namespace) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: naming the first such option.
    """
    at_least = {
        1: ("max_steps", "batch_size", "test_batch_size", "src_input_size", "pigan_infer_ray_step", "pigan_zdim",
            "pigan_hidden_dim", "pigan_infer_max_batch", "grad_accum", "board_interval", "image_interval",
            "latest_interval", "test_output_size", "world_size"),
        0: ("workers", "test_workers", "l1_lambda", "l2_lambda", "lpips_lambda", "w_norm_lambda", "dis_lambda",
            "latent_lambda", "z_lambda", "edit_lambda", "grad_clip", "val_interval", "save_interval",
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
    if opts.z_lambda and not opts.encoder_not_zplus:
        raise UserError("--z_lambda: only an encoder that predicts z can be compared with one; add "
                        "--encoder_not_zplus, or use --latent_lambda")
    if opts.edit_lambda and opts.batch_size % 2:
        raise UserError(f"--batch_size {opts.batch_size}: with --edit_lambda heads come in pairs; give an even number")
    if opts.edit_lambda and not (opts.l2_lambda or opts.z_lambda):
        raise UserError("--edit_lambda: it compares images, or z; give --l2_lambda or --z_lambda a weight too")
    if not 0 <= opts.ema < 1:
        raise UserError(f"--ema {opts.ema}: give a decay below 1, e.g. 0.999, or 0 for no average")
    if not opts.train_rand_pose_prob <= 1:
        raise UserError(f"--train_rand_pose_prob {opts.train_rand_pose_prob}: give a probability, at most 1")
    if opts.pigan_infer_ray_step < 3:
        raise UserError(f"--pigan_infer_ray_step {opts.pigan_infer_ray_step}: give at least 3 points a ray")
    lambdas = ("l2_lambda", "l1_lambda", "lpips_lambda", "dis_lambda", "latent_lambda", "z_lambda")
    if not any(getattr(opts, name) for name in lambdas):
        raise UserError(f"{', '.join(f'--{name}' for name in lambdas)} are all 0: nothing would be learnt; give at "
                        "least one of them a weight")
