"""Command line of scripts/inference3d.py."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.data_configs import DATA_CONFIGS, data_config
from configs.paths_config import DEMO_CHECKPOINT, OFFICIAL_CHECKPOINTS_PAGE
from options import common
from options.arguments import HelpFormatter, Parser, add, add_flag, layer_list, natural, parse, positive, seed, weight
from utils.errors import UserError
from utils.files import PROJECT, here, in_project

DESCRIPTION = """One semantic mask -> images and a video of a 3D head.

  # the bundled masks with the bundled demo weights
  python scripts/inference3d.py --use_merged_labels --exp_dir out/sem2nerf_samples

  # official weights, own pose, another style, videos
  python scripts/inference3d.py --exp_dir=out/sem2nerf_celebahq \\
      --checkpoint_path=pretrained_models/sem2nerf_celebahq_pretrained.pt --data_path=data/CelebAMask-HQ/mask \\
      --infer_paths_conf=data/CelebAMask-HQ/vis_paths.txt --test_output_size=512 --pigan_infer_ray_step=72 \\
      --use_merged_labels --use_original_pose --mask_overlay_weight=0.15 --latent_mask=8 --inject_code_seed=92 \\
      --render_videos

The checkpoint knows its model, how masks are read, and the size and samples of its images. Options marked with * are
for other wishes, and for files that are silent: their defaults below hold only where the checkpoint says nothing.
Options of the official release keep their names; plainer ones for some of them stand behind the comma.
"""

# what a checkpoint decides where the command line is silent: model and masks, and the image it was trained for
MODEL_OPTIONS = ("dataset_type", "pigan_curriculum_type", "use_merged_labels", "src_input_size", "encoder_not_zplus",
                 "image_load_size", "image_crop_size", "label_order")
IMAGE_OPTIONS = ("test_output_size", "pigan_infer_ray_step")
# official options that do nothing here, with their defaults: accepted, since old command lines have them
WITHOUT_EFFECT = {"resize_factors": None, "latent_codes_path": None, "distri_without_z": False, "predict_pose": False,
                  "encoder_n_styles": 9, "encoder_reverse_codes": False,
                  "pigan_steps_conf": "configs/pigan_steps/mask2face_3090.yaml"}


def add_inputs(parser: argparse.ArgumentParser, exp_dir: str) -> None:
    """Which masks are read with which weights, and how; `exp_dir` is where results go by default."""
    files = parser.add_argument_group("of the paper: files")
    common.add_files(files, exp_dir)
    add_flag(files, "--use_shuffle", "read the masks in a random order (see --seed)")
    common.add_framing(parser.add_argument_group("of the paper: how masks are read"))


def add_style(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Which style a head has; other options of styles may be added to the group."""
    style = parser.add_argument_group("of the paper: style")
    add(style, "--latent_mask", "8", "layers (0 to 8, e.g. 6,7,8) whose codes come from a random style: colours are in "
        "the last ones; '' keeps the mask's own codes in all layers", "--style_layers", type=layer_list,
        metavar="LAYERS")
    add(style, "--inject_code_seed", 0, "seed of that style", "--style_seed", type=seed)
    add(style, "--mix_alpha", None, "blend the style in with this weight instead of replacing", "--style_weight",
        type=weight)
    return style


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)
    add_inputs(parser, "out/sem2nerf_qtest")

    images = parser.add_argument_group("of the paper: images")
    common.add_views(images)
    add(images, "--n_outputs_to_generate", 5, "views in a row", "--views", type=positive)
    add(images, "--render_mode", "h", "what the views of a row sweep: yaw, pitch or field of view",
        choices=["h", "v", "fov"])
    add_flag(images, "--use_original_pose", "also the view from the mask's own pose (needs a pose file)")
    add(images, "--mask_overlay_weight", 0.0, "above 0: also <name>_overlay.png, the mask blended over the view with "
        "this weight", type=weight)
    add_flag(images, "--couple_outputs", "also <name>_coupled.png: mask and view side by side")
    add_flag(images, "--resize_outputs", "save every view at 256 px, whatever the rendered size")

    style = add_style(parser)
    add(style, "--inject_code_seed2", 256, "if given on the command line, whatever its value: also <name>_styles.png, "
        "a strip from the style of --inject_code_seed to this one", "--style_seed2", type=seed)
    add(style, "--style_mix_seq_num", 7, "images in that strip; if given on the command line, the strip is written too",
        "--style_steps", type=positive)
    add(style, "--style_image", None, "take the colours of this picture instead, part by part (docs/photos.md); "
        "--latent_mask names the layers that may move, colours alone by default", metavar="PHOTO")
    add(style, "--style_mask", None, "the picture's mask; default: the one in mask/ beside the picture's folder",
        metavar="MASK")
    add(style, "--style_parts", None, "recolour these parts only, e.g. hair,skin,u_lip (names: docs/label_spaces.md)",
        metavar="PARTS")
    add_flag(style, "--fit_photo", "refine each head until it looks like its own photograph, which lies in images/ "
             "beside the masks' folder (scripts/prepare_photos.py; docs/photos.md); needs poses, takes half a minute")
    add(style, "--lpips_weights", None, "torchvision's AlexNet, for LPIPS with --fit_photo; used if it is there")
    add_flag(style, "--test_pigan_latent_avg", "show the decoder's mean head instead of the mask's (checks weights)",
             "--show_mean_head")

    video = parser.add_argument_group("of the paper: video")
    add_flag(video, "--render_videos", "also a video of each mask")
    add(video, "--trajectory", "front", "path of the camera", choices=["front", "orbit"])
    add(video, "--num_frames", 36, "frames of one pass over the path", type=positive)
    add_flag(video, "--video_rev_end", "play the path forwards, then backwards", "--video_ping_pong")

    common.add_model(parser.add_argument_group("of the paper: model"))

    speed = parser.add_argument_group("speed and memory")
    common.add_device(speed)
    add(speed, "--gpu_ids", "0", "with --device auto or cuda: these GPUs share the views, e.g. 0,1")
    common.add_max_points(speed)
    add(speed, "--precision", "fp32", "of the field's hidden layers on a GPU: tf32 and bf16 are faster, tf32 with 11 "
        "bits and bf16 with 8; a CPU always computes in fp32", choices=["fp32", "tf32", "bf16"])
    common.add_sampler(speed)
    add(speed, "--test_batch_size", 1, "masks read ahead at a time", "--read_ahead", type=positive)
    add(speed, "--test_workers", 1, "threads that read masks", "--read_threads", type=natural)

    beyond = parser.add_argument_group("beyond the paper")
    common.add_mask_files(beyond)
    add_flag(beyond, "--render_labels", "also what is seen at each pixel: <name>_labels.png (label maps below the "
             "views), the labels of each view as a mask file, and a second video")
    add_flag(beyond, "--save_depth", "also the distances of each view of the row: PNGs of 16 bits, in steps of "
             "1/50,000 of the distance from camera to origin; 0: background")
    add_flag(beyond, "--alpha", "also each view of the row with a transparent background")
    common.add_semantic_head(beyond)
    add_flag(beyond, "--stochastic_sampling", "jitter the samples along rays, as the official release does")
    add(beyond, "--seed", 0, "of the jitter and of --use_shuffle", type=seed)
    common.add_video_format(beyond)
    add_flag(beyond, "--render_viewer", "also <name>.html: the head in a page that turns it, in one file that opens in "
             "any browser")
    add(beyond, "--viewer_quality", "normal", "of that page: about 0.5 MB, or 0.8 MB and finer",
        choices=["normal", "high"])
    common.add_debug(beyond)

    for name, default in WITHOUT_EFFECT.items():
        parser.add_argument(f"--{name}", nargs="?", const=True, default=default, help=argparse.SUPPRESS)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave. A line on stderr for each that does nothing here.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    opts, given = parse(build_parser(), argv)
    for name in WITHOUT_EFFECT:
        if name in given:
            print(f"warning: --{name} has no effect on inference", file=sys.stderr)
    if opts.stochastic_sampling and opts.sampler == "grid":
        raise UserError("--sampler grid places samples without chance; leave out --stochastic_sampling")
    alone = [name for name in ("style_mask", "style_parts") if name in given]
    if alone and not opts.style_image:
        raise UserError(f"--{alone[0]} is of a reference picture; name that with --style_image")
    other = given & {"inject_code_seed", "inject_code_seed2", "style_mix_seq_num", "mix_alpha", "test_pigan_latent_avg"}
    if opts.style_image and other:
        raise UserError(f"--style_image and --{min(other)}: colours come from a picture or from a random style; leave "
                        "out one")
    if opts.fit_photo and (clash := other | given & {"style_image"}):
        raise UserError(f"--fit_photo and --{min(clash)}: colours come from the head's own photograph or from "
                        "elsewhere; leave out one")
    if opts.lpips_weights and not opts.fit_photo:
        raise UserError("--lpips_weights is for --fit_photo; leave it out, or give both")
    opts.style_strip = bool(given & {"inject_code_seed2", "style_mix_seq_num"})
    if opts.style_strip and not opts.latent_mask:
        raise UserError("--latent_mask '' and a strip of styles: name the layers that the styles replace, e.g. 8")
    return opts, given


