"""Command line of scripts/inference3d.py."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.data_configs import DATA_CONFIGS, data_config
from configs.paths_config import DEMO_CHECKPOINT, OFFICIAL_CHECKPOINTS_PAGE
from options.arguments import (
    HelpFormatter,
    Parser,
    add_flag,
    layer_list,
    natural,
    parse,
    positive,
    ray_samples,
    seed,
)
from options.common import (
    add_checkpoint,
    add_debug,
    add_device,
    add_mask_files,
    add_max_points,
    add_semantic_head,
    add_video_format,
)
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
    files.add_argument("--exp_dir", default=exp_dir, help="folder for the results")
    add_checkpoint(files)
    files.add_argument("--data_path", default="data/CelebAMask-HQ/mask_samples", help="folder of masks, or one mask")
    files.add_argument("--infer_paths_conf", "--mask_list",
                       help="text file with one mask name or id per line: only these are read")
    files.add_argument("--n_images", type=positive, help="stop after this many masks")
    add_flag(files, "--use_shuffle", "read the masks in a random order (see --seed)")

    masks = parser.add_argument_group("of the paper: how masks are read")
    masks.add_argument("--dataset_type", default="celebahq_seg_to_3dface", help="* label table, framing and poses")
    add_flag(masks, "--use_merged_labels", "* left and right parts share a label (19 -> 16; cats 16 -> 8)")
    masks.add_argument("--image_load_size", type=positive, default=320, help="* masks are resized to this ...")
    masks.add_argument("--image_crop_size", type=positive, default=256, help="* ... and cropped to this centre; the "
                       "ratio of the two decides how large a head appears to the model")
    masks.add_argument("--src_input_size", type=positive, default=224, help="* pixels of the network input")


def add_style(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Which style a head has; other options of styles may be added to the group."""
    style = parser.add_argument_group("of the paper: style")
    style.add_argument("--latent_mask", "--style_layers", type=layer_list, default="8", metavar="LAYERS",
                       help="layers (0 to 8, e.g. 6,7,8) whose codes come from a random style: colours are in the last "
                            "ones; '' keeps the mask's own codes in all layers")
    style.add_argument("--inject_code_seed", "--style_seed", type=seed, default=0, help="seed of that style")
    style.add_argument("--mix_alpha", "--style_weight", type=float,
                       help="blend the style in with this weight instead of replacing")
    return style


