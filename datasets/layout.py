"""Names and units that those who write a data set and those who read it have in common, beyond masks and photographs.

    <data_root>/depth/ID.png     16 bits: distance from the camera along the pixel's ray in steps of DEPTH_UNIT, 0 for
                                 the background
    <data_root>/z.npz            `ids` (heads, views): which images show one head (latents.npz in older data sets)
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from utils.errors import UserError

DEPTH_FOLDER = "depth"
DEPTH_UNIT = 1 / 50_000  # world units per step
HEAD_FILES = ("z.npz", "latents.npz")


def images_of_heads(root: Path) -> Integer[np.ndarray, "heads views"] | None:
    """Numbers of the images that show each head; None where the data set does not say.

    Raises:
        UserError: the file cannot be read.
    """
    path = next((root / name for name in HEAD_FILES if (root / name).is_file()), None)
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["ids"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({error}); build the data set again, or remove the file to do "
                        "without other views of the heads") from error
