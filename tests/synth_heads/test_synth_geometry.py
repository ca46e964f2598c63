"""A dataset's files agree with each other in space: masks, depths and poses of one head seen from several sides.

The rays are those of the pi-GAN camera, through which a trained model looks; nothing here comes from the renderer.
"""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from configs.data_configs import data_config, get_camera_preset
from configs.label_spaces import LABEL_SPACES
from datasets.layout import DEPTH_UNIT
from datasets.masks.maps import MaskTransform
from datasets.poses import read_poses
from models.pigan.cameras import Camera, camera_origins, camera_rays, camera_to_world
from synth_heads.data.dataset import build_dataset
from synth_heads.data.record import Settings
from synth_heads.generator import Head, mirror_latent, render
from synth_heads.generator.labels import (
    L_BROW,
    L_EAR,
    L_EYE,
    L_LIP,
    NECK,
    NOSE,
    R_BROW,
    R_EAR,
    R_EYE,
    U_LIP,
)

CONFIG = data_config("synthheads_seg_to_3dface")
SIZE, HEADS, VIEWS = 256, 4, 3
# a picture on disk is 320 / 256 times as wide as what the camera sees
WIDE_FOV_DEG = 2 * math.degrees(math.atan(1.25 * math.tan(math.radians(6))))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder, (head, view) -> labels, depths (0 is the background), camera."""
    out = tmp_path_factory.mktemp("geometry")
    build_dataset(out, Settings(HEADS, VIEWS, SIZE, seed=3, merged=True, depth=True), workers=2)
    poses = read_poses(out / CONFIG.pose_file, CONFIG.pose_format)
    views = {}
    for identity, pose in poses.items():
        labels = np.asarray(Image.open(out / f"mask/{identity}.png"))
        depths = np.asarray(Image.open(out / f"depth/{identity}.png")) * DEPTH_UNIT
        views[divmod(identity, 100)] = labels, depths, Camera(*pose)
    return out, views


def surface(depths, camera):
    """The point in the world that every pixel shows, (size, size, 3)."""
    origin, rays = camera_rays(camera, len(depths), WIDE_FOV_DEG)
    return origin.numpy() + depths[..., None] * rays.numpy().reshape(*depths.shape, 3)


def look_up(points, camera):
    """Rows and columns of points (n, 3) in a camera's picture, and their distances from it."""
    yaw, pitch = torch.tensor([[camera.yaw], [camera.pitch]], dtype=torch.float64)
    to_world = camera_to_world(camera_origins(yaw, pitch))[0].numpy()
    right, up, back = ((points - to_world[:3, 3]) @ to_world[:3, :3]).T
    half = math.tan(math.radians(WIDE_FOV_DEG) / 2)
    columns, rows = ((sign * axis / -back / half + 1) / 2 * (SIZE - 1) for sign, axis in ((1, right), (-1, up)))
    return np.rint(rows).astype(int), np.rint(columns).astype(int), np.linalg.norm(points - to_world[:3, 3], axis=1)


@pytest.mark.parametrize("head", range(HEADS))
def test_masks_of_one_head_agree_wherever_two_views_see_the_same_place(files, head):
    agreeing = visible = figure = 0
    for one in range(VIEWS):
        labels, depths, camera = files[1][head, one]
        seen = depths > 0
        for other in set(range(VIEWS)) - {one}:
            other_labels, other_depths, other_camera = files[1][head, other]
            rows, columns, distances = look_up(surface(depths, camera)[seen], other_camera)
            inside = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < SIZE)
            rows, columns = rows[inside], columns[inside]
            same_place = np.abs(other_depths[rows, columns] - distances[inside]) < 0.002  # a head is .2 wide
            visible += same_place.sum()
            figure += seen.sum()
            agreeing += (other_labels[rows, columns] == labels[seen][inside])[same_place].sum()
    assert visible > 0.4 * figure  # the test looks at something
    assert agreeing > 0.97 * visible


def test_the_agreement_test_notices_a_wrong_pose(files):
    head, view = max(files[1], key=lambda key: abs(files[1][key][2].yaw - math.pi / 2))  # far from its mirrored pose
    labels, depths, camera = files[1][head, view]
    wrong = Camera(math.pi - camera.yaw, camera.pitch)
    points = surface(depths, wrong)[depths > 0]
    other_labels, other_depths, other_camera = files[1][head, (view + 1) % VIEWS]
    rows, columns, distances = look_up(points, other_camera)
    rows, columns = rows.clip(0, SIZE - 1), columns.clip(0, SIZE - 1)
    same_place = np.abs(other_depths[rows, columns] - distances) < 0.002
    assert (other_labels[rows, columns] == labels[depths > 0])[same_place].mean() < 0.9


def test_left_parts_lie_at_positive_x_in_every_view(files):
    seen = set()
    for labels, depths, camera in files[1].values():
        x = surface(depths, camera)[..., 0]
        for left, right in ((L_EYE, R_EYE), (L_BROW, R_BROW), (L_EAR, R_EAR)):
            assert (x[labels == left] > 0).all()
            assert (x[labels == right] < 0).all()
            seen |= set(np.unique(labels)) & {left, right}
    assert seen == {L_EYE, R_EYE, L_BROW, R_BROW, L_EAR, R_EAR}


def test_seen_from_its_left_a_head_looks_to_the_left_of_the_picture(files):
    sides = []
    for labels, _, camera in files[1].values():
        if abs(camera.yaw - math.pi / 2) > 0.1:
            lips, nose = (np.nonzero(np.isin(labels, part))[1].mean() for part in ((U_LIP, L_LIP), (NOSE,)))
            neck = np.nonzero(labels == NECK)[1].mean()
            # nose and lips are nearer to the camera than the neck
            assert (nose < neck) == (lips < neck) == (camera.yaw < math.pi / 2)
            sides.append(camera.yaw < math.pi / 2)
    assert set(sides) == {True, False}


def test_faces_lie_between_the_near_and_far_planes_of_the_camera(files):
    preset = get_camera_preset(CONFIG.camera_preset)
    for labels, depths, _ in files[1].values():
        face = depths[(labels >= 1) & (labels <= 12)]
        assert ((face > preset.ray_start) & (face < preset.ray_end)).mean() > 0.998


def test_the_loader_s_crop_is_what_the_camera_sees(files):
    codes = np.load(files[0] / "latents.npz")
    for head in range(HEADS):
        yaw, pitch = codes["camera"][head, 0]
        seen = render(Head.from_latent(codes["z"][head]), float(yaw), float(pitch), 224, margin=1).labels
        loaded = MaskTransform().apply(files[1][head, 0][0])
        assert (loaded == seen).mean() > 0.96          # 256 -> 320 -> 256 -> 224 by nearest neighbours
        shifted = np.roll(loaded, 4, axis=1)
        assert (shifted == seen).mean() < (loaded == seen).mean()


def test_the_mirrored_code_seen_from_the_other_side_is_the_mirror_image(files):
    codes = np.load(files[0] / "latents.npz")
    swap = np.array(LABEL_SPACES["CelebAMask_HQ"].mirrored)
    for head in range(HEADS):
        labels, _, camera = files[1][head, 1]
        twin = render(Head.from_latent(mirror_latent(codes["z"][head])), math.pi - camera.yaw, camera.pitch, SIZE)
        assert (swap[twin.labels[:, ::-1]] == labels).mean() > 0.99
