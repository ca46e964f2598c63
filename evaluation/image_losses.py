"""How far the images of one folder are from those of the same names in another.

    pairs = find_pairs(Path("results"), Path("photographs"))
    losses = {"l2": l2, "msssim": ms_ssim}
    scores = measure_pairs(pairs, losses, threads=2)      # {"l2": {"90001.png": 0.012, ...}, "msssim": ...}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from datasets.photographs import list_photographs, open_photograph
from utils.errors import UserError
from utils.files import here
from utils.images import to_tensor
from utils.parallel import prefetch_map
from utils.progress import progress_bar

SIDE = 256      # pixels to which images are brought, as in pixel2style2pixel

Loss = Callable[[Float[Tensor, "3 side side"], Float[Tensor, "3 side side"]], float]


def l2(image: Float[Tensor, "3 height width"], target: Float[Tensor, "3 height width"]) -> float:
    """Mean squared difference of values in [-1, 1]."""
    return (image - target).double().square().mean().item()


def find_pairs(results: Path, truth: Path) -> list[tuple[Path, Path]]:
    """Images of the folder `results` with those of the same name (whatever the suffix) in `truth`, sorted by name.

    Raises:
        UserError: a folder cannot be read or has no image, or an image of `results` has no partner.
    """
    found = []
    for setting, folder in (("data_path", results), ("gt_path", truth)):
        if not folder.is_dir():
            raise UserError(f"`{setting}` {folder}: there is no such folder{here(folder)}; give a folder of images")
        try:
            paths = list_photographs(folder)
        except OSError as error:
            raise UserError(f"`{setting}` {error.filename or folder}: this folder cannot be read ({error.strerror}); "
                            "change its permissions") from error
        if not paths:
            raise UserError(f"`{setting}` {folder}: no images in this folder, nor in those inside")
        found.append(paths)
    by_name: dict[str, Path] = {}
    for path in found[1]:
        other = by_name.setdefault(path.stem, path)
        if other is not path:
            raise UserError(f"`gt_path` {truth}: {other.relative_to(truth)} and {path.relative_to(truth)} have the "
                            "same name; keep one")
    missing = [path for path in found[0] if path.stem not in by_name]
    if missing:
        more = f" (and {len(missing) - 1} more have none)" if len(missing) > 1 else ""
        raise UserError(f"`data_path` {missing[0]}: there is no image of this name in `gt_path` {truth}{more}; names "
                        "must agree but for their suffix")
    return sorted(((path, by_name[path.stem]) for path in found[0]), key=lambda pair: pair[0].name)


def read_square(path: Path) -> Float[Tensor, "3 side side"]:
    """A photograph at SIDE x SIDE pixels, RGB in [-1, 1].

    Raises:
        UserError: it cannot be read.
    """
    image = open_photograph(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return to_tensor(np.array(image))


def measure_pairs(pairs: Sequence[tuple[Path, Path]], losses: Mapping[str, Loss], threads: int = 1,
                  ) -> dict[str, dict[str, float]]:
    """Name of a loss -> name of an image -> its loss.

    Raises:
        UserError: an image cannot be read.
    """
    def read(pair: tuple[Path, Path]) -> tuple[Tensor, Tensor]:
        return read_square(pair[0]), read_square(pair[1])

    scores: dict[str, dict[str, float]] = {name: {} for name in losses}
    images = prefetch_map(read, pairs, threads, 2 * threads)
    for (path, _), (image, target) in zip(pairs, progress_bar(images, "pairs", len(pairs), "pair"), strict=True):
        for name, loss in losses.items():
            scores[name][path.name] = loss(image, target)
    return scores


def mean_and_spread(scores: Mapping[str, float]) -> tuple[float, float]:
    """Mean and standard deviation (of the population) of some images' losses."""
    values = list(scores.values())
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
