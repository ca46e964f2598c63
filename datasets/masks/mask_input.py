"""How a network reads a mask. It is stored with the model, so that the same mask is the same input everywhere.

    reader = MaskInput()                          # of the published face models; net.input is a model's own
    x = reader.read("90001.png")                  # (18, 224, 224) float
    labels = reader.labels("90001.png")           # (512, 512) uint8: what the file holds
    x = reader.read(labels)                       # the same input
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from configs.data_configs import DataConfig, config_of_opts
from configs.label_spaces import LABEL_SPACES, LabelSpace, order_table
from datasets.masks import oddities
from datasets.masks.files import Encoding, MaskWarning, NoFaceError, check_face, check_labels, read_mask
from datasets.masks.maps import MaskTransform, PreparedMask, prepare_mask, unfold
from datasets.masks.order import suspicious_order
from utils.errors import UserError, warn
from utils.images import colour_labels, resize_labels

Mask = str | Path | Integer[np.ndarray, "height width"] | Integer[Tensor, "height width"]


@dataclass(frozen=True)
class MaskInput:
    """Plain data that says how masks become network input; the defaults are those of the published face models."""

    label_space: str = "CelebAMask_HQ"         # of mask files: a key of LABEL_SPACES
    merged: bool = True                        # labels are merged to the coarser space, e.g. left and right eye
    use_contour: bool = True                   # contour and distance channels follow the one-hot labels
    label_order: str = "celebamask"            # how mask files number the parts: a name, or a list of parts
    transform: MaskTransform = field(default_factory=MaskTransform)

    def __post_init__(self) -> None:
        if self.label_space not in LABEL_SPACES:
            raise UserError(f"label space {self.label_space}: not known; choose one of {', '.join(LABEL_SPACES)}")
        order_table(self.label_order, LABEL_SPACES[self.label_space])

    @classmethod
    def of_data(cls, config: DataConfig) -> MaskInput:
        """The published way of reading the masks of a data set."""
        return cls(config.label_space.name, transform=MaskTransform(crop=config.crop))

    @classmethod
    def of_checkpoint(cls, contents: Mapping[str, Any]) -> MaskInput:
        """What a checkpoint holds under `input`, or, for official and older files, what follows from its `opts`.

        Raises:
            UserError: see `from_dict` and `from_opts`.
        """
        stored = contents.get("input")
        return cls.from_opts(contents["opts"]) if stored is None else cls.from_dict(stored)

    @classmethod
    def from_opts(cls, opts: Mapping[str, Any]) -> MaskInput:
        """From training options, which is all that official checkpoints and older native ones hold.

        The framing is that of official inference, see `MaskTransform.from_opts`.

        Raises:
            UserError: the options name unknown data, or contradict each other.
        """
        config = config_of_opts(opts)
        out = cls(config.label_space.name, bool(opts.get("use_merged_labels", True)),
                  bool(opts.get("use_contour", True)), transform=MaskTransform.from_opts(opts, config.crop))
        if opts.get("input_nc", out.channels) != out.channels:
            raise UserError(f"masks have {out.channels} channels here ({len(out.network_space)} labels"
                            f"{', contour and distance' * out.use_contour}), the network reads {opts['input_nc']}")
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaskInput:
        """From what `to_dict` gave, as a native checkpoint holds it under `input`.

        Raises:
            UserError: an entry is missing, unknown or out of range.
        """
        try:
            return cls(**{**values, "transform": MaskTransform(**values["transform"])})
        except (KeyError, TypeError) as error:
            raise UserError(f"its entry 'input' does not say how masks are read ({error}); save the checkpoint again"
                            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries of strings, numbers and booleans."""
        return asdict(self)

    @property
    def space(self) -> LabelSpace:
        """The labels of mask files."""
        return LABEL_SPACES[self.label_space]

    @property
    def network_space(self) -> LabelSpace:
        """The labels that the network tells apart."""
        merged = self.space.merged
        return merged if self.merged and merged is not None else self.space

    @property
    def channels(self) -> int:
        """One for each label of `network_space`, and two more with contour and distance."""
        return len(self.network_space) + 2 * self.use_contour

    def labels(self, mask: Mask, encoding: Encoding = "auto") -> UInt8[np.ndarray, "height width"]:
        """Labels of `space`, checked.

        Args:
            mask: a PNG file, or its label numbers as an array (counted as `label_order` says).
            encoding: of a file, see `datasets.masks.files.read_mask`.

        Raises:
            UserError: this is no mask of this label space, or it shows no face.

        Warns:
            MaskWarning: the mask can be read, but is not square, has a single part, or seems to be numbered otherwise.
        """
        if isinstance(mask, (str, Path)):
            labels, name = read_mask(mask, self.space, encoding, self.label_order), str(mask)
        else:
            labels, name = check_labels(np.asarray(mask), self.space, self.label_order), "mask"
        _warn(name, oddities.shape(labels, self.space))
        return labels

    def prepare(self, labels: UInt8[np.ndarray, "height width"], name: str | Path = "mask") -> PreparedMask:
        """The planes of the network's square, from what `labels` gave; `name` is for messages.

        Raises:
            UserError: the network would see no face in it.

        Warns:
            MaskWarning: the head is small, or lies far from its usual place.
        """
        planes = prepare_mask(labels, self.space, self.network_space is not self.space, self.transform,
                              self.use_contour)
        check_face(name, planes.label, self.network_space, where=" in the part that the network sees")
        oddity = oddities.framing(planes.label, self.network_space)
        if oddity and suspicious_order(labels, "celebamask", self.space) is None:  # else it says nothing of the framing
            _warn(name, oddity)
        return planes

    def tensor(self, planes: PreparedMask, device: str | torch.device = "cpu") -> Float[Tensor, "channels size size"]:
        """Network input of one prepared mask."""
        return unfold(planes, len(self.network_space), device)

    def read(self, mask: Mask, encoding: Encoding = "auto") -> Float[Tensor, "channels size size"]:
        """Network input of a mask, all the way; arguments, errors and warnings are those of `labels` and `prepare`."""
        name = mask if isinstance(mask, (str, Path)) else "mask"
        return self.tensor(self.prepare(self.labels(mask, encoding), name))

    def read_seen(self, labels: UInt8[np.ndarray, "size size"]) -> Float[Tensor, "channels input_size input_size"]:
        """Network input of what the model's own camera sees, from any side.

        A mask file shows more than that camera does, so the labels are framed as the centre of such a file first.

        Args:
            labels: of `network_space`, a square of any size.

        Raises:
            UserError: all of them are background.
        """
        if not labels.any():
            raise NoFaceError("the label map is empty (every pixel is background); leave a head in it")
        planes = prepare_mask(self.transform.whole(labels), self.network_space, False, self.transform, self.use_contour)
        return self.tensor(planes)

    def painted(self, planes: PreparedMask, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """A mask as the network sees it, in the colours of its labels, `size` pixels along each side."""
        return colour_labels(resize_labels(planes.label, size), self.network_space.palette)


def _warn(name: str | Path, oddity: str | None) -> None:
    if oddity:
        warn(f"{name}: {oddity}", MaskWarning, stacklevel=4)
