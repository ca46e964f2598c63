"""The data sets and camera presets of all categories, by name."""

from collections.abc import Mapping
from typing import Any

from configs.categories import CATEGORIES, by_name
from configs.category import CameraPreset, DataConfig, PoseFormat
from utils.errors import UserError

__all__ = ["CAMERA_PRESETS", "DATA_CONFIGS", "CameraPreset", "DataConfig", "PoseFormat", "config_of_opts",
           "config_of_preset", "data_config", "get_camera_preset"]

DATA_CONFIGS: dict[str, DataConfig] = by_name(config for category in CATEGORIES for config in category.data_sets)
CAMERA_PRESETS: dict[str, CameraPreset] = by_name(category.camera for category in CATEGORIES)

DEFAULT_PRESET = "CelebAMask_HQ"  # of options that name none: the published models are of faces


def get_camera_preset(name: str) -> CameraPreset:
    """Look up a camera preset by its name or an old name of it ('PseudoCats' is one of 'CatMask').

    Raises:
        UserError: there is none of that name.
    """
    for preset in CAMERA_PRESETS.values():
        if name in (preset.name, *preset.old_names):
            return preset
    raise UserError(f"`pigan_curriculum_type` {name}: not known; choose one of {', '.join(CAMERA_PRESETS)}")


def data_config(dataset_type: str) -> DataConfig:
    """The entry of `dataset_type`, by its name or an old one ('pseudocats_seg_to_3dface' is 'catmask_seg_to_3dface').

    Raises:
        UserError: there is no such dataset type.
    """
    for config in DATA_CONFIGS.values():
        if dataset_type in (config.name, *config.old_names):
            return config
    raise UserError(f"`dataset_type` {dataset_type}: not known; choose one of {', '.join(DATA_CONFIGS)}")


def config_of_preset(camera_preset: str) -> DataConfig:
    """The first data set of a camera preset, for command lines that name only the preset (cats with PseudoCats).

    Raises:
        UserError: there is no such camera preset.
    """
    wanted = get_camera_preset(camera_preset)
    return next(config for config in DATA_CONFIGS.values() if config.camera_preset == wanted.name)


def config_of_opts(opts: Mapping[str, Any]) -> DataConfig:
    """The data set that training options are about: `dataset_type`, or that of the camera preset if it has another.

    Raises:
        UserError: an option names something unknown.
    """
    camera_preset = get_camera_preset(opts.get("pigan_curriculum_type", DEFAULT_PRESET)).name
    config = data_config(opts["dataset_type"]) if "dataset_type" in opts else config_of_preset(camera_preset)
    return config if config.camera_preset == camera_preset else config_of_preset(camera_preset)
