"""What heads a data set of SynthHeads holds: codes, poses, palettes, lists, and how a number is written."""

import math

import numpy as np
import pytest

from datasets.poses import read_poses
from synth_heads.data.dataset import camera_angles, draw_head, pack_depth, split_heads, write_poses
from synth_heads.data.record import Settings
from synth_heads.generator import COLOUR, SHAPE, Head, render


def test_heads_do_not_depend_on_how_many_there_are():
    few, many = (Settings(num_heads=n, views=v, size=128, seed=5) for n, v in ((1, 2), (50, 7)))
    for a, b in zip(draw_head(few, 0), draw_head(many, 0), strict=True):
        np.testing.assert_array_equal(a, b[:len(a)])
    assert (draw_head(few, 0)[0] != draw_head(few, 1)[0]).all()
    assert (draw_head(few, 0)[0] != draw_head(Settings(num_heads=1, views=2, size=128, seed=6), 0)[0]).all()


def test_codes_are_normal_and_poses_are_spread_within_limits():
    settings = Settings(num_heads=400, views=5, size=128)
    codes, poses = zip(*[draw_head(settings, head) for head in range(400)], strict=True)
    assert np.mean(codes) == pytest.approx(0, abs=0.02)
    assert np.std(codes) == pytest.approx(1, abs=0.02)
    yaw, pitch = np.concatenate(poses).T
    assert (np.abs(yaw).max() <= 45)
    assert (np.abs(pitch).max() <= 24)
    assert yaw.std() == pytest.approx(17, rel=0.08)
    assert pitch.std() == pytest.approx(9, rel=0.08)


def test_the_fixed_palette_changes_colours_and_no_label():
    free, fixed = (Settings(num_heads=1, views=1, size=128, seed=5, palette=name) for name in ("free", "fixed"))
    (z_free, poses), (z_fixed, same_poses) = draw_head(free, 0), draw_head(fixed, 0)
    np.testing.assert_array_equal(poses, same_poses)
    np.testing.assert_array_equal(z_free[SHAPE], z_fixed[SHAPE])
    assert (z_fixed[COLOUR] == 0).all()
    assert (z_free[COLOUR] != 0).all()
    a, b = (render(Head.from_latent(z), 1.4, 1.5, 128) for z in (z_free, z_fixed))
    np.testing.assert_array_equal(a.labels, b.labels)
    assert (a.rgb != b.rgb).any()


def test_varied_norms_bring_every_second_head_nearer_to_the_mean():
    full, varied = (Settings(num_heads=2, views=2, size=128, seed=5, norms=name) for name in ("full", "varied"))
    np.testing.assert_array_equal(draw_head(varied, 0)[0], draw_head(full, 0)[0])
    (z, poses), (shrunk, same_poses) = draw_head(full, 1), draw_head(varied, 1)
    np.testing.assert_array_equal(poses, same_poses)
    factors = [np.unique((shrunk[part] / z[part]).round(5)) for part in (SHAPE, COLOUR)]
    assert [len(factor) for factor in factors] == [1, 1]
    assert all(0 <= factor[0] < 1 for factor in factors)
    assert factors[0] != factors[1]


@pytest.mark.parametrize("count, sizes", [(3, (1, 1, 1)), (30, (26, 2, 2)), (2500, (2166, 167, 167))])
def test_no_head_is_in_two_lists(count, sizes):
    splits = split_heads(count)
    assert tuple(len(splits[name]) for name in ("train", "val", "test")) == sizes
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == list(range(count))


def test_one_and_two_heads():
    assert split_heads(1) == {"train": [0], "val": [0], "test": [0]}
    assert split_heads(2) == {"train": [0], "val": [1], "test": [1]}


def test_depth_steps():
    assert pack_depth(np.array([[np.inf, 1.0], [0.88, 1.12]], np.float32)).tolist() == [[0, 50000], [44000, 56000]]


def test_a_pose_line(tmp_path):
    # the head turns 30 degrees to its right: the camera is on its left, 60 degrees from +x; it looks 9 degrees down
    write_poses(tmp_path / "p.txt", {7: np.array([30.0, 9.0])})
    assert (tmp_path / "p.txt").read_text() == "1\nYaw Pitch Roll\n7.jpg 30.00 9.00 0.00\n"
    assert read_poses(tmp_path / "p.txt", "celebahq") == {7: pytest.approx((math.pi / 3, math.radians(99)))}
    assert camera_angles(np.array([30.0, 9.0])) == pytest.approx((math.pi / 3, math.radians(99)))
