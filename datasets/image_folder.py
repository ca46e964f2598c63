"""A plain folder of images, for training without masks: RGB squares of any size.

    images = ImageFolder(Path("data/CelebA"), keep=0.8)
    images.read(0, 64)      # uint8 (3, 64, 64)
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from datasets.masks.lists import natural_key
from utils.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
FEWEST = 2


class ImageFolder:
    """The images of a folder (not of those in it), in natural order of their names; read when they are asked for.

    Args:
        keep: side of the central square that is kept, as a share of the image's shorter side.
        resampling: `nearest` picks pixels, as pi-GAN's published training does; `bilinear` averages them.

    Raises:
        UserError: the folder cannot be read, or holds fewer than two images.
    """

    def __init__(self, root: Path, keep: float = 1.0, resampling: Literal["nearest", "bilinear"] = "bilinear") -> None:
        self.keep, self.resampling = keep, Image.Resampling[resampling.upper()]
        try:
            entries = sorted(root.iterdir(), key=lambda path: (natural_key(path), path.name))
        except OSError as error:
            raise UserError(f"`data_root` {root}: this folder cannot be read ({error.strerror}); give a folder of "
                            "images") from error
        self.paths = [path for path in entries
                      if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()]
        if len(self.paths) < FEWEST:
            inside = next((path for path in entries if path.is_dir()), None)
            hint = f" (it has folders: did you mean {inside}?)" if inside else ""
            raise UserError(f"`data_root` {root}: {len(self.paths)} images ({', '.join(SUFFIXES)}) in this folder"
                            f"{hint}; give a folder of at least {FEWEST}")

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, size: int, flip: bool = False) -> UInt8[Tensor, "3 size size"]:
        """One image's central square, resampled; with `flip` left and right change places.

        Raises:
            UserError: the file is no image.
        """
        path = self.paths[index]
        try:
            with Image.open(path) as file:
                if self.resampling == Image.Resampling.BILINEAR:
                    file.draft("RGB", (round(2 * size / self.keep),) * 2)  # a large JPEG need not be decoded whole
                side = max(1, round(min(file.size) * self.keep))
                left, top = ((length - side) // 2 for length in file.size)
                square = file.convert("RGB").resize((size, size), self.resampling,
                                                    box=(left, top, left + side, top + side))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path}: this image cannot be read ({error}); get it again, or take it out of the "
                            "folder") from error
        pixels = np.asarray(square)[:, ::-1] if flip else np.asarray(square)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
