"""A reference's colours for any number of masks: what inference does with `style_image`.

    recolour = Recolour.of_picture(net, config, "photo.jpg", mask=None, parts="hair,skin", layers=(8,))
    codes = recolour(item, net.encode(...))         # of a mask of the data set
    recolour.report[item.name].after["hair"]        # of 255
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from configs.data_configs import DataConfig
from datasets.inference_set import MaskItem
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.sem2nerf import Sem2NeRF
from photos.colours import FEWEST_PIXELS, PartColours
from photos.reference import known_pose, mask_beside, read_reference
from photos.style_fit import UNSURE, FittedStyle, fit_colours, named_parts
from utils.errors import UserError

SIZE, SAMPLES = 128, 12     # of the view in which parts are found
LEAST_AGREED = 0.2          # of a part: with less, nothing is gained from asking two


@dataclass
class Recolour:
    """Fits the codes of one head after another to one reference."""

    net: Sem2NeRF
    config: DataConfig
    reference: PartColours
    parts: tuple[str, ...] | None
    layers: Sequence[int]
    source: str = "the reference"       # the picture's name
    report: dict[str, FittedStyle] = field(default_factory=dict)     # by the masks' names

    @classmethod
    def of_picture(cls, net: Sem2NeRF, config: DataConfig, photo: str | Path, mask: str | Path | None,
                   parts: str | None, layers: Sequence[int]) -> Recolour:
        """
        Args:
            mask: of the picture; None: the one that lies beside it, see `mask_beside`.
            parts: names, separated by commas; None: all that the picture shows.

        Raises:
            UserError: a file is missing or cannot be read, or a part is not known.
        """
        space = net.input.network_space
        if not Path(photo).is_file():
            raise UserError(f"`style_image` {photo}: there is no such file; give a picture")
        names = None if parts is None else named_parts(parts, space)
        found = mask_beside(photo) if mask is None else Path(mask)
        if found is None:
            raise UserError(f"`style_image` {photo}: there is no mask of this picture in mask/ beside its folder; "
                            "name it with `style_mask`, or make one with scripts/prepare_photos.py")
        picture, labels = read_reference(photo, found, net.input)
        return cls(net, config, PartColours.of(picture, labels, space), names, layers, str(photo))

    def __call__(self, item: MaskItem, codes: Codes) -> Codes:
        """The head's codes in the reference's colours.

        Raises:
            UserError: the mask and the reference have none of the parts in common.
        """
        camera, labels = self._view(item, codes)
        fitted = fit_colours(self.net, codes, camera, labels, self.reference, self.parts, self.layers)
        self.report[item.name] = fitted
        return fitted.codes

    def _view(self, item: MaskItem, codes: Codes) -> tuple[Camera, UInt8[np.ndarray, "size size"]]:
        """A camera at the mask's own pose (in front, where that is not known), and what it sees of the head at each
        pixel: the mask's label, where the model's semantic head agrees, if it has one and the pose is known. Where the
        pose is not known, what the semantic head says."""
        pose = item.pose or known_pose(item.path, self.config)
        camera = Camera(*pose or ())
        rows = np.arange(SIZE) * len(item.planes.label) // SIZE
        drawn = item.planes.label[np.ix_(rows, rows)]
        if self.net.semantic_head is None:
            return camera, drawn
        labels = self.net.scene_of(codes).render(camera, SIZE, SAMPLES, sampler="grid", labels=True).labels
        assert labels is not None, "rendered with labels"
        return camera, labels.numpy() if pose is None else agreed(drawn, labels.numpy())

    @property
    def words(self) -> str:
        """How near the colours of all masks came: '... skin 24 -> 2, hair 10 -> 3'."""
        sums: dict[str, list[tuple[float, float]]] = {}
        for fitted in self.report.values():
            for name, before in fitted.before.items():
                sums.setdefault(name, []).append((before, fitted.after[name]))
        means = {name: np.mean(values, 0) for name, values in sums.items()}
        return f"colours as in {self.source} (mean difference of 255 before -> after): " + ", ".join(
            f"{name} {before:.0f} -> {after:.0f}" for name, (before, after) in means.items())


def agreed(one: UInt8[np.ndarray, "size size"], other: UInt8[np.ndarray, "size size"]
           ) -> UInt8[np.ndarray, "size size"]:
    """Where two label maps say the same, their label, elsewhere UNSURE; but a part on whose place they hardly agree is
    where the second one has it."""
    both = np.where(one == other, other, UNSURE).astype(np.uint8)
    for label in np.unique(other):
        if (both == label).sum() < max(FEWEST_PIXELS, LEAST_AGREED * (other == label).sum()):
            both[other == label] = label
    return both
