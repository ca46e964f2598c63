"""A plain folder of images, for training without masks: RGB squares of any size.

    images = ImageFolder(Path("data/CelebA"), keep=0.8)
    images.read(0, 64)      # uint8 (3, 64, 64)
"""

from __future__ import annotations

from pathlib import Path

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

    Raises:
        UserError: the folder cannot be read, or holds fewer than two images.
    """

    def __init__(self, root: Path, keep: float = 1.0) -> None:
        self.keep = keep
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

    def read(self, index: int, size: int) -> UInt8[Tensor, "3 size size"]:
        """One image's central square, upright, resampled.

        Raises:
            UserError: the file is no image.
        """
        image = open_photograph(self.paths[index], least=round(2 * size / self.keep))
        side = max(1, round(min(image.size) * self.keep))
        left, top = ((length - side) // 2 for length in image.size)
        square = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        return torch.from_numpy(np.asarray(square).transpose(2, 0, 1).copy())
