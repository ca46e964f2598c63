"""Labels and network pictures -> pictures to look at, and back. Network pictures are floats in [-1, 1]."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from configs.label_spaces import Colour
from utils.errors import UserError


def colour_labels(labels: UInt8[np.ndarray, "height width"], palette: tuple[Colour, ...],
                  ) -> UInt8[np.ndarray, "height width 3"]:
    """Paint every label in its colour; `palette` is that of the labels' own space (merged or not)."""
    return np.array(palette, np.uint8)[labels]


def overlay(picture: UInt8[np.ndarray, "height width 3"], mask: UInt8[np.ndarray, "height width 3"], weight: float,
            ) -> UInt8[np.ndarray, "height width 3"]:
    """The coloured mask laid over a picture of the same size: (1 - weight) picture + weight mask, rounded.

    Raises:
        UserError: the weight is not in 0..1.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"--mask_overlay_weight {weight}: give a weight from 0 (picture only) to 1 (mask only)")
    return cv2.addWeighted(picture, 1 - weight, mask, weight, 0)


def to_uint8(image: Float[Tensor, "channels height width"]) -> UInt8[np.ndarray, "height width channels"]:
    """[-1, 1] -> 0..255, rounded to the nearest; values outside are cut off.

    The range is fixed, never the picture's own minimum and maximum, so that colours compare between pictures.
    """
    scaled = (image.detach().float().clamp(-1, 1) + 1) / 2 * 255
    return (scaled + 0.5).byte().permute(1, 2, 0).contiguous().cpu().numpy()


def to_tensor(image: UInt8[np.ndarray, "height width channels"]) -> Float[Tensor, "channels height width"]:
    """0..255 -> [-1, 1]; `to_uint8` gives the same bytes back."""
    return (torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
