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

from datasets.photographs import SUFFIXES, list_photographs, open_photograph
from utils.errors import UserError

FEWEST = 2


class ImageFolder:
    """The images of a folder and of those in it, in the order of their paths; read when they are asked for.

    Args:
        keep: side of the central square that is kept, as a share of the image's shorter side.
        resampling: `nearest` picks pixels, as pi-GAN's published training does; `bilinear` averages them.

    Raises:
        UserError: the folder cannot be read, or holds fewer than two images.
    """

    def __init__(self, root: Path, keep: float = 1.0, resampling: Literal["nearest", "bilinear"] = "bilinear") -> None:
        self.keep, self.resampling = keep, Image.Resampling[resampling.upper()]
        try:
            self.paths = list_photographs(root)
        except OSError as error:
            raise UserError(f"`data_root` {error.filename or root}: this folder cannot be read ({error.strerror}); "
                            "give a folder of images") from error
        if len(self.paths) < FEWEST:
            raise UserError(f"`data_root` {root}: {len(self.paths)} images ({', '.join(SUFFIXES)}) in this folder and "
                            f"those inside; give a folder of at least {FEWEST}")

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, size: int, flip: bool = False) -> UInt8[Tensor, "3 size size"]:
        """One image's central square, upright, resampled; with `flip` left and right change places.

        Raises:
            UserError: the file is no image.
        """
        least = round(2 * size / self.keep) if self.resampling == Image.Resampling.BILINEAR else None
        image = open_photograph(self.paths[index], least)
        side = max(1, round(min(image.size) * self.keep))
        left, top = ((length - side) // 2 for length in image.size)
        square = np.asarray(image.resize((size, size), self.resampling, box=(left, top, left + side, top + side)))
        return torch.from_numpy((square[:, ::-1] if flip else square).transpose(2, 0, 1).copy())
