"""Folders of images, and the Fréchet distance between images."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch.nn import functional as F

from evaluation.metrics.frechet import FEATURES, Gaussian, frechet_distance, gaussian_of, simple_features
from pretraining.image_folder import ImageFolder
from utils.errors import UserError


def images(count, size, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_central_square_is_kept(tmp_path):
    """An image 40 wide and 20 high: its middle square is green, half of that (in each direction) blue."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30, 1] = 200
    pixels[5:15, 15:25] = 0, 0, 200
    for name in ("2.png", "10.PNG", ".hidden.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    folder = ImageFolder(tmp_path)
    assert [path.name for path in folder.paths] == ["10.PNG", "2.png"]
    assert np.array_equal(folder.read(0, 20).permute(1, 2, 0), pixels[:, 10:30])
    half = ImageFolder(tmp_path, keep=0.5).read(1, 10)
    assert np.array_equal(half.permute(1, 2, 0), pixels[5:15, 15:25])
    assert folder.read(0, 4).shape == (3, 4, 4)


def test_pixels_are_picked_and_mirrored(tmp_path):
    """A grating of single pixels: picked it keeps its contrast, averaged it is grey."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::3] = 255
    for name in ("1.png", "2.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    picked = ImageFolder(tmp_path, resampling="nearest")
    assert set(picked.read(0, 8).unique().tolist()) == {0, 255}
    assert len(ImageFolder(tmp_path).read(0, 8).unique()) > 2
    assert np.array_equal(picked.read(0, 8, flip=True), picked.read(0, 8).flip(-1))


def test_images_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"`data_root` .*nowhere: this folder cannot be read"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "inside").mkdir()
    with pytest.raises(UserError, match=r"0 images .* in this folder and those inside; give"):
        ImageFolder(tmp_path)
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff half an image")
    with pytest.raises(UserError, match=r"1\.jpg: this photograph cannot be read") as caught:
        ImageFolder(tmp_path).read(0, 8)
    assert "\n" not in str(caught.value)


def test_frechet_distance_by_hand():
    """Diagonal covariances: (1 - 0)^2 of the means, (2 - 1)^2 + (3 - 2)^2 of the deviations."""
    one = Gaussian(torch.tensor([1.0, 5.0]).double(), torch.diag(torch.tensor([4.0, 9.0]).double()))
    other = Gaussian(torch.tensor([0.0, 5.0]).double(), torch.diag(torch.tensor([1.0, 4.0]).double()))
    assert frechet_distance(one, other) == pytest.approx(3)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_of_full_covariances():
    one, other = (gaussian_of(torch.randn(50, 4, generator=torch.Generator().manual_seed(seed)) @ torch.rand(
        4, 4, generator=torch.Generator().manual_seed(seed + 9))) for seed in (0, 1))
    root = np.trace(sqrtm(one.covariance.numpy() @ other.covariance.numpy()).real)
    expected = ((one.mean - other.mean) ** 2).sum() + torch.trace(one.covariance + other.covariance) - 2 * root
    assert frechet_distance(one, other) == pytest.approx(float(expected), rel=1e-6)


def test_features_tell_images_apart():
    real = simple_features(images(300, 16))
    assert real.shape == (300, FEATURES)
    torch.testing.assert_close(real[:3], simple_features(images(300, 16)[:3]))
    near = frechet_distance(gaussian_of(real), gaussian_of(simple_features(images(300, 16, 1))))
    blurred = F.interpolate(F.avg_pool2d(images(300, 16, 1), 4), scale_factor=4.0)
    assert frechet_distance(gaussian_of(real), gaussian_of(simple_features(blurred))) > 3 * near
