"""Faces aligned as in CelebA-HQ: a square around eyes and mouth, turned upright, its missing border filled.

    crop = align(image, landmarks, size=512)         # PIL image, five points -> (512, 512, 3) uint8

The formula is that of CelebA-HQ (Karras et al., "Progressive growing of GANs", ICLR 2018, appendix C) with the centres
of eyes and the corners of the mouth as its points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

EYE_REACH, MOUTH_REACH, DOWN = 2.0, 1.8, 0.1     # of the formula
LANDMARKS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")     # the person's; right is left in an image
Landmarks = Float[np.ndarray, "5 2"]             # x, y in pixels, in the order of LANDMARKS


@dataclass(frozen=True)
class Square:
    """A square of an image: its centre, and half of its upper side, as vectors of (x, y) pixels."""

    centre: Float[np.ndarray, "2"]
    right: Float[np.ndarray, "2"]

    @property
    def corners(self) -> Float[np.ndarray, "4 2"]:
        """Upper left, lower left, lower right, upper right."""
        down = np.array([-self.right[1], self.right[0]])
        return self.centre + np.array([-self.right - down, -self.right + down, self.right + down, self.right - down])

    @property
    def side(self) -> float:
        """Pixels."""
        return 2 * float(np.hypot(*self.right))


def face_square(landmarks: Landmarks) -> Square:
    """The square of CelebA-HQ.

    With c0 and c1 the middles of the eyes and of the mouth's corners, it is as wide as the greater of 2 |eye to eye|
    and 1.8 |c0 to c1| to either side, lies along the sum of eye to eye and of c0 to c1 turned by 90 degrees, and its
    centre is c0 + 0.1 (c1 - c0).
    """
    right_eye, left_eye, _, right_mouth, left_mouth = landmarks.astype(np.float64)
    eyes, across = (right_eye + left_eye) / 2, left_eye - right_eye
    down = (right_mouth + left_mouth) / 2 - eyes
    axis = across - np.array([-down[1], down[0]])
    axis *= max(np.hypot(*across) * EYE_REACH, np.hypot(*down) * MOUTH_REACH) / np.hypot(*axis)
    return Square(eyes + down * DOWN, axis)


def align(image: Image.Image, landmarks: Landmarks, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Cut out the face's square, upright. Beyond the image its border is mirrored and blurred towards its median."""
    square = face_square(landmarks)
    shrink = int(square.side / size * 0.5)
    if shrink > 1:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.LANCZOS)
        square = Square(square.centre / shrink, square.right / shrink)
    pixels, square = _with_border(np.asarray(image), square)
    corners = square.corners + 0.5
    return np.array(Image.fromarray(pixels).transform(
        (size, size), Image.Transform.QUAD, tuple(corners.flatten()), Image.Resampling.BILINEAR))


def _with_border(pixels: UInt8[np.ndarray, "height width 3"], square: Square
                 ) -> tuple[UInt8[np.ndarray, "padded_height padded_width 3"], Square]:
    """The image around the square, continued beyond its edges where the square reaches over them."""
    height, width = pixels.shape[:2]
    rim = max(round(square.side * 0.1), 3)
    low, high = np.floor(square.corners.min(0)).astype(int) - rim, np.ceil(square.corners.max(0)).astype(int) + rim
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, (width, height))
    pixels = pixels[top:bottom, left:right]
    square = Square(square.centre - (left, top), square.right)
    pad = np.maximum([-low[0], -low[1], high[0] - width, high[1] - height], 0)     # left, top, right, bottom
    if pad.max() <= rim:
        return pixels, square
    pad = np.maximum(pad, round(square.side * 0.3))
    grown = np.pad(pixels.astype(np.float64), ((pad[1], pad[3]), (pad[0], pad[2]), (0, 0)), "reflect")
    rows, columns = np.ogrid[:grown.shape[0], :grown.shape[1]]
    outside = np.maximum(1 - np.minimum(columns / pad[0], (grown.shape[1] - 1 - columns) / pad[2]),
                         1 - np.minimum(rows / pad[1], (grown.shape[0] - 1 - rows) / pad[3]))[..., None]
    blurred = cv2.GaussianBlur(grown, (0, 0), square.side * 0.02, borderType=cv2.BORDER_REFLECT)
    grown += (blurred - grown) * np.clip(3 * outside + 1, 0, 1)
    grown += (np.median(grown, axis=(0, 1)) - grown) * np.clip(outside, 0, 1)
    return np.rint(grown).clip(0, 255).astype(np.uint8), Square(square.centre + pad[:2], square.right)
