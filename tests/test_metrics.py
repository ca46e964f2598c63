"""The measures of evaluation: cases worked out by hand, closed forms, and an independent way to the same number."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from evaluation.metrics.diversity import diversity, l2, style_pairs
from evaluation.metrics.image_quality import depth_error, match_label_colours, psnr, ssim
from evaluation.metrics.mask_pose import SPACE, face_layout, fit_pose
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from evaluation.metrics.view_consistency import SeenView, as_seen, reprojection, surface_points
from models.pigan.cameras import Camera, camera_rays, project
from models.scene import View

FOV = 12.0


def test_segmentation_by_hand():
    """Eight pixels. Class 0: 3 of 4 right, 3 / (4 + 4 - 3); class 1: 2 of 3, 2 / (3 + 3 - 2); class 2: 0 of 1.
    Class 3 is predicted once and in no mask: it does not count for itself."""
    target = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 2]])
    found = torch.tensor([[0, 0, 0, 1], [1, 1, 3, 0]])
    counts = confusion_matrix(found, target, classes=4)
    assert counts.tolist() == [[3, 1, 0, 0], [0, 2, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    score = segmentation_score(counts)
    assert score.pixel_accuracy == 5 / 8
    assert score.iou[:3] == (3 / 5, 2 / 4, 0)
    assert math.isnan(score.iou[3])
    assert score.miou == pytest.approx((3 / 5 + 2 / 4 + 0) / 3)


def test_segmentation_extremes():
    labels = torch.arange(4, dtype=torch.uint8).repeat(5)
    assert segmentation_score(confusion_matrix(labels, labels, 16)).miou == 1
    assert segmentation_score(confusion_matrix(labels, labels.flip(0), 16)).miou == 0
    valid = torch.arange(20) % 2 == 0
    assert confusion_matrix(labels, labels, 4, valid).sum() == 10
    with pytest.raises(ValueError, match="predicted labels go from 0 to 3, expected 0 to 2"):
        confusion_matrix(labels, labels.clamp(max=2), 3)
    with pytest.raises(ValueError, match="no pixel"):
        segmentation_score(torch.zeros(3, 3, dtype=torch.long))


def test_psnr_by_hand():
    """Error .2 everywhere: 10 log10(4 / .04) = 20 dB; half of the pixels right: half of the squares, 3.01 dB more."""
    image = torch.zeros(3, 4, 4)
    assert psnr(image, image + 0.2) == pytest.approx(20, abs=1e-5)
    target = image.clone()
    target[:, :2] = 0.2
    assert psnr(image, target) == pytest.approx(20 + 10 * math.log10(2), abs=1e-5)
    upper = torch.zeros(4, 4, dtype=torch.bool)
    upper[:2] = True
    assert psnr(image, target, upper) == pytest.approx(20, abs=1e-5)
    assert psnr(image, target, ~upper) == math.inf
    with pytest.raises(ValueError, match="no pixel"):
        psnr(image, target, upper & ~upper)


def test_ssim_of_flat_images():
    """No variance: (2 a b + C1) / (a^2 + b^2 + C1), C1 = (.01 * 2)^2."""
    a, b = torch.full((3, 16, 16), 0.5), torch.full((3, 16, 16), 0.25)
    assert ssim(a, b) == pytest.approx((2 * 0.125 + 4e-4) / (0.25 + 0.0625 + 4e-4), rel=1e-6)
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(a[:, :8], b[:, :8])


def test_ssim_against_scipy():
    """The formula with scipy's Gaussian of the same extent, over the pixels whose window fits."""
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (3, 24, 20))
    b = (a + rng.normal(0, 0.3, a.shape)).clip(-1, 1)

    def mean(values):
        return np.stack([gaussian_filter(plane, 1.5, truncate=5 / 1.5) for plane in values])[:, 5:-5, 5:-5]

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    means, spreads = (2 * ma * mb + 0.02**2) / (ma**2 + mb**2 + 0.02**2), (2 * cov + 0.06**2) / (va + vb + 0.06**2)
    expected = (means * spreads).mean()
    assert ssim(torch.tensor(a).float(), torch.tensor(b).float()) == pytest.approx(expected, abs=1e-5)


