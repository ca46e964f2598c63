"""Extreme training poses."""

import math

import numpy as np

from configs.data_configs import data_config
from training.extreme_poses import ExtremePoseRanges, draw_extreme_poses

RANGES = {config.camera_preset: ExtremePoseRanges(config.extreme_yaw, config.extreme_pitch)
          for config in map(data_config, ("celebahq_seg_to_3dface", "catmask_seg_to_3dface"))}


def test_released_poses(golden):
    reference = golden("poses")
    for name, ranges in RANGES.items():
        for seed, expected in enumerate(reference[f"randn_poses_{name}"]):
            poses = draw_extreme_poses(ranges, len(expected), np.random.RandomState(seed))
            np.testing.assert_allclose(poses, expected, rtol=0, atol=1e-12, err_msg=f"{name} {seed}")


def test_poses_are_extreme_along_one_axis():
    for ranges in RANGES.values():
        offsets = draw_extreme_poses(ranges, 2000, np.random.default_rng(0)) - math.pi / 2
        assert ((offsets != 0).sum(axis=1) == 1).all()
        for axis, (least, most) in enumerate((ranges.yaw, ranges.pitch)):
            for sign in (-1, 1):
                side = sign * offsets[sign * offsets[:, axis] > 0, axis]
                assert 400 < len(side) < 600, "each side takes a quarter"
                assert side.min() >= least - 1e-12
                assert side.max() <= most + 1e-12
                assert abs(side.mean() - (least + most) / 2) < 0.01


def test_one_pose():
    assert draw_extreme_poses(RANGES["CelebAMask_HQ"], 1, np.random.default_rng(3)).shape == (1, 2)
