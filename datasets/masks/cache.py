"""Prepared masks (labels, contours, distances in the network's square) kept on disk, so that each is made only once.

A file is named by a hash of everything it depends on: the mask file's bytes and how it is prepared. So an edited mask
never finds an old file, several runs share one folder, and processes that make the same file write the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import cv2
import numpy as np

from datasets.masks.maps import PreparedMask
from utils.errors import UserError
from utils.files import atomic_path

VERSION = 2  # of the preparation: raise it when `prepare_mask` gives other numbers


class MapCache:
    """PNG files of the stacked planes: about 15 KB a mask. A damaged file counts as absent; a full disk is no error.

    Args:
        folder: made when the first mask is kept.
        recipe: whatever else than the mask's bytes decides about the planes, e.g. `repr` of the settings.
        planes: 3 with contour and distance, 1 without.
    """

    def __init__(self, folder: Path, recipe: str, planes: int) -> None:
        self.folder, self.planes = folder, planes
        self._recipe = f"{VERSION}|{planes}|{recipe}".encode()

    def _path(self, mask_file: bytes) -> Path:
        name = hashlib.blake2b(mask_file, key=hashlib.sha256(self._recipe).digest(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.png"

    def get(self, mask_file: bytes, size: int) -> PreparedMask | None:
        """The planes made from a mask file of these bytes, or None if they are not there (or not whole)."""
        try:
            data = np.frombuffer(self._path(mask_file).read_bytes(), np.uint8)
        except OSError:
            return None
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
        if image is None or image.shape != (self.planes * size, size):
            return None
        planes = image.reshape(self.planes, size, size)
        return PreparedMask(planes[0], *(planes[1:] if self.planes == 3 else (None, None)))

    def put(self, mask_file: bytes, mask: PreparedMask) -> None:
        """Keep the planes; where that fails (no space, no permission) they will simply be made again."""
        planes = [plane for plane in (mask.label, mask.contour, mask.distance) if plane is not None]
        data = cv2.imencode(".png", np.concatenate(planes))[1].tobytes()
        with contextlib.suppress(UserError), atomic_path(self._path(mask_file)) as temporary:
            temporary.write_bytes(data)