def test_label_colours_are_matched():
    """Two parts: one is .4 too bright, the other right on average but striped; only the stripes are left."""
    labels = torch.tensor([[0, 0], [3, 3]])
    target = torch.zeros(3, 2, 2)
    image = torch.tensor([[0.4, 0.4], [0.1, -0.1]]).expand(3, -1, -1)
    matched = match_label_colours(image, target, labels)
    torch.testing.assert_close(matched, torch.tensor([[0.0, 0.0], [0.1, -0.1]]).expand(3, -1, -1))
    assert psnr(matched, target) == pytest.approx(10 * math.log10(4 / 0.005), abs=1e-4)
    assert image[0, 0, 0] == 0.4, "the input is left alone"


def test_depth_error_by_hand():
    """A slope of 0 to .99 in 100 pixels: the 1st and 99th percentiles lie .97 apart; off by .0485, that is 5%."""
    truth = torch.arange(100.0).reshape(10, 10) / 100
    everything = torch.ones(10, 10, dtype=torch.bool)
    assert depth_error(truth + 0.04851, truth, everything) == pytest.approx(0.05, rel=1e-3)
    outlier = truth.clone()
    outlier[0] = 7
    assert depth_error(outlier, truth, everything) == 0, "a median does not see one row"
    with pytest.raises(ValueError, match="no pixel"):
        depth_error(truth, truth, ~everything)
    with pytest.raises(ValueError, match="not flat"):
        depth_error(truth, torch.ones(10, 10), everything)


def test_pairs_of_styles():
    pairs = style_pairs()
    assert len(set(pairs)) == 10
    assert all(0 <= a < b < 6 for a, b in pairs)
    assert pairs == style_pairs()
    assert style_pairs(3) == ((0, 1), (0, 2), (1, 2)), "three images make three pairs"
    with pytest.raises(ValueError, match="two images"):
        style_pairs(1)


def test_diversity_by_hand():
    """Grey images of 0, .1 and .3: distances .1, .3 and .2, mean .2."""
    images = torch.tensor([0.0, 0.1, 0.3])[:, None, None, None].expand(3, 3, 4, 4)
    assert diversity(images, l2) == pytest.approx(0.2)
    assert diversity(images, l2, ((0, 2),)) == pytest.approx(0.3)
    assert diversity(images[:1].expand(6, -1, -1, -1), l2) == 0


def plane_seen_from(camera: Camera, size: int = 64, shift: float = 0.0) -> SeenView:
    """The plane z = 0 with smooth colours, exactly: distance to it along each ray, colour at the point it hits.

    With a shift the colours depend on the camera: the pattern slides, as texture that is painted on each view does.
    """
    origin, directions = camera_rays(camera, size, FOV)
    distance = -origin[2] / directions[:, 2]
    points = origin + directions * distance[:, None]
    wave = torch.stack([torch.sin(20 * points[:, 0] + shift), torch.cos(15 * points[:, 1]), points[:, 0] * 5])
    return SeenView(camera, wave.reshape(3, size, size), distance.reshape(size, size),
                    torch.ones(size, size, dtype=torch.bool))


