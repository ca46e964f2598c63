"""What a model is made of: the one place where options become architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from configs.data_configs import CameraPreset, config_of_opts, data_config, get_camera_preset
from datasets.masks.mask_input import MaskInput
from datasets.masks.order import read_label_order
from models.encoders.swin import SWIN_SIZES
from models.pigan.siren import FILM_LAYERS
from utils.errors import UserError

NOT_OF_TRAINING = ("image_load_size", "image_crop_size", "label_order")  # these say how masks are read here and now
FRAMING_OPTIONS = {"image_load_size": "load_size", "image_crop_size": "crop_size", "src_input_size": "input_size"}


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of encoder and decoder; defaults are the published model's for faces."""

    encoder_type: str = "SwinEncoder"  # a key of SWIN_SIZES
    input: MaskInput = field(default_factory=MaskInput)  # how masks are read: the encoder's channels and pixels
    width: int = 256  # hidden units of the field
    z_dim: int = 256  # input of the mapping network
    camera_preset: str = "CelebAMask_HQ"  # camera and compositing constants
    encoder_predicts_z: bool = False  # the encoder gives one z, the mapping network makes the codes
    start_from_latent_avg: bool = True  # the encoder predicts an offset from the decoder's mean code

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any]) -> ModelConfig:
        """Of a checkpoint: its `opts`, and its `input` if it has one (official files and older ones have not).

        Raises:
            UserError: see `from_opts`; or `input` is incomplete.
        """
        return cls.from_opts(contents["opts"], MaskInput.of_checkpoint(contents))

    @classmethod
    def from_opts(cls, opts: Mapping[str, Any], mask_input: MaskInput | None = None) -> ModelConfig:
        """From training options, as argparse gives them or as a checkpoint holds them under `opts`.

        Args:
            mask_input: how masks are read; None: as the options say.

        Raises:
            UserError: an option names data, an encoder or a camera preset that does not exist, or a size that is none;
                or the options contradict each other.
        """
        default = cls()

        def size(name: str, otherwise: int) -> int:
            value = opts.get(name, otherwise)
            if not isinstance(value, (int, float)) or value < 1 or value != int(value):
                raise UserError(f"`{name}` {value}: give a whole number from 1 on")
            return int(value)

        config = cls(
            encoder_type=opts.get("encoder_type", default.encoder_type), input=mask_input or MaskInput.from_opts(opts),
            width=size("pigan_hidden_dim", default.width), z_dim=size("pigan_zdim", default.z_dim),
            camera_preset=get_camera_preset(opts.get("pigan_curriculum_type", default.camera_preset)).name,
            encoder_predicts_z=bool(opts.get("encoder_not_zplus", default.encoder_predicts_z)),
            start_from_latent_avg=bool(opts.get("start_from_latent_avg", default.start_from_latent_avg)),
        )
        if config.encoder_type not in SWIN_SIZES:
            raise UserError(f"`encoder_type` {config.encoder_type}: not known; choose one of {', '.join(SWIN_SIZES)}")
        unit = SWIN_SIZES[config.encoder_type].total_stride
        if config.input_size < unit or config.input_size % unit:
            raise UserError(f"`src_input_size` {config.input_size}: {config.encoder_type} needs a multiple of {unit}; "
                            "the published models use 224")
        return config

    def to_opts(self) -> dict[str, Any]:
        """Training options that say the same; sizes of images and of the crop are the training's own."""
        return {"encoder_type": self.encoder_type, "pigan_hidden_dim": self.width, "pigan_zdim": self.z_dim,
                "pigan_curriculum_type": self.camera_preset, "encoder_not_zplus": self.encoder_predicts_z,
                "start_from_latent_avg": self.start_from_latent_avg, "use_merged_labels": self.input.merged,
                "use_contour": self.input.use_contour, "src_input_size": self.input_size,
                "label_order": self.input.label_order}

    @property
    def input_nc(self) -> int:
        """Channels of the network input."""
        return self.input.channels

    @property
    def input_size(self) -> int:
        """Pixels along each side of the network input."""
        return self.input.transform.input_size

    @property
    def code_dim(self) -> int:
        """Outputs of the encoder: one z, or frequencies and phase shifts of all FiLM layers."""
        return self.z_dim if self.encoder_predicts_z else 2 * FILM_LAYERS * self.width

    @property
    def camera(self) -> CameraPreset:
        return get_camera_preset(self.camera_preset)


def with_options(contents: Mapping[str, Any], answers: Mapping[str, Any], source: str | Path) -> dict[str, Any]:
    """A checkpoint's contents as if it had been trained with some other options, from which the model can be built.

    Args:
        contents: as `models.checkpoints.read_checkpoint` gives them.
        answers: any of dataset_type, pigan_curriculum_type, use_merged_labels, encoder_not_zplus, src_input_size,
            image_load_size, image_crop_size and label_order.
        source: of the contents, for messages.

    Returns:
        The contents with these answers in `opts` and `input`; `opts["dataset_type"]` is always there.

    Raises:
        UserError: the answers contradict the checkpoint, or its own options do.
    """
    trained = {name: value for name, value in answers.items() if name not in NOT_OF_TRAINING}
    asked = {**contents, "opts": {**contents["opts"], **trained}}
    tables = {name for name in ("dataset_type", "pigan_curriculum_type", "use_merged_labels") if name in answers}
    try:
        config, reader = config_of_opts(asked["opts"]), MaskInput.of_checkpoint(asked)
        channels = reader.channels
        if tables:
            reader = replace(reader, label_space=config.label_space.name,
                             merged=answers.get("use_merged_labels", reader.merged),
                             transform=replace(reader.transform, crop=config.crop))
        if reader.channels != channels:
            raise UserError(f"masks would have {reader.channels} channels, the network reads {channels}")
    except UserError as error:
        if not tables:
            raise UserError(f"{source}: its own options do not work here: {error}") from error
        names = " and ".join(f"`{name}`" for name in sorted(tables))
        raise UserError(f"{error}; leave out {names} to take this from the checkpoint") from error
    if data_config(answers.get("dataset_type", config.name)) is not config:
        raise UserError(f"`dataset_type` {answers['dataset_type']} does not go with the camera preset "
                        f"{config.camera_preset}; leave it out, or give a checkpoint for this data set")
    sizes = {field: answers[name] for name, field in FRAMING_OPTIONS.items() if name in answers}
    label_order = read_label_order(answers.get("label_order", reader.label_order), reader.space)
    reader = replace(reader, label_order=label_order, transform=replace(reader.transform, **sizes))
    return {**asked, "opts": {**asked["opts"], "dataset_type": config.name}, "input": reader.to_dict()}