def add_model(parser: argparse.ArgumentParser) -> None:
    """What a checkpoint knows of its model, unless it is silent."""
    model = parser.add_argument_group("of the paper: model")
    model.add_argument("--pigan_curriculum_type", "--camera", default="CelebAMask_HQ",
                       help="* camera of the decoder")
    add_flag(model, "--encoder_not_zplus", "* the encoder predicts one z, and the decoder's mapping network makes the "
             "codes", "--encoder_predicts_z")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)
    add_inputs(parser, "out/sem2nerf_qtest")

    images = parser.add_argument_group("of the paper: images")
    images.add_argument("--test_output_size", "--image_size", type=positive, default=256,
                        help="* pixels along each side of a view")
    images.add_argument("--pigan_infer_ray_step", "--samples_per_ray", type=ray_samples, default=24,
                        help="* samples per ray; as many again are placed where the surface is. More give finer images "
                             "and take longer")
    images.add_argument("--n_outputs_to_generate", "--views", type=positive, default=5, help="views in a row")
    images.add_argument("--render_mode", choices=["h", "v", "fov"], default="h",
                        help="what the views of a row sweep: yaw, pitch or field of view")
    add_flag(images, "--use_original_pose", "also the view from the mask's own pose (needs a pose file)")
    images.add_argument("--mask_overlay_weight", type=float, default=0.0,
                        help="above 0: also <name>_overlay.png, the mask blended over the view with this weight")
    add_flag(images, "--couple_outputs", "also <name>_coupled.png: mask and view side by side")
    add_flag(images, "--resize_outputs", "save every view at 256 px, whatever the rendered size")

    style = add_style(parser)
    style.add_argument("--inject_code_seed2", "--style_seed2", type=seed, default=256,
                       help="if given on the command line, whatever its value: also <name>_styles.png, a strip from "
                            "the style of --inject_code_seed to this one")
    style.add_argument("--style_mix_seq_num", "--style_steps", type=positive, default=7,
                       help="images in that strip; if given on the command line, the strip is written too")
    style.add_argument("--style_image", metavar="PHOTO", help="take the colours of this picture instead, part by part "
                       "(docs/photos.md); --latent_mask names the layers that may move, colours alone by default")
    style.add_argument("--style_mask", metavar="MASK", help="the picture's mask; default: the one in mask/ beside "
                       "the picture's folder")
    style.add_argument("--style_parts", metavar="PARTS", help="recolour these parts only, e.g. hair,skin,u_lip (names: "
                       "docs/label_spaces.md)")
    add_flag(style, "--fit_photo", "refine each head until it looks like its own photograph, which lies in images/ "
             "beside the masks' folder (scripts/prepare_photos.py; docs/photos.md); needs poses, takes half a minute")
    style.add_argument("--lpips_weights", help="torchvision's AlexNet, for LPIPS with --fit_photo; used if it is there")
    add_flag(style, "--test_pigan_latent_avg", "show the decoder's mean head instead of the mask's (checks weights)",
             "--show_mean_head")

    video = parser.add_argument_group("of the paper: video")
    add_flag(video, "--render_videos", "also a video of each mask")
    video.add_argument("--trajectory", choices=["front", "orbit"], default="front", help="path of the camera")
    video.add_argument("--num_frames", type=positive, default=36, help="frames of one pass over the path")
    add_flag(video, "--video_rev_end", "play the path forwards, then backwards", "--video_ping_pong")

    add_model(parser)

    speed = parser.add_argument_group("speed and memory")
    add_device(speed)
    speed.add_argument("--gpu_ids", default="0",
                       help="with --device auto or cuda: these GPUs share the views, e.g. 0,1")
    add_max_points(speed)
    speed.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32",
                       help="of the field's hidden layers on a GPU: tf32 and bf16 are faster, tf32 with 11 bits and "
                            "bf16 with 8; a CPU always computes in fp32")
    speed.add_argument("--sampler", choices=["auto", "exact", "grid"], default="auto",
                       help="exact: the field is evaluated at all samples, as the official release does; grid: at "
                            "fewer, placed by a density grid; auto: grid for large views of scenes where it is found "
                            "to be as good")
    speed.add_argument("--test_batch_size", "--read_ahead", type=positive, default=1, help="masks read ahead at a time")
    speed.add_argument("--test_workers", "--read_threads", type=natural, default=1, help="threads that read masks")

    beyond = parser.add_argument_group("beyond the paper")
    add_mask_files(beyond)
    add_flag(beyond, "--render_labels", "also what is seen at each pixel: <name>_labels.png (label maps below the "
             "views), the labels of each view as a mask file, and a second video")
    add_flag(beyond, "--save_depth", "also the distances of each view of the row: PNGs of 16 bits, in steps of "
             "1/50,000 of the distance from camera to origin; 0: background")
    add_flag(beyond, "--alpha", "also each view of the row with a transparent background")
    add_semantic_head(beyond)
    add_flag(beyond, "--stochastic_sampling", "jitter the samples along rays, as the official release does")
    beyond.add_argument("--seed", type=seed, default=0, help="of the jitter and of --use_shuffle")
    add_video_format(beyond)
    add_flag(beyond, "--render_viewer", "also <name>.html: the head in a page that turns it, in one file that opens in "
             "any browser")
    beyond.add_argument("--viewer_quality", choices=["normal", "high"], default="normal",
                        help="of that page: about 0.5 MB, or 0.8 MB and finer")
    add_debug(beyond)

    for name, default in WITHOUT_EFFECT.items():
        parser.add_argument(f"--{name}", nargs="?", const=True, default=default, help=argparse.SUPPRESS)
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    opts, given = parse(build_parser(), argv)
    if opts.stochastic_sampling and opts.sampler == "grid":
        raise UserError("--sampler grid places samples without chance; leave out --stochastic_sampling")
    for name in ("mask_overlay_weight", "mix_alpha"):
        value = getattr(opts, name)
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"--{name} {value}: give a weight from 0 to 1")
    alone = [name for name in ("style_mask", "style_parts") if name in given]
    if alone and not opts.style_image:
        raise UserError(f"--{alone[0]} is of a reference picture; name that with --style_image")
    clash = given & {"inject_code_seed", "inject_code_seed2", "style_mix_seq_num", "mix_alpha", "test_pigan_latent_avg"}
    if opts.style_image and clash:
        raise UserError(f"--style_image and --{min(clash)}: colours come from a picture or from a random style; leave "
                        "out one")
    if opts.fit_photo and (clash := given & {"style_image", "inject_code_seed", "inject_code_seed2",
                                             "style_mix_seq_num", "mix_alpha", "test_pigan_latent_avg"}):
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


def warnings_for(given: set[str]) -> list[str]:
    """One line for each given option that does nothing here."""
    return [f"--{name} has no effect on inference" for name in WITHOUT_EFFECT if name in given]
