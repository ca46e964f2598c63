"""Distances between sets of images: FID, KID, Inception score, precision and recall, all computed by torch-fidelity.

    scores = distribution_scores(generated, real, ("fid", "kid", "is", "prc"), inception_weights="weights-...pth")
    scores["fid"], scores["kid"], scores["kid_std"], scores["is"], scores["is_std"], scores["precision"], ...

Images are RGB bytes of any size; the network enlarges them to 299 pixels as TensorFlow did (bilinear, no
anti-aliasing), which the published numbers of the field depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.errors import UserError

DISTRIBUTION_METRICS = ("fid", "kid", "is", "prc")
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
INCEPTION = "inception-v3-compat"     # torch-fidelity's name of the network that FID is defined with
KID_SUBSET = 1000                     # images in each of KID's 100 subsets, fewer if a set is smaller
SEED = 2020                           # of the subsets and of the Inception score's splits
SMALLEST_SET = 10                     # images: the Inception score makes ten splits, a covariance needs more than one

_NAMES = {"fid": "fid", "kid": "kid", "is": "isc", "prc": "prc"}
_RESULTS = {
    "frechet_inception_distance": "fid", "kernel_inception_distance_mean": "kid",
    "kernel_inception_distance_std": "kid_std", "inception_score_mean": "is", "inception_score_std": "is_std",
    "precision": "precision", "recall": "recall",
}


class Images(Dataset[Tensor]):
    """A list of images that are read when they are asked for, as torch-fidelity takes them: uint8 (3, height, width).

    Args:
        count: how many there are.
        read: number of a image -> the image.
    """

    def __init__(self, count: int, read: Callable[[int], Tensor]) -> None:
        self.count, self.read = count, read

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.read(index)


def distribution_scores(
    generated: Dataset, real: Dataset | None, metrics: Sequence[str], inception_weights: str | Path | None = None,
    *, extractor: str = INCEPTION, batch_size: int = 32, cuda: bool = False,
) -> dict[str, float]:
    """Scores by name; see the module's first lines.

    Args:
        generated, real: sets of uint8 images (3, height, width), such as `Images`; the Inception score alone needs
            no real ones.
        metrics: some of DISTRIBUTION_METRICS.
        inception_weights: the file of `find_inception`; it is asked for when `extractor` is the default.
        extractor: another network, by the name it was given with `torch_fidelity.register_feature_extractor`.

    Raises:
        UserError: torch-fidelity is not installed, the weights are missing or something else, or a set is too small.
        ValueError: an unknown metric.
    """
    if unknown := set(metrics) - set(_NAMES):
        raise ValueError(f"unknown metrics {sorted(unknown)}, choose from {DISTRIBUTION_METRICS}")
    if real is None and set(metrics) - {"is"}:
        raise ValueError("only the Inception score works without real images")
    fidelity = _import_fidelity()
    for name, images in (("generated", generated), ("real", real)):
        if images is not None and len(images) < SMALLEST_SET:
            raise UserError(f"`metrics` {','.join(metrics)}: {len(images)} {name} images are too few for "
                            f"statistics; give {SMALLEST_SET} or more, the field uses thousands")
    smallest = min(len(images) for images in (generated, real) if images is not None)
    path = find_inception(inception_weights) if extractor == INCEPTION else None
    try:
        values = fidelity.calculate_metrics(
            input1=generated, input2=real, **{_NAMES[name]: True for name in metrics}, feature_extractor=extractor,
            feature_extractor_weights_path=None if path is None else str(path),
            kid_subset_size=min(KID_SUBSET, smallest), rng_seed=SEED, batch_size=batch_size, cuda=cuda, cache=False,
            save_cpu_ram=True, verbose=False)
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise UserError(f"`inception_weights` {path}: these are not the weights of the Inception network that FID is "
                        f"defined with; get {INCEPTION_URL}") from error
    return {_RESULTS[name]: float(value) for name, value in values.items() if name in _RESULTS}


def find_inception(weights: str | Path | None) -> Path:
    """The Inception weights' file, proved to hold nothing but tensors.

    Raises:
        UserError: it is not given or not there (the message says what to get), or it is something else.
    """
    if weights is None or not Path(weights).is_file():
        was = "needs a file" if weights is None else f"{weights}: there is no such file"
        raise UserError(f"`inception_weights` {was}; download {INCEPTION_URL} (about 91 MB) and name it with "
                        f"`inception_weights` pretrained_models/{INCEPTION_FILE}, or leave fid, kid, is and prc out of "
                        "`metrics`")
    try:  # torch-fidelity itself would run code that a file brings along
        torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"`inception_weights` {weights}: this is not a file of weights ({type(error).__name__}); get "
                        f"{INCEPTION_URL} again") from error
    return Path(weights)


def _import_fidelity():
    try:
        import torch_fidelity
    except ModuleNotFoundError as error:
        raise UserError("`metrics` fid,kid,is,prc need torch-fidelity: pip install torch-fidelity, or leave them out"
                        ) from error
    return torch_fidelity
