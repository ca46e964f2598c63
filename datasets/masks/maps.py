"""Labels of a mask -> the image that the encoder reads: one-hot labels, their contours, the distance to them.

    labels = read_mask("90001.png", space)                                   # (512, 512) uint8
    mask = prepare_mask(labels, space, merged=True, transform=MaskTransform(), use_contour=True)
    x = unfold(mask, label_nc=16)                                            # (18, 224, 224) float, on any device
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, Integer, UInt8
from PIL import Image
from torch import Tensor

from configs.label_spaces import LabelSpace
from utils.errors import UserError

CONTOUR_THICKNESS = 3  # pixels of a mask of MASK_SIZE
MASK_SIZE = 512        # of CelebAMask-HQ's masks, with which the published models were trained


@dataclass(frozen=True)
class MaskTransform:
    """How an image becomes the network's square. Sizes in pixels; every resize is nearest-neighbour for masks.

    With `crop`: resize to load_size, cut out the centre crop_size, resize to input_size; without: resize to input_size.
    """

    load_size: int = 320
    crop_size: int = 256
    input_size: int = 224
    crop: bool = True

    def __post_init__(self) -> None:
        for name, value in (("image_load_size", self.load_size), ("image_crop_size", self.crop_size),
                            ("src_input_size", self.input_size)):
            if not isinstance(value, int):
                raise UserError(f"`{name}` {value}: give a whole number of pixels")
        if self.input_size < 1:
            raise UserError(f"`src_input_size` {self.input_size}: give a positive number of pixels")
        if self.crop and not 1 <= self.crop_size <= self.load_size:
            raise UserError(f"`image_crop_size` {self.crop_size} does not fit `image_load_size` {self.load_size}: give "
                            "1 <= crop size <= load size")

    @classmethod
    def from_opts(cls, opts: Mapping[str, Any], crop: bool = True) -> "MaskTransform":
        """The framing in which a model with these training options is used.

        As in official inference the centre is cut out at 256 pixels, whatever the resolution of training was (320/256
        for a model that was trained at 640/512); the ratio of load and crop size, which says how much of a mask is
        seen, is that of training. Sizes that the options lack, or hold as -1, are the published ones.
        """
        load, cut = (opts.get(name, -1) for name in ("image_load_size", "image_crop_size"))
        load_size = round(cls.crop_size * load / cut) if load > 0 and cut > 0 else cls.load_size
        return cls(load_size, input_size=opts.get("src_input_size", cls.input_size), crop=crop)

    def at(self, size: int) -> "MaskTransform":
        """The same framing as a square of `size` pixels without the step in between, for display and targets."""
        load = round(size * self.load_size / self.crop_size) if self.crop else size
        return replace(self, load_size=load, crop_size=size, input_size=size)

    def apply(self, image: Integer[np.ndarray, "height width"]) -> Integer[np.ndarray, "size size"]:
        """Nearest-neighbour resize and crop of one channel."""
        rows, columns = (_source_pixels(length, self) for length in image.shape)
        return image[np.ix_(rows, columns)]

    def whole(self, seen: Integer[np.ndarray, "seen seen"], size: int = MASK_SIZE) -> Integer[np.ndarray, "size size"]:
        """A channel of `size` pixels from which `apply` cuts out `seen`, a square of any size: enlarged to its place,
        and continued around it by its outermost pixels (an edge there would be taken for an outline of a part).
        """
        cut = size * self.crop_size / self.load_size if self.crop else size
        places = (np.arange(size) + 0.5 - (size - cut) / 2) / cut * len(seen)
        nearest = np.floor(places).clip(0, len(seen) - 1).astype(int)
        return seen[np.ix_(nearest, nearest)]


@lru_cache(maxsize=64)
def _source_pixels(length: int, transform: MaskTransform) -> Int[np.ndarray, " size"]:
    """For each pixel along one side of the result, the pixel of a side of `length` that it is copied from.

    Pillow resizes a ramp of indices here, so that ties are rounded as in the images the released networks saw.
    """
    ramp = np.arange(length, dtype=np.int32)
    if transform.crop:
        start = round((transform.load_size - transform.crop_size) / 2)
        ramp = _resize_nearest(ramp, transform.load_size)[start:start + transform.crop_size]
    ramp = _resize_nearest(ramp, transform.input_size)
    ramp.setflags(write=False)  # it is shared by the cache
    return ramp


def _resize_nearest(ramp: Int[np.ndarray, " old"], size: int) -> Int[np.ndarray, " size"]:
    return np.array(Image.fromarray(ramp[None]).resize((size, 1), Image.Resampling.NEAREST))[0]


@dataclass(frozen=True)
class PreparedMask:
    """A mask in the network's square, as small as it goes: what loaders send and devices unfold.

    `contour` (0 or 255) and `distance` (0..255) are None for a network that does not read them.
    """

    label: UInt8[np.ndarray, "size size"]
    contour: UInt8[np.ndarray, "size size"] | None
    distance: UInt8[np.ndarray, "size size"] | None


def merge_labels(labels: UInt8[np.ndarray, "height width"], space: LabelSpace) -> UInt8[np.ndarray, "height width"]:
    """Labels of `space` -> labels of `space.merged`."""
    if space.merge is None:
        raise ValueError(f"label space {space.name} is merged already")
    return np.array(space.merge, np.uint8)[labels]


def contour_map(labels: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Outer outlines of every part but the background (label 0), white (255) on black."""
    image = np.zeros(labels.shape, np.uint8)
    for label in np.unique(labels[labels > 0]):
        part = (labels == label).astype(np.uint8)
        outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, outlines, -1, 255, CONTOUR_THICKNESS)
    return image


