"""FID, KID, Inception score, precision and recall: closed forms on random features, and what is said without weights.

A small network stands in for Inception: its features are the images' mean colours, its logits the same times 20.
"""

import math

import numpy as np
import pytest
import torch

from evaluation.metrics.distribution import Images, distribution_scores
from evaluation.networks import INCEPTION_FILE, find_inception
from utils.errors import UserError

torch_fidelity = pytest.importorskip("torch_fidelity")
from torch_fidelity.feature_extractor_base import FeatureExtractorBase  # noqa: E402


class MeanColours(FeatureExtractorBase):
    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list():
        return ("colours", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "colours"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, images):
        means = images.double().mean((2, 3)) / 255
        features = {"colours": means.float(), "logits": (20 * means).float()}
        return tuple(features[name] for name in self.features_list)


@pytest.fixture(scope="module")
def extractor():
    name = "mean-colours"
    if name not in torch_fidelity.registry.FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(name, MeanColours)
    return name


def flat_images(colours: np.ndarray) -> Images:
    """One-coloured images (2 x 2 pixels) for colours (count, 3), uint8."""
    tensors = torch.from_numpy(colours)[:, :, None, None].expand(-1, -1, 2, 2)
    return Images(len(colours), lambda index: tensors[index])


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 200, (60, 3)).astype(np.uint8)
    b = (rng.integers(40, 256, (50, 3)) * np.array([1.0, 0.6, 0.9])).astype(np.uint8)
    return a, b


def test_fid_closed_form(extractor, sets):
    """|difference of the means|^2 + tr(Sa + Sb - 2 (Sa Sb)^(1/2)), the root by way of symmetric matrices."""
    a, b = (values / 255 for values in sets)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root_a = vectors * np.sqrt(values) @ vectors.T
    trace = np.sqrt(np.linalg.eigvalsh(root_a @ cov_b @ root_a)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * trace
    scores = distribution_scores(*map(flat_images, sets), ("fid",), extractor=extractor)
    assert scores == {"fid": pytest.approx(expected, rel=1e-4)}


def test_fid_of_shifted_and_equal_sets(extractor, sets):
    """A set against itself is 0; against itself brighter by 51 (.2) in one channel, .2^2."""
    a, _ = sets
    shifted = a + np.array([51, 0, 0], np.uint8)
    assert distribution_scores(flat_images(a), flat_images(a), ("fid",), extractor=extractor)["fid"] < 1e-6
    moved = distribution_scores(flat_images(a), flat_images(shifted), ("fid",), extractor=extractor)["fid"]
    assert moved == pytest.approx(0.04, rel=1e-3)


def test_kid_closed_form(extractor, sets):
    """With sets no larger than a subset, each subset is the whole set: the unbiased estimate of MMD^2 for the kernel
    (x y / 3 + 1)^3, by sums over pairs."""
    a, b = (values[:50] / 255 for values in sets)

    def kernel(x, y):
        return (x @ y.T / 3 + 1) ** 3

    off = ~np.eye(50, dtype=bool)
    expected = kernel(a, a)[off].mean() + kernel(b, b)[off].mean() - 2 * kernel(a, b).mean()
    scores = distribution_scores(*(flat_images(values[:50]) for values in sets), ("kid",), extractor=extractor)
    assert scores["kid"] == pytest.approx(expected, rel=1e-4)
    assert scores["kid_std"] < 1e-6


def test_inception_score_closed_form(extractor):
    """Three kinds of images whose class is nearly certain, evenly spread: the score is their number, 3; one kind: 1.

    Logits 20 and 0, 0: certain up to 4e-9. Every split of the ten holds 300 images, about a hundred of each kind."""
    kinds = np.eye(3, dtype=np.uint8) * 255
    many, one = np.tile(kinds, (1000, 1)), np.tile(kinds[:1], (30, 1))
    scores = distribution_scores(flat_images(many), None, ("is",), extractor=extractor)
    assert scores["is"] == pytest.approx(3, rel=0.01)
    assert scores["is_std"] < 0.02
    assert distribution_scores(flat_images(one), None, ("is",), extractor=extractor)["is"] == pytest.approx(1)


def test_precision_and_recall_by_eye(extractor):
    """Real: two clusters. Generated: only one of them, so all is real (precision 1) and half is missed (recall .5)."""
    rng = np.random.default_rng(1)
    dark, bright = (rng.integers(low, low + 30, (20, 3)).astype(np.uint8) for low in (10, 200))
    scores = distribution_scores(flat_images(dark), flat_images(np.concatenate([dark, bright])), ("prc",),
                                 extractor=extractor)
    assert scores == {"precision": 1, "recall": 0.5}


def test_what_cannot_be_computed(extractor, sets):
    a, b = map(flat_images, sets)
    with pytest.raises(ValueError, match="unknown metrics"):
        distribution_scores(a, b, ("fud",), extractor=extractor)
    with pytest.raises(ValueError, match="without real images"):
        distribution_scores(a, None, ("fid",), extractor=extractor)
    with pytest.raises(UserError, match="9 real images are too few"):
        distribution_scores(a, flat_images(sets[1][:9]), ("fid",), extractor=extractor)


def test_missing_or_wrong_inception_weights(tmp_path, sets):
    a, b = map(flat_images, sets)
    for weights in (None, tmp_path / "absent.pth"):
        with pytest.raises(UserError) as caught:
            distribution_scores(a, b, ("fid",), weights)
        message = str(caught.value)
        assert "\n" not in message
        assert f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}" in message
    page = tmp_path / "page.pth"
    page.write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"page\.pth: this is not a file of weights"):
        find_inception(page)
    other = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, other)
    with pytest.raises(UserError, match=r"other\.pth: these are not the weights of the Inception network"):
        distribution_scores(a, b, ("fid",), other)


def test_uniform_logits_score_one(extractor):
    grey = np.full((20, 3), 128, np.uint8)
    score = distribution_scores(flat_images(grey), None, ("is",), extractor=extractor)["is"]
    assert math.isclose(score, 1, abs_tol=1e-6)
