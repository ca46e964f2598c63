import math

import numpy as np
import pytest
import torch

from models.pigan.cameras import (
    Camera,
    camera_origins,
    camera_rays,
    camera_to_world,
    pixel_directions,
    pose_rays,
    project,
    rotate,
    world_rays,
)
from models.pigan.sampling import stratified_depths
from models.pigan.trajectories import front_trajectory, orbit_trajectory, sweep


def test_frontal_camera_looks_along_minus_z():
    origin, directions = camera_rays(Camera(), size=3, fov_deg=90)
    assert torch.allclose(origin, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)
    centre, top_left, right = directions[4], directions[0], directions[5]
    assert torch.allclose(centre, torch.tensor([0.0, 0.0, -1.0]), atol=1e-6)
    # 90 degrees edge to edge: the corner pixel looks along (-1, 1, -1)
    assert torch.allclose(top_left, torch.tensor([-1.0, 1.0, -1.0]) / math.sqrt(3), atol=1e-6)
    assert torch.allclose(right, torch.tensor([1.0, 0.0, -1.0]) / math.sqrt(2), atol=1e-6)


def test_smaller_yaw_moves_the_camera_to_positive_x():
    origin, _ = camera_rays(Camera(yaw=math.pi / 2 - 0.3), size=2, fov_deg=12)
    assert origin[0] > 0.2
    origin, _ = camera_rays(Camera(pitch=math.pi / 2 - 0.3), size=2, fov_deg=12)
    assert origin[1] > 0.2  # a smaller pitch looks from above


def test_pose_extremes_stay_finite():
    origins = camera_origins(torch.tensor([0.0, 1.0]), torch.tensor([0.0, math.pi]))
    assert torch.isfinite(camera_to_world(origins)).all()


def test_golden_cameras(golden):
    reference = golden("poses")
    yaw, pitch = torch.from_numpy(reference["yaw_pitch"]).unbind(1)
    origins = camera_origins(yaw, pitch)
    np.testing.assert_allclose(origins, reference["gaussian_origin"], atol=1e-6)
    np.testing.assert_allclose(camera_to_world(origins), reference["cam2world"], atol=1e-6)


def test_camera_of_no_pose(golden):
    """The official pose sampling without a distribution: rows of origin, pitch, yaw."""
    camera = Camera()
    origin, _ = camera_rays(camera, size=1, fov_deg=12)
    expected = golden("poses")["mode_None"][0]
    np.testing.assert_allclose([*origin, camera.pitch, camera.yaw], expected, atol=1e-6)


@pytest.mark.parametrize("fov", [12, 18, 22])
def test_golden_rays(golden, fov):
    reference = golden("poses")
    directions = pixel_directions(6, fov)
    np.testing.assert_allclose(directions, reference[f"rays_fov{fov}"][0], atol=1e-6)
    z = torch.from_numpy(reference[f"z_fov{fov}"][0, :, :, 0])
    points = directions[:, None] * z[..., None]
    np.testing.assert_allclose(points, reference[f"points_fov{fov}"][0], atol=1e-6)
    unperturbed = stratified_depths(float(z[0, 0]), float(z[0, -1]), 5, torch.full((36, 5), 0.5))
    np.testing.assert_allclose(unperturbed, z, atol=1e-6)


def test_rotate_shares_rays_among_cameras():
    transforms = camera_to_world(camera_origins(torch.tensor([1.2, 1.8]), torch.tensor([1.5, 1.6])))
    directions = pixel_directions(4, 12.0)
    both = rotate(directions, transforms)
    assert both.shape == (2, 16, 3)
    assert torch.allclose(both[1], directions @ transforms[1, :3, :3].t(), atol=1e-7)


def test_every_way_to_a_ray_is_the_same_ray():
    """An image of 5 x 5 pixels of two cameras: as a batch of images, each by itself, and ray by ray."""
    poses = torch.tensor([[1.2, 1.5], [1.8, 1.6]])
    origins, directions = pose_rays(poses, 5, 12.0)
    line = torch.linspace(-1, 1, 5)
    image_xy = torch.stack([line.repeat(5), line.flip(0).repeat_interleave(5)], -1).expand(2, -1, -1)
    apart = world_rays(poses[:, None].expand(-1, 25, -1), image_xy, 12.0)
    assert torch.allclose(apart[0], origins[:, None].expand(-1, 25, -1), atol=1e-6)
    assert torch.allclose(apart[1], directions, atol=1e-6)
    for index, (yaw, pitch) in enumerate(poses.tolist()):
        origin, own = camera_rays(Camera(yaw, pitch, 12.0), 5, fov_deg=99)
        assert torch.equal(origin, origins[index])
        assert torch.allclose(own, directions[index], atol=1e-7)


def test_projection_undoes_a_ray():
    camera = Camera(1.2, 1.7, 20.0)
    origin, directions = camera_rays(camera, 3, 12.0)
    place, distance = project(origin + 0.9 * directions, camera, 12.0)
    expected = [[x, y] for y in (-1.0, 0.0, 1.0) for x in (-1.0, 0.0, 1.0)]  # row by row, y down
    assert torch.allclose(place, torch.tensor(expected), atol=1e-5)
    assert torch.allclose(distance, torch.full((9,), 0.9), atol=1e-6)


def test_directions_are_made_once():
    with torch.inference_mode():
        first = pixel_directions(7, 13.5)
    assert pixel_directions(7, 13.5) is first
    assert not first.is_inference()  # training may use what inference has made
    assert pixel_directions(7, 13.0) is not first


def test_golden_trajectories(golden):
    import json

    from conftest import GOLDEN

    tables = json.loads((GOLDEN / "tables.json").read_text())["trajectory"]
    for tag, fov in (("CelebAMask_HQ", 12), ("CatMask", 18)):
        for frames in (1, 5, 36):
            for name, cameras in (("front", front_trajectory(frames)), ("orbit", orbit_trajectory(frames, fov))):
                ours = [(c.pitch, c.yaw, c.fov_deg) for c in cameras]
                np.testing.assert_allclose(ours, tables[f"{name}_{frames}_{tag}"], atol=1e-12)


def test_sweeps():
    offsets = (-0.45, -0.25, 0.0, 0.25, 0.45)
    yaws = [camera.yaw - math.pi / 2 for camera in sweep("h", offsets, 5, fov_deg=12)]
    np.testing.assert_allclose(yaws, offsets, atol=1e-12)
    assert [c.pitch for c in sweep("h", offsets, 5, fov_deg=12)] == [math.pi / 2] * 5
    pitches = [camera.pitch - math.pi / 2 for camera in sweep("v", offsets, 3, fov_deg=12)]
    np.testing.assert_allclose(pitches, (-0.45, 0, 0.45), atol=1e-12)
    fovs = [camera.fov_deg for camera in sweep("fov", offsets, 3, fov_deg=12)]
    assert fovs[1] == 12
    assert fovs[0] < fovs[1] < fovs[2]
    assert len(sweep("h", offsets, 1, fov_deg=12)) == 1
    assert sweep("h", offsets, 1, fov_deg=12)[0].yaw == math.pi / 2
