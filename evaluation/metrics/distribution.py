"""Distances between sets of images: FID, KID, Inception score, precision and recall, all computed by torch-fidelity.

    scores = distribution_scores(generated, real, ("fid", "kid", "is", "prc"), inception_weights="weights-...pth")
    scores["fid"], scores["kid"], scores["kid_std"], scores["is"], scores["is_std"], scores["precision"], ...

Images are RGB bytes of any size; the network enlarges them to 299 pixels as TensorFlow did (bilinear, no
anti-aliasing), which the published numbers of the field depend on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from evaluation.metrics.registry import Evaluation, Metric
from evaluation.networks import find_inception, import_fidelity
from utils.errors import UserError

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
        read: number of an image -> the image.
    """

    def __init__(self, count: int, read: Callable[[int], Tensor]) -> None:
        self.count, self.read = count, read

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.read(index)


def distribution_scores(
    generated: Images, real: Images | None, metrics: Sequence[str], inception_weights: str | Path | None = None,
    *, extractor: str = INCEPTION, batch_size: int = 32, device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Scores by name; see the module's first lines.

    Args:
        generated, real: sets of images; the Inception score alone needs
            no real ones.
        metrics: some of fid, kid, is, prc.
        inception_weights: the file of `find_inception`; it is asked for when `extractor` is the default.
        extractor: another network, by the name it was given with `torch_fidelity.register_feature_extractor`.
        device: torch-fidelity computes on the CPU or on the current CUDA device, which is made this one meanwhile.

    Raises:
        UserError: torch-fidelity is not installed, the weights are missing or something else, or a set is too small.
        ValueError: an unknown metric.
    """
    if unknown := set(metrics) - set(_NAMES):
        raise ValueError(f"unknown metrics {sorted(unknown)}, choose from {', '.join(_NAMES)}")
    if real is None and set(metrics) - {"is"}:
        raise ValueError("only the Inception score works without real images")
    fidelity = import_fidelity()
    for name, images in (("generated", generated), ("real", real)):
        if images is not None and len(images) < SMALLEST_SET:
            raise UserError(f"`metrics` {','.join(metrics)}: {len(images)} {name} images are too few for "
                            f"statistics; give {SMALLEST_SET} or more, the field uses thousands")
    smallest = min(len(images) for images in (generated, real) if images is not None)
    path = find_inception(inception_weights) if extractor == INCEPTION else None
    device = torch.device(device)
    cuda = device.type == "cuda"
    with torch.cuda.device(device) if cuda else contextlib.nullcontext():
        values = fidelity.calculate_metrics(
            input1=generated, input2=real, **{_NAMES[name]: True for name in metrics}, feature_extractor=extractor,
            feature_extractor_weights_path=None if path is None else str(path),
            kid_subset_size=min(KID_SUBSET, smallest), rng_seed=SEED, batch_size=batch_size, cuda=cuda, cache=False,
            save_cpu_ram=True, verbose=False)
    return {_RESULTS[name]: float(value) for name, value in values.items() if name in _RESULTS}


def distribution(evaluation: Evaluation, names: Sequence[str]) -> dict[str, float]:
    """Of the views at the masks' own poses and the photographs of the same masks."""
    tests, networks = evaluation.tests, evaluation.networks
    generated = Images(len(tests), lambda index: tests.views("own", index).pixels[0])
    real = Images(len(tests), lambda index: tests.photographs()[index]["image"]) if set(names) - {"is"} else None
    return distribution_scores(generated, real, names, networks.files["inception"], device=networks.device)


METRIC = Metric(
    needs={"fid": ("inception", "photographs"), "kid": ("inception", "photographs"), "is": ("inception",),
           "prc": ("inception", "photographs")},
    compute=distribution,
    scores={
        "fid": ("FID to the true images", "lower"),
        "kid": ("KID to the true images", "lower"),
        "kid_std": ("KID, standard deviation over its subsets", ""),
        "is": ("Inception score", "higher"),
        "is_std": ("Inception score, standard deviation over ten splits", ""),
        "precision": ("precision (renders among the true images)", "higher"),
        "recall": ("recall (true images among the renders)", "higher"),
    })
