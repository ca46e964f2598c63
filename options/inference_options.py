"""Command line of scripts/inference3d.py."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.data_configs import canonical_preset, config_of_preset, data_config
from configs.paths_config import DEMO_CHECKPOINT, OFFICIAL_CHECKPOINTS, OFFICIAL_CHECKPOINTS_PAGE
from options.arguments import HelpFormatter, Parser, add_flag, layer_list, natural, parse, positive, ray_samples, seed
from utils.errors import UserError

DESCRIPTION = """One semantic mask -> images and a video of a 3D head.

  # the bundled masks with the bundled demo weights
  python scripts/inference3d.py --use_merged_labels --exp_dir out/sem2nerf_samples

  # official weights, own pose, another style, videos
  python scripts/inference3d.py --exp_dir=out/sem2nerf_celebahq \\
      --checkpoint_path=pretrained_models/sem2nerf_celebahq_pretrained.pt --data_path=data/CelebAMask-HQ/mask \\
      --infer_paths_conf=data/CelebAMask-HQ/vis_paths.txt --test_output_size=512 --pigan_infer_ray_step=72 \\
      --use_merged_labels --use_original_pose --mask_overlay_weight=0.15 --latent_mask=8 --inject_code_seed=92 \\
      --render_videos

Options that describe the model and its images (dataset_type, pigan_curriculum_type, use_merged_labels,
src_input_size, encoder_not_zplus, test_output_size, pigan_infer_ray_step, and the framing image_load_size :
image_crop_size) come from the checkpoint unless they are given here; the defaults below hold where it is silent.
"""

# what a checkpoint's `opts` decide where the command line is silent: the model, and the image it was trained for
MODEL_OPTIONS = ("dataset_type", "pigan_curriculum_type", "use_merged_labels", "src_input_size", "encoder_not_zplus")
IMAGE_OPTIONS = ("test_output_size", "pigan_infer_ray_step")
WITHOUT_EFFECT = ("resize_factors", "latent_codes_path", "distri_without_z", "predict_pose", "encoder_n_styles",
                  "encoder_reverse_codes", "pigan_steps_conf")
DEFAULT_CROP = 256


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(usage="%(prog)s [options]", description=DESCRIPTION, formatter_class=HelpFormatter)

    files = parser.add_argument_group("files")
    files.add_argument("--exp_dir", default="out/sem2nerf_qtest", help="folder for the results")
    files.add_argument("--checkpoint_path", default=str(OFFICIAL_CHECKPOINTS["CelebAMask_HQ"]),
                       help="weights; if not given and not there, the bundled demo weights are used")
    files.add_argument("--data_path", default="data/CelebAMask-HQ/mask_samples", help="folder of masks, or one mask")
    files.add_argument("--infer_paths_conf", help="text file with one mask name or id a line: only these are read")
    files.add_argument("--n_images", type=positive, help="stop after so many masks")
    add_flag(files, "--use_shuffle", "read the masks in a random order (see --seed)")

    masks = parser.add_argument_group("masks")
    masks.add_argument("--dataset_type", default="celebahq_seg_to_3dface", help="label table, framing and poses")
    add_flag(masks, "--use_merged_labels", "left and right parts share a label (19 -> 16; cats 16 -> 8)")
    masks.add_argument("--mask_encoding", choices=["auto", "index", "colour"], default="auto",
                       help="whether pixels are label numbers or colours of the label table")
    masks.add_argument("--label_order", choices=["celebamask", "bisenet"], default="celebamask",
                       help="numbering of the labels; face parsers of the BiSeNet family use another")
    masks.add_argument("--image_load_size", type=positive, default=320, help="masks are resized to this ...")
    masks.add_argument("--image_crop_size", type=positive, default=DEFAULT_CROP, help="... and cropped to this centre")
    masks.add_argument("--src_input_size", type=positive, default=224, help="pixels of the network input")
    masks.add_argument("--test_batch_size", type=positive, default=1, help="masks read ahead at a time")
    masks.add_argument("--test_workers", type=natural, default=1, help="threads that read masks")

    images = parser.add_argument_group("images")
    images.add_argument("--test_output_size", type=positive, default=256, help="pixels along each side of a view")
    images.add_argument("--pigan_infer_ray_step", type=ray_samples, default=24,
                          help="samples a ray; as many again are placed where the surface is")
    images.add_argument("--sampler", choices=["auto", "exact", "grid"], default="auto",
                          help="exact: the field is evaluated at all of these samples, as the official release does; "
                               "grid: at fewer, placed by a density grid; auto: grid for large views of scenes where "
                               "it is found to be as good")
    images.add_argument("--n_outputs_to_generate", type=positive, default=5, help="views in a row")
    images.add_argument("--render_mode", choices=["h", "v", "fov"], default="h",
                          help="what the views of a row sweep: yaw, pitch or field of view")
    add_flag(images, "--use_original_pose", "also the view from the mask's own pose (needs a pose file)")
    images.add_argument("--mask_overlay_weight", type=float, default=0.0,
                          help="above 0: also <name>_overlay.png, the mask blended over the view with this weight")
    add_flag(images, "--couple_outputs", "also <name>_coupled.png: mask and view side by side")
    add_flag(images, "--resize_outputs", "save every view at 256 px, whatever the rendered size")
    add_flag(images, "--stochastic_sampling", "jitter the samples along rays, as the official release does")
    images.add_argument("--seed", type=seed, default=0, help="of the jitter and of --use_shuffle")

    style = parser.add_argument_group("style")
    style.add_argument("--latent_mask", type=layer_list, default="8", metavar="LAYERS",
                       help="layers (0 to 8, e.g. 6,7,8) whose codes come from a random style; '' for none")
    style.add_argument("--inject_code_seed", type=seed, default=0, help="seed of that style")
    style.add_argument("--mix_alpha", type=float, help="blend the style in with this weight instead of replacing")
    style.add_argument("--inject_code_seed2", type=seed, default=256,
                       help="if given: also <name>_styles.png, up to this style")
    style.add_argument("--style_mix_seq_num", type=positive, default=7, help="images in that strip")
    add_flag(style, "--test_pigan_latent_avg", "show the decoder's mean head instead of the mask's (checks weights)")

    video = parser.add_argument_group("video")
    add_flag(video, "--render_videos", "also a video of each mask")
    video.add_argument("--trajectory", choices=["front", "orbit"], default="front", help="path of the camera")
    video.add_argument("--num_frames", type=positive, default=36, help="frames of one pass over the path")
    add_flag(video, "--video_rev_end", "play the path forwards, then backwards")
    video.add_argument("--video_format", choices=["mp4", "gif"], default="mp4", help="H.264 or an animated GIF")

    model = parser.add_argument_group("model and machine")
    model.add_argument("--pigan_curriculum_type", default="CelebAMask_HQ", help="camera of the decoder")
    add_flag(model, "--encoder_not_zplus", "the encoder predicts one z; the decoder's mapping makes the codes")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    model.add_argument("--gpu_ids", default="0", help="with --device auto or cuda: these GPUs share the views, e.g. 0,1")
    model.add_argument("--pigan_infer_max_batch", type=positive, default=50_000,
                       help="most points evaluated at a time; lower it if memory runs out")
    model.add_argument("--precision", choices=["fp32", "bf16"], default="fp32",
                       help="of the field's hidden layers on a GPU; a CPU always computes in fp32")
    add_flag(model, "--debug", "show the full traceback of an error")

    old = parser.add_argument_group("accepted for old command lines, without effect")
    old.add_argument("--pigan_steps_conf", default="configs/pigan_steps/mask2face_3090.yaml", help="training only")
    old.add_argument("--resize_factors", help="nothing")
    old.add_argument("--latent_codes_path", help="nothing")
    add_flag(old, "--distri_without_z", "nothing")
    add_flag(old, "--predict_pose", "nothing")
    old.add_argument("--encoder_n_styles", type=int, default=9, help="nothing")
    add_flag(old, "--encoder_reverse_codes", "nothing")
    return parser


def parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, set[str]]:
    """Options, and the names of those that the command line gave.

    Raises:
        UserError: an option is unknown or its value is out of range.
    """
    opts, given = parse(build_parser(), argv)
    if opts.stochastic_sampling and opts.sampler == "grid":
        raise UserError("--sampler grid places samples without chance; leave out --stochastic_sampling")
    if not 0 <= opts.mask_overlay_weight <= 1:
        raise UserError(f"--mask_overlay_weight {opts.mask_overlay_weight}: give a weight from 0 to 1")
    if opts.mix_alpha is not None and not 0 <= opts.mix_alpha <= 1:
        raise UserError(f"--mix_alpha {opts.mix_alpha}: give a weight from 0 to 1")
    opts.style_strip = bool(given & {"inject_code_seed2", "style_mix_seq_num"})
    if opts.style_strip and not opts.latent_mask:
        raise UserError("--latent_mask '' and a strip of styles: name the layers that the styles replace, e.g. 8")
    return opts, given


def find_checkpoint(opts: argparse.Namespace, given: set[str]) -> tuple[Path, str]:
    """The checkpoint to load, and a word for the user on which it is.

    Raises:
        UserError: a file was asked for that is not there.
    """
    path = Path(opts.checkpoint_path)
    if path.is_file():
        return path, str(path)
    if path.is_dir() and "checkpoint_path" in given:
        raise UserError(f"--checkpoint_path {opts.checkpoint_path or repr('')}: this is no file; give a checkpoint "
                        "(.pt), or leave the option out for the demo weights")
    if "checkpoint_path" in given:
        raise UserError(f"--checkpoint_path {path}: no such file; get the official weights from "
                        f"{OFFICIAL_CHECKPOINTS_PAGE} and put them there, or leave the option out for the demo weights")
    demo = Path(__file__).resolve().parents[1] / DEMO_CHECKPOINT
    if not demo.is_file():
        raise UserError(f"{demo}: the bundled demo weights are missing; check out the repository again")
    return demo, f"{DEMO_CHECKPOINT} (bundled demo weights; the official ones are not in {path.parent}/)"


def complete(opts: argparse.Namespace, given: set[str], trained: Mapping[str, Any]) -> argparse.Namespace:
    """Fill in what the checkpoint's `opts` decide and what follows from it.

    Args:
        opts: of `parse_options`; a completed copy is returned.
        trained: the checkpoint's `opts`.

    Raises:
        UserError: the command line contradicts the checkpoint.
    """
    out = argparse.Namespace(**vars(opts))
    for name in (*MODEL_OPTIONS, *IMAGE_OPTIONS):
        if name not in given and name in trained:
            setattr(out, name, trained[name])
    out.use_contour = bool(trained.get("use_contour", False))
    try:
        out.pigan_curriculum_type = canonical_preset(out.pigan_curriculum_type)
        config = data_config(out.dataset_type)
    except UserError as error:
        if given & {"dataset_type", "pigan_curriculum_type"}:
            raise
        raise UserError(f"{opts.checkpoint_path}: this checkpoint's own options do not work here: {error}") from error
    if config.camera_preset != out.pigan_curriculum_type:
        if "dataset_type" in given:
            whose = "--pigan_curriculum_type" if "pigan_curriculum_type" in given else "the checkpoint's camera preset"
            raise UserError(f"--dataset_type {out.dataset_type} does not go with {whose} {out.pigan_curriculum_type}; "
                            "leave it out, or give a checkpoint for this data set")
        config = config_of_preset(out.pigan_curriculum_type)
        out.dataset_type = config.name
    if "data_path" not in given:
        out.data_path = str(config.data_root / "mask_samples")
    load, crop = trained.get("image_load_size", -1), trained.get("image_crop_size", -1)
    if not given & {"image_load_size", "image_crop_size"} and load > 0 and crop > 0:
        # training may have used another resolution (640 : 512); what counts is which part of a mask is seen
        out.image_crop_size, out.image_load_size = DEFAULT_CROP, round(DEFAULT_CROP * load / crop)
    space = config.label_space
    labels = len(space.merged if out.use_merged_labels and space.merged is not None else space)
    channels = labels + 2 * out.use_contour
    if trained.get("input_nc", channels) != channels:
        what = (f"{out.dataset_type} masks with --use_merged_labels {out.use_merged_labels} have {channels} channels, "
                f"the checkpoint was trained with {trained['input_nc']}")
        guilty = [f"--{name}" for name in ("dataset_type", "pigan_curriculum_type", "use_merged_labels")
                  if name in given]
        if not guilty:
            raise UserError(f"{opts.checkpoint_path}: its own options contradict each other: {what}; get it again")
        raise UserError(f"{what}; leave out {' and '.join(guilty)} to take this from the checkpoint")
    return out


def warnings_for(given: set[str]) -> list[str]:
    """One line for each given option that does nothing here."""
    return [f"--{name} has no effect on inference" for name in WITHOUT_EFFECT if name in given]


def model_opts(opts: argparse.Namespace, trained: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's `opts` with this run's answers to the same questions, for building the model."""
    return {**trained, **{name: getattr(opts, name) for name in MODEL_OPTIONS}}
