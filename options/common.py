"""Options that several command lines have, worded once."""

import argparse

from configs.paths_config import OFFICIAL_CHECKPOINTS
from options.arguments import LABEL_ORDER, add, add_flag, positive, ray_samples

Group = argparse._ActionsContainer  # a parser or a group of its options


def add_checkpoint(group: Group) -> None:
    """Which weights are used (`options.inference_options.find_checkpoint`)."""
    add(group, "--checkpoint_path", str(OFFICIAL_CHECKPOINTS["CelebAMask_HQ"]),
        "weights; if not given and not there, the bundled demo weights are used")


def add_files(group: Group, exp_dir: str) -> None:
    """Which masks are read with which weights; `exp_dir` is where results go by default."""
    add(group, "--exp_dir", exp_dir, "folder for the results")
    add_checkpoint(group)
    add(group, "--data_path", "data/CelebAMask-HQ/mask_samples", "folder of masks, or one mask")
    add(group, "--infer_paths_conf", None, "text file with one mask name or id per line: only these are read",
        "--mask_list")
    add(group, "--n_images", None, "only the first N masks", type=positive, metavar="N")


def add_framing(group: Group, note: str = "* ") -> None:
    """What a checkpoint knows of its masks; help texts begin with `note`."""
    add(group, "--dataset_type", "celebahq_seg_to_3dface", note + "label table, framing and poses")
    add_flag(group, "--use_merged_labels", note + "left and right parts share a label (19 -> 16; cats 16 -> 8)")
    add(group, "--image_load_size", 320, note + "masks are resized to this ...", type=positive)
    add(group, "--image_crop_size", 256, note + "... and cropped to this centre; the ratio of the two decides how "
        "large a head appears to the model", type=positive)
    add(group, "--src_input_size", 224, note + "pixels of the network input", type=positive)


def add_model(group: Group, note: str = "* ") -> None:
    """What a checkpoint knows of its model; help texts begin with `note`."""
    add(group, "--pigan_curriculum_type", "CelebAMask_HQ", note + "camera of the decoder", "--camera")
    add_flag(group, "--encoder_not_zplus", note + "the encoder predicts one z, and the decoder's mapping network makes "
             "the codes", "--encoder_predicts_z")


def add_views(group: Group, note: str = "* ") -> None:
    """How large and how fine views are; help texts begin with `note`."""
    add(group, "--test_output_size", 256, note + "pixels along each side of a view", "--image_size", type=positive)
    add(group, "--pigan_infer_ray_step", 24, note + "samples per ray; as many again are placed where the surface is. "
        "More give finer images and take longer", "--samples_per_ray", type=ray_samples)


def add_sampler(group: Group, default: str = "auto") -> None:
    """Where samples are placed along rays."""
    add(group, "--sampler", default, "exact: the field is evaluated at all samples, as the official release does; "
        "grid: at fewer, placed by a density grid; auto: grid for large views of scenes where that is as good",
        choices=["auto", "exact", "grid"])


def add_semantic_head(group: Group) -> None:
    """What labels of the field are read with."""
    add(group, "--semantic_head", None, "what labels are read with, of scripts/train_semantics.py; by default the "
        "checkpoint's own", metavar="FILE")


def add_mask_files(group: Group, note: str = "* ") -> None:
    """How the numbers and colours of mask files are meant; the help of the order begins with `note`."""
    add(group, "--mask_encoding", "auto", "whether pixels of masks are label numbers or colours of the label table",
        choices=["auto", "index", "colour"])
    add(group, "--label_order", "celebamask", note + LABEL_ORDER, metavar="ORDER")


def add_video_format(group: Group) -> None:
    """What kind of file a video is."""
    add(group, "--video_format", "mp4", "H.264 or an animated GIF", choices=["mp4", "gif"])


def add_device(group: Group) -> None:
    """Where models compute."""
    add(group, "--device", "auto", "auto, cpu, cuda or cuda:N")


def add_max_points(group: Group) -> None:
    """How much memory rendering takes."""
    add(group, "--pigan_infer_max_batch", None, "most points evaluated at a time; default: as many as suit the device. "
        "Lower it if memory runs out", "--max_points", type=positive)


def add_debug(group: Group) -> None:
    """What is shown of an error."""
    add_flag(group, "--debug", "show the full traceback of an error")
