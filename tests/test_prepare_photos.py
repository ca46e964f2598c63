"""Photographs become a data set: alignment by the published formula, one line for each that fails, the layout."""

import numpy as np
import pytest
import torch
from PIL import Image

from configs.data_configs import data_config
from configs.label_spaces import LABEL_SPACES
from datasets.inference_set import InferenceDataset
from datasets.poses import read_poses
from photos import prepare as preparing
from photos.alignment import align, face_square
from photos.detectors import Face, load_detector
from photos.prepare import prepare_all, split_sides
from scripts.prepare_photos import find, main
from utils.errors import UserError

MERGED, FULL = LABEL_SPACES["CelebAMask_HQ_merged"], LABEL_SPACES["CelebAMask_HQ"]
UPRIGHT = np.array([[100.0, 100], [140, 100], [120, 125], [106, 145], [134, 145]])


def published_square(points):
    """Appendix C of "Progressive growing of GANs": x' = e1 - e0, y' = (e0 + e1) / 2 - (m0 + m1) / 2,
    c = (e0 + e1) / 2 - 0.1 y', s = max(4.0 |x'|, 3.6 |y'|), x = normalise(x' - rotate90(y')), y = rotate90(x); the
    corners c +- s/2 x +- s/2 y. Rotate90 of (x, y) is (-y, x)."""
    e0, e1, _, m0, m1 = points
    x, y = e1 - e0, (e0 + e1) / 2 - (m0 + m1) / 2
    centre, size = (e0 + e1) / 2 - 0.1 * y, max(4.0 * np.hypot(*x), 3.6 * np.hypot(*y))
    right = x - np.array([y[1], -y[0]])
    right = right / np.hypot(*right) * size / 2
    down = np.array([-right[1], right[0]])
    return np.array([centre - right - down, centre - right + down, centre + right + down, centre + right - down])


@pytest.mark.parametrize("points", [
    UPRIGHT,
    UPRIGHT @ np.array([[0.8, -0.6], [0.6, 0.8]]),
    np.array([[100.0, 100], [108, 103], [112, 125], [101, 150], [110, 148]]),      # turned aside: the height decides
])
def test_the_square_is_the_published_one(points):
    np.testing.assert_allclose(face_square(points).corners, published_square(points), rtol=1e-12)


def test_the_square_by_hand():
    """Eyes 40 apart, mouth 45 below: 4 x 40 = 160 < 3.6 x 45 = 162 wide, centre 4.5 below the eyes."""
    square = face_square(UPRIGHT)
    assert square.side == pytest.approx(162)
    np.testing.assert_allclose(square.centre, [120, 104.5])
    np.testing.assert_allclose(square.corners[0], [120 - 81, 104.5 - 81])


def test_a_crop_is_the_image_there_and_upright():
    ramp = np.stack([np.broadcast_to(np.arange(256), (256, 256)),
                     np.broadcast_to(np.arange(256)[:, None], (256, 256)), np.zeros((256, 256))], 2).astype(np.uint8)
    crop = align(Image.fromarray(ramp), UPRIGHT, 81).astype(float)     # every second pixel
    np.testing.assert_allclose(crop[40, 1:-1, 0], 39.5 + 2 * np.arange(1, 80), atol=1.1)
    np.testing.assert_allclose(crop[1:-1, 40, 1], 24 + 2 * np.arange(1, 80), atol=1.1)
    turned = align(Image.fromarray(ramp).rotate(90, expand=True), np.stack([UPRIGHT[:, 1], 255 - UPRIGHT[:, 0]], 1), 81)
    assert np.abs(turned.astype(float) - crop).mean() < 1.5


def test_beyond_the_image_its_border_goes_on():
    """A face at the edge: the crop is whole, without black, and inside it is the image."""
    noise = np.random.default_rng(0).integers(100, 200, (160, 160, 3)).astype(np.uint8)
    crop = align(Image.fromarray(noise), UPRIGHT - [80, 60], 162)
    assert crop.min() > 80
    assert crop[0, 0].astype(float).std() < 40
    np.testing.assert_allclose(crop[75:110, 75:110].mean((0, 1)),
                               noise[37:72, 34:69].mean((0, 1)), atol=3)


def test_sides_are_the_persons():
    merged = np.zeros((20, 20), np.uint8)
    merged[8:12, 9:11], merged[5, 3:6], merged[5, 14:17] = (MERGED.index(part) for part in ("nose", "eye", "eye"))
    merged[15] = MERGED.index("hair")
    labels = split_sides(merged)
    assert (labels[5, 3:6] == FULL.index("r_eye")).all()
    assert (labels[5, 14:17] == FULL.index("l_eye")).all()
    assert (labels[15] == FULL.index("hair")).all()


def face_labels(image):
    """Stands for a face segmenter: an oval of skin."""
    size = image.shape[-1]
    y, x = np.mgrid[:size, :size] / size - 0.5
    return torch.from_numpy((x**2 / 0.09 + y**2 / 0.16 < 1).astype(np.uint8))[None]


def photograph(path, value=128, size=(300, 300)):
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


