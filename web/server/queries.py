"""What requests say (numbers of their address, the pieces of their body), and what answers are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from models.pigan.cameras import FRONTAL, Camera
from models.pigan.codes import Codes
from utils.errors import UserError
from web.volume.viewing import Viewing

Frame = tuple[Mapping[str, Any], bytes]  # what it says, and bytes that belong to it
Send = Callable[[Frame], None]

LARGEST_CODE = 1e4  # of FiLM codes: those of heads are below 10


def number(query: Mapping[str, str], name: str, low: int, high: int = 10**6, default: int | None = None) -> int:
    """A whole number of an address.

    Raises:
        UserError: it is missing and there is no default, or it is none, or out of range.
    """
    text = query.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise UserError(f"{name} {text[:40]!r}: give a whole number from {low} to {high}")
    return int(text)


def camera_of(query: Mapping[str, str], viewing: Viewing) -> Camera:
    """The camera of a viewer's pose, whose angles count from the front.

    Raises:
        UserError: an angle is no number, or out of range.
    """
    values = []
    for name, default, (low, high) in (("yaw", 0.0, viewing.yaw_range), ("pitch", 0.0, viewing.pitch_range),
                                       ("fov", viewing.fov, viewing.fov_range)):
        text = query.get(name, str(default))
        try:
            values.append(float(text))
        except ValueError:
            raise UserError(f"{name} {text[:40]!r}: give a number") from None
        if not low - 1e-3 <= values[-1] <= high + 1e-3:
            raise UserError(f"{name} {text[:40]}: give a number from {low:.3f} to {high:.3f}")
    yaw, pitch, fov = values
    return Camera(FRONTAL + yaw, FRONTAL + pitch, fov)


class Body:
    """The bytes of a request, taken piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int, what: str) -> bytes:
        """The next bytes.

        Raises:
            UserError: there are fewer.
        """
        piece = self._data[self._at:self._at + count]
        if len(piece) != count:
            raise UserError(f"{len(piece)} bytes for {what}: send {count}")
        self._at += count
        return piece

    def labels(self, height: int, width: int, labels: int, what: str) -> UInt8[np.ndarray, "height width"]:
        """A mask, one byte a pixel.

        Raises:
            UserError: bytes are missing, or a number is no label.
        """
        data = self.take(height * width, f"{what} of {width} x {height} pixels, one a pixel")
        values = np.frombuffer(data, np.uint8).reshape(height, width)
        if values.max() >= labels:
            raise UserError(f"label {values.max()}: labels are 0 to {labels - 1}")
        return values

    def codes(self, count: int, what: str) -> Codes:
        """Frequencies and phase shifts, `count` each, as single precision numbers, little endian.

        Raises:
            UserError: bytes are missing, or numbers are not those of a head.
        """
        values = np.frombuffer(self.take(8 * count, what), "<f4")
        if not (np.abs(values) <= LARGEST_CODE).all():  # what is no number is not, either
            raise UserError(f"the {what} hold numbers that no head has")
        return Codes(*torch.from_numpy(values.astype(np.float32)).view(2, 1, count))

    def end(self) -> None:
        """
        Raises:
            UserError: there is more.
        """
        if self._at != len(self._data):
            raise UserError(f"{len(self._data) - self._at} bytes more than the address says")


def codes_bytes(codes: Codes) -> bytes:
    """Codes of one head as `Body.codes` reads them."""
    return b"".join(values.detach().cpu().numpy().astype("<f4").tobytes()
                    for values in (codes.frequencies, codes.phase_shifts))