def distance_map(contour: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Distance of every pixel to the nearest outline, stretched to 0..255.

    Raises:
        ValueError: there is no outline to measure from (an empty mask).
    """
    if not contour.any():
        raise ValueError("a mask without outlines has no distance map")
    distance = cv2.distanceTransform(255 - contour, cv2.DIST_L2, 3)
    # to 0..1 first, then cut off: stretching straight to 255 differs by one in a few pixels
    return (cv2.normalize(distance, np.empty_like(distance), 0, 1, cv2.NORM_MINMAX) * 255).astype(np.uint8)


def prepare_mask(labels: UInt8[np.ndarray, "height width"], space: LabelSpace, merged: bool, transform: MaskTransform,
                 use_contour: bool) -> PreparedMask:
    """Merge and outline, then bring everything into the network's square.

    Outlines are drawn at MASK_SIZE, whatever the size of the file: they are as wide, beside the parts, as the published
    models know them, and not lost where a large mask is scaled down.

    Args:
        labels: labels of `space`, any size.
        merged: merge to `space.merged` first (`use_merged_labels`).
        use_contour: make the contour and distance channels.

    Raises:
        ValueError: contours are wanted of a mask that is background all over.
    """
    if merged:
        labels = merge_labels(labels, space)
    if not use_contour:
        return PreparedMask(transform.apply(labels), None, None)
    drawn = MaskTransform(input_size=MASK_SIZE, crop=False)
    contour = contour_map(labels if labels.shape == (MASK_SIZE, MASK_SIZE) else drawn.apply(labels))
    return PreparedMask(transform.apply(labels), transform.apply(contour), transform.apply(distance_map(contour)))


def to_network_input(label: UInt8[Tensor, "batch size size"], contour: UInt8[Tensor, "batch size size"] | None,
                     distance: UInt8[Tensor, "batch size size"] | None, label_nc: int,
                     ) -> Float[Tensor, "batch channels size size"]:
    """Unfold prepared masks on their device: [one-hot labels, contour / 255, distance / 255].

    The result is the same, bit for bit, on every device.

    Args:
        label: 0 .. label_nc - 1.
        contour, distance: both, or None for a network without contours.
        label_nc: number of one-hot channels.
    """
    numbers = torch.arange(label_nc, device=label.device, dtype=torch.uint8)
    channels = [(label[:, None] == numbers[None, :, None, None]).float()]
    # a tensor as divisor: dividing by a Python number multiplies by its rounded inverse on a GPU
    white = torch.full((), 255.0, device=label.device)
    channels += [extra[:, None].float() / white for extra in (contour, distance) if extra is not None]
    return torch.cat(channels, dim=1)


def unfold(mask: PreparedMask, label_nc: int, device: str | torch.device = "cpu"
           ) -> Float[Tensor, "channels size size"]:
    """`to_network_input` of one mask."""
    contour, distance = (None if plane is None else torch.from_numpy(plane)[None].to(device)
                         for plane in (mask.contour, mask.distance))
    return to_network_input(torch.from_numpy(mask.label)[None].to(device), contour, distance, label_nc)[0]