def test_one_line_for_each_photograph_that_fails(tmp_path):
    """Faces stand in the brightness of the photograph: what the detector finds in each."""
    small, aside = UPRIGHT * 0.3, UPRIGHT.copy()
    aside[2] = [160, 125]  # the nose beside the cheek
    found = {10: [UPRIGHT], 100: [], 128: [UPRIGHT], 150: [small], 160: [UPRIGHT * 0.9, UPRIGHT], 170: [aside]}

    def detect(pixels):
        return [Face(np.zeros(4), points, 0.99) for points in found[int(pixels[0, 0, 0])]]

    paths = [photograph(tmp_path / f"{value}.png", value) for value in found]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    lines = []
    done = prepare_all([*paths, tmp_path / "broken.jpg"], tmp_path / "out", detect, face_labels, 64, lines.append)
    assert [face.source.stem for face in done] == ["128", "160"]
    for name, words in (("10", "very dark (mean 10 of 255)"), ("100", "no face was found"), ("150", "49 pixels wide"),
                        ("170", "turned aside"), ("broken", "cannot be read"), ("160", "2 faces; the largest")):
        (line,) = [line for line in lines if f"/{name}." in line]
        assert words in line
        assert "\n" not in line
    assert len(lines) == 7      # and one about the lists


def test_what_is_written_is_read_by_inference(tmp_path):
    detect = lambda pixels: [Face(np.zeros(4), UPRIGHT, 1.0)]  # noqa: E731
    paths = [photograph(tmp_path / f"{k}.png", 100 + k) for k in range(3)]
    prepare_all(paths, tmp_path / "out", detect, face_labels, 64, lambda line: None)
    config = data_config("celebahq_seg_to_3dface")
    data = InferenceDataset(tmp_path / "out/mask", config, use_original_pose=True)
    assert [path.name for path in data.paths] == ["1.png", "2.png", "3.png"]
    assert data[0].pose is not None
    assert set(read_poses(tmp_path / "out/CelebAMask-HQ-pose-anno.txt", "celebahq")) == {1, 2, 3}
    assert (tmp_path / "out/own_train_paths.txt").read_text() == "1.png\n"
    assert Image.open(tmp_path / "out/images/2.png").size == (64, 64)
    assert (tmp_path / "out/report.png").is_file()
    assert (tmp_path / "out/sources.txt").read_text().splitlines()[2] == f"3.png {paths[2]}"


def test_the_pose_of_a_head_that_turns():
    """Points of the model head seen from the side, as in the pose file: yaw < 0 looks to the image's right."""
    from photos.pose import MODEL, head_pose

    def seen(yaw, pitch=0.0):
        around, nod = np.radians(yaw), np.radians(pitch)
        turn = np.array([[np.cos(around), 0, np.sin(around)], [0, 1, 0], [-np.sin(around), 0, np.cos(around)]])
        bow = np.array([[1, 0, 0], [0, np.cos(nod), np.sin(nod)], [0, -np.sin(nod), np.cos(nod)]])
        return 60 * (MODEL @ (bow @ turn).T)[:, :2] + 200

    yaws = [head_pose(seen(yaw))[0] for yaw in (-30, -10, 0, 10, 30)]
    assert yaws == sorted(yaws, reverse=True)
    assert yaws[0] == pytest.approx(30 * 0.77, abs=2)
    assert head_pose(seen(0)) == pytest.approx((0, 0), abs=0.5)
    assert head_pose(seen(0, 20))[1] == pytest.approx(-20 * 0.53, abs=2)


def test_exif_turns_the_photograph(tmp_path):
    seen = []
    exif = Image.Exif()
    exif[0x0112] = 6        # to be turned by 90 degrees
    Image.fromarray(np.full((200, 300, 3), 128, np.uint8)).save(tmp_path / "a.jpg", exif=exif)

    def detect(pixels):
        seen.append(pixels.shape)
        return [Face(np.zeros(4), UPRIGHT, 1.0)]

    preparing.prepare(tmp_path / "a.jpg", detect, face_labels, 64)
    assert seen == [(300, 200, 3)]


def test_nothing_prepared(tmp_path):
    with pytest.raises(UserError, match="of 1 photographs none could be prepared"):
        prepare_all([photograph(tmp_path / "a.png")], tmp_path / "out", lambda pixels: [], face_labels, 64, print)
    assert not (tmp_path / "out").exists()


def test_detectors_say_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"absent\.onnx: there is no such file; get face_detection_yunet_2023mar\.onnx"):
        load_detector("yunet", tmp_path / "absent.onnx")
    (tmp_path / "other.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"other\.onnx: OpenCV cannot read this as YuNet"):
        load_detector("yunet", tmp_path / "other.onnx")
    monkeypatch.setitem(__import__("sys").modules, "facenet_pytorch", None)
    with pytest.raises(UserError, match="`detector` mtcnn needs facenet-pytorch: pip install requests && pip install"):
        load_detector("mtcnn")


def test_the_command_names_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="absent: there is no such file or folder"):
        main([str(tmp_path / "absent")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no photographs in this folder"):
        find([tmp_path / "empty"])
