"""Pose files: two formats, where they are looked for, and what is said about broken ones."""

import math
import warnings

import pytest

from configs.data_configs import data_config
from datasets.poses import find_pose_file, image_id, read_poses
from utils.errors import UserError

FACES, CATS = data_config("celebahq_seg_to_3dface"), data_config("catmask_seg_to_3dface")
HEAD = "2\nYaw Pitch Roll\n"


def write(path, text):
    path.write_text(text)
    return path


def test_degrees_match_the_released_reader(tmp_path, golden):
    recorded = golden("poses")
    lines = "".join(f"{i}.jpg {yaw} {pitch} {roll}\n" for i, (yaw, pitch, roll) in enumerate(recorded["celeb_deg"]))
    poses = read_poses(write(tmp_path / "p.txt", HEAD + lines), "celebahq")
    for i, expected in enumerate(recorded["celeb_yaw_pitch"]):
        assert poses[i] == pytest.approx(tuple(expected), abs=1e-12)


def test_radians_match_the_released_reader(tmp_path, golden):
    recorded = golden("poses")
    lines = "".join(f"{i} {yaw} {pitch}\n" for i, (yaw, pitch) in enumerate(recorded["cat_rad"]))
    poses = read_poses(write(tmp_path / "p.txt", "id yaw pitch\n" + lines), "pseudo")
    assert [poses[i] for i in (0, 1)] == [tuple(row) for row in recorded["cat_yaw_pitch"]]


def test_a_head_turned_to_its_right_is_seen_from_its_left(tmp_path):
    # 90 degrees - 30 degrees = 60 degrees; looking down by 9 degrees gives 99 degrees from the top
    poses = read_poses(write(tmp_path / "p.txt", HEAD + "419.jpg 30 9 -4\n\n"), "celebahq")
    assert poses == {419: pytest.approx((math.pi / 3, math.radians(99)))}


@pytest.mark.parametrize("name, expected", [("419.png", 419), ("419_hair.png", 419), ("00419.png", 419), ("7", 7),
                                            ("some/folder_9/12_a_b.c.png", 12)])
def test_image_id_is_the_number_before_the_first_mark(name, expected):
    assert image_id(name) == expected


@pytest.mark.parametrize("name", ["hair_419.png", "12a.png", "_12.png", "-3.png", "١٢.png"])
def test_a_name_without_an_id_is_refused(name):
    with pytest.raises(UserError, match=r"no image id.*rename"):
        image_id(name)


def test_the_pose_file_in_the_folder_wins_over_the_one_beside_it(tmp_path):
    masks = tmp_path / "mask"
    masks.mkdir()
    with pytest.raises(UserError, match=r"mask: there is no CelebAMask-HQ-pose-anno.txt.*`use_original_pose`"):
        find_pose_file(masks, FACES)
    beside = write(tmp_path / FACES.pose_file, HEAD)
    assert find_pose_file(masks, FACES) == beside
    inside = write(masks / FACES.pose_file, HEAD)
    assert find_pose_file(masks, FACES) == inside
    with pytest.raises(UserError, match=r"pose-pseudo.txt"):
        find_pose_file(masks, CATS)


@pytest.mark.parametrize("line", ["0.jpg 1 2", "x.jpg 1 2 3", "0.jpg one 2 3", "0.jpg nan 2 3",
                                  "0.jpg 1 inf 3", "0.jpg,1,2,3"])
def test_malformed_lines_are_named(tmp_path, line):
    file = write(tmp_path / "p.txt", HEAD + "5.jpg 0 0 0\n" + line + "\n")
    with pytest.raises(UserError, match=r"p\.txt, line 4: .*'ID.jpg yaw pitch roll' in degrees; mend") as caught:
        read_poses(file, "celebahq")
    assert line in str(caught.value)


def test_what_the_release_reads_is_read(tmp_path):
    """An empty first line, Windows' byte order mark, further columns, a line twice."""
    text = "\ufeff\n2\n\nYaw Pitch Roll\n419.jpg 30 9 -4 0.98 face\n7.jpg 1 2 3\n419.jpg 30 9 -4\n"
    (tmp_path / "p.txt").write_bytes(text.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        poses = read_poses(tmp_path / "p.txt", "celebahq")
    assert poses == {419: pytest.approx((math.pi / 3, math.radians(99))), 7: pytest.approx(
        (math.radians(89), math.radians(92)))}


def test_angles_beyond_a_turn_are_read_with_a_word(tmp_path):
    file = write(tmp_path / "p.txt", HEAD + "0.jpg 270 0 0\n1.jpg 0 0 0\n2.jpg 0 -200 0\n")
    with pytest.warns(UserWarning, match=r"p\.txt, line 3 \(and 1 more lines\): has an angle beyond 180"):
        assert read_poses(file, "celebahq")[0] == pytest.approx((-math.pi, math.pi / 2))


def test_degrees_in_a_radian_file_are_noticed(tmp_path):
    with pytest.warns(UserWarning, match=r"line 2: has an angle beyond 6\.283, where 'ID yaw pitch' in radians"):
        read_poses(write(tmp_path / "p.txt", "id yaw pitch\n1 90 90\n"), "pseudo")


def test_a_forgotten_heading_does_not_swallow_a_pose(tmp_path):
    with pytest.raises(UserError, match=r"line 1: '1 1.5 1.5' looks like a pose"):
        read_poses(write(tmp_path / "p.txt", "1 1.5 1.5\n2 1.5 1.5\n"), "pseudo")


def test_of_two_poses_of_one_image_the_later_holds(tmp_path):
    with pytest.warns(UserWarning, match=r"line 3: says something else of an image than a line above, and holds"):
        assert read_poses(write(tmp_path / "p.txt", "id yaw pitch\n1 1.5 1.5\n01 1.6 1.5\n"), "pseudo") == {
            1: (1.6, 1.5)}


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00binary"])
def test_unreadable_files_are_refused(tmp_path, content):
    file = tmp_path / "p.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"p\.txt: this pose file cannot be read \((No such file|it is not UTF-8)"):
        read_poses(file, "pseudo")