def test_projection_gives_pixels_back():
    view = plane_seen_from(Camera(1.4, 1.7), size=9)
    place, distance = project(surface_points(view.depth, view.surface, view.camera, FOV), view.camera, FOV)
    line = torch.linspace(-1, 1, 9)
    expected = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2)
    torch.testing.assert_close(place, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(distance, view.depth.flatten())
    centre, one = project(torch.zeros(1, 3), Camera(0.3, 0.9), FOV)
    torch.testing.assert_close(centre, torch.zeros(1, 2), rtol=0, atol=1e-6)
    assert one.item() == pytest.approx(1)


def test_a_real_surface_is_consistent():
    """Only bilinear interpolation is left of the difference; a texture that slides by .3 rad shows at once."""
    first, second = plane_seen_from(Camera()), plane_seen_from(Camera(math.pi / 2 - 0.1, math.pi / 2 + 0.05))
    result = reprojection(first, second, FOV)
    assert result.error < 2e-3
    assert result.depth_error < 1e-4
    assert result.share > 0.95
    sliding = reprojection(first, plane_seen_from(second.camera, shift=0.3), FOV)
    assert sliding.error > 0.05
    assert reprojection(first, first, FOV).error == pytest.approx(0, abs=1e-5)


def test_hidden_places_are_left_out():
    """What another view hides behind something nearer, or has no surface for, is not compared."""
    first = plane_seen_from(Camera())
    rgb, depth, surface = first.rgb.clone(), first.depth.clone(), first.surface.clone()
    rgb[:, :, :32], depth[:, :32] = 9, depth[:, :32] - 0.1     # a wall in front of the left half
    assert reprojection(first, SeenView(first.camera, rgb, depth, surface), FOV).error == pytest.approx(0, abs=1e-5)
    surface[:, 40:] = False
    result = reprojection(first, SeenView(first.camera, rgb, depth, surface), FOV)
    assert result.share == pytest.approx(8 / 64)
    nothing = reprojection(first, SeenView(first.camera, rgb, depth, ~first.surface), FOV)
    assert nothing.share == 0
    assert math.isnan(nothing.error)


def test_pixels_with_a_surface():
    opacity = torch.tensor([[0.95, 0.5], [0.89, 0.9]])
    view = View(torch.zeros(3, 2, 2), torch.ones(2, 2), opacity, 48.0)
    assert as_seen(view, Camera()).surface.tolist() == [[True, False], [False, True]]


def painted_face(yaw: float, pitch: float, size: int = 96) -> np.ndarray:
    """Labels of a ball of a head: nose, mouth and brows are discs on it that turn with it."""
    rows, columns = np.mgrid[:size, :size] / (size - 1) * 2 - 1
    labels = np.zeros((size, size), np.uint8)
    labels[rows**2 + columns**2 < 0.49] = SPACE.index("skin")
    for part, x, y in (("nose", 0, 0.1), ("u_lip", 0, 0.35), ("brow", -0.25, -0.25), ("brow", 0.25, -0.25)):
        place = np.array([x, y, math.sqrt(1 - x * x - y * y)])
        turned = (place[0] * math.cos(yaw) + place[2] * math.sin(yaw), place[1] * math.cos(pitch) + pitch * place[2])
        labels[(columns - 0.6 * turned[0]) ** 2 + (rows - 0.6 * turned[1]) ** 2 < 0.006] = SPACE.index(part)
    return labels


def test_pose_from_masks():
    """Fitted on 80 painted faces, it reads others to about a degree; a hidden one is known as such."""
    rng = np.random.default_rng(0)
    poses = [tuple(pose) for pose in rng.normal(0, 0.2, (80, 2))]
    model = fit_pose([face_layout(painted_face(*pose)) for pose in poses], poses)
    assert max(model.error_deg) < 1
    for pose in ((0.3, 0.1), (-0.2, -0.15), (0.0, 0.0)):
        assert model(face_layout(painted_face(*pose))) == pytest.approx(pose, abs=0.05)
    hidden = painted_face(0, 0)
    hidden[hidden == SPACE.index("brow")] = SPACE.index("hair")
    assert face_layout(hidden) is None
    assert fit_pose([None] * 30 + [face_layout(painted_face(*pose)) for pose in poses[:50]], poses) is None


def test_layout_by_hand():
    """A face of 10 x 10 pixels, parts 2 and 3 pixels from its middle: a tenth of their distance, whatever the scale."""
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = SPACE.index("skin")
    for part, row, column in (("nose", 9, 9), ("mouth", 12, 9), ("brow", 6, 9)):
        labels[row:row + 2, column:column + 3] = SPACE.index(part)
    expected = np.array([0.5, 0, 0.5, 3, 0.5, -3]) / 10
    np.testing.assert_allclose(face_layout(labels), expected, atol=1e-12)
    np.testing.assert_allclose(face_layout(labels.repeat(2, 0).repeat(2, 1)), expected, atol=1e-12)


def test_left_out_errors():
    """The closed form equals fitting again without each mask."""
    rng = np.random.default_rng(1)
    layouts, poses = list(rng.normal(0, 0.2, (70, 6))), [tuple(pose) for pose in rng.normal(0, 0.2, (70, 2))]
    errors = []
    for i in range(70):
        without = fit_pose(layouts[:i] + layouts[i + 1:], poses[:i] + poses[i + 1:])
        errors.append(np.degrees(np.abs(np.subtract(without(layouts[i]), poses[i]))))
    assert fit_pose(layouts, poses).error_deg == pytest.approx(tuple(np.median(errors, axis=0)), rel=1e-6)
