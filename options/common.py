"""Options that several command lines have, worded once."""

import argparse

from configs.paths_config import OFFICIAL_CHECKPOINTS
from options.arguments import LABEL_ORDER, add_flag, positive

Group = argparse._ActionsContainer  # a parser or a group of its options


def add_checkpoint(group: Group) -> None:
    """Which weights are used (`options.inference_options.find_checkpoint`)."""
    group.add_argument("--checkpoint_path", default=str(OFFICIAL_CHECKPOINTS["CelebAMask_HQ"]),
                       help="weights; if not given and not there, the bundled demo weights are used")


def add_semantic_head(group: Group) -> None:
    """What labels of the field are read with."""
    group.add_argument("--semantic_head", metavar="FILE", help="what labels are read with, of scripts/"
                       "train_semantics.py; by default the checkpoint's own")


def add_mask_files(group: Group, note: str = "* ") -> None:
    """How the numbers and colours of mask files are meant; the help of the order begins with `note`."""
    group.add_argument("--mask_encoding", choices=["auto", "index", "colour"], default="auto",
                       help="whether pixels of masks are label numbers or colours of the label table")
    group.add_argument("--label_order", metavar="ORDER", default="celebamask", help=note + LABEL_ORDER)


def add_video_format(group: Group) -> None:
    """What kind of file a video is."""
    group.add_argument("--video_format", choices=["mp4", "gif"], default="mp4", help="H.264 or an animated GIF")


def add_device(group: Group) -> None:
    """Where models compute."""
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def add_max_points(group: Group) -> None:
    """How much memory rendering takes."""
    group.add_argument("--pigan_infer_max_batch", "--max_points", type=positive,
                       help="most points evaluated at a time; default: as many as suit the device. Lower it if memory "
                            "runs out")


def add_debug(group: Group) -> None:
    """What is shown of an error."""
    add_flag(group, "--debug", "show the full traceback of an error")