def find_checkpoint(opts: argparse.Namespace, given: set[str]) -> tuple[Path, str]:
    """The checkpoint to load, and a word for the user on which it is.

    Raises:
        UserError: a file was asked for that is not there.
    """
    path = Path(opts.checkpoint_path) if "checkpoint_path" in given else in_project(opts.checkpoint_path)
    if path.is_file():
        return path, str(path)
    if "checkpoint_path" in given:
        what = f"{opts.checkpoint_path or repr('')}: this is no file" if path.is_dir() else f"{path}: no such file"
        raise UserError(f"`checkpoint_path` {what}; give a checkpoint (.pt; the official ones are at "
                        f"{OFFICIAL_CHECKPOINTS_PAGE}), or leave the option out for the demo weights")
    demo = PROJECT / DEMO_CHECKPOINT
    if not demo.is_file():
        raise UserError(f"{demo}: the bundled demo weights are missing; check out the repository again")
    return demo, f"{DEMO_CHECKPOINT} (bundled demo weights; the official ones are not in {path.parent}/)"


def check_inputs(opts: argparse.Namespace, given: set[str]) -> None:
    """Refuse masks that are nowhere, before any weights are read.

    Raises:
        UserError: naming the option.
    """
    path = Path(opts.data_path)
    # a folder of masks may also be called by another of its usual names, see `datasets.masks.lists`
    usual = {name for config in DATA_CONFIGS.values() for name in config.mask_folders}
    if "data_path" in given and not path.exists() and path.name not in usual:
        raise UserError(f"`data_path` {path}: there is no such folder or file{here(path)}; give a folder of label "
                        "PNGs, or one")
    if opts.infer_paths_conf and not Path(opts.infer_paths_conf).exists():
        raise UserError(f"`infer_paths_conf` {opts.infer_paths_conf}: there is no such list"
                        f"{here(opts.infer_paths_conf)}; give a text file with one mask name per line "
                        "(scripts/make_lists.py writes such lists)")


def model_answers(opts: argparse.Namespace, given: set[str]) -> dict[str, Any]:
    """What the command line says instead of the checkpoint, for `models.config.with_options`."""
    return {name: getattr(opts, name) for name in MODEL_OPTIONS if name in given}


def complete(opts: argparse.Namespace, given: set[str], trained: Mapping[str, Any]) -> argparse.Namespace:
    """A copy of the options with what the checkpoint decides.

    Args:
        opts, given: of `parse_options`.
        trained: the `opts` that `models.config.with_options` gives.
    """
    out = argparse.Namespace(**vars(opts))
    for name in IMAGE_OPTIONS:
        if name not in given and name in trained:
            setattr(out, name, trained[name])
    out.dataset_type = trained["dataset_type"]
    if "data_path" not in given:
        out.data_path = str(in_project(data_config(out.dataset_type).data_root / "mask_samples"))
    return out
