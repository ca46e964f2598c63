"""Which masks a run reads, in which order, with which poses; and what is said when that cannot be done."""

import math
import os

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from configs.data_configs import data_config
from datasets.inference_set import InferenceDataset
from datasets.masks.files import MaskWarning, read_mask
from datasets.masks.maps import MaskTransform, prepare_mask, unfold
from datasets.masks.mask_input import MaskInput
from utils.errors import UserError

FACES, CATS = data_config("celebahq_seg_to_3dface"), data_config("catmask_seg_to_3dface")
FACE_SAMPLES, CAT_SAMPLES = ROOT / "data/CelebAMask-HQ/mask_samples", ROOT / "data/CatMask/mask_samples"
SMALL = MaskInput(transform=MaskTransform(20, 16, 14))


@pytest.fixture
def folder(tmp_path):
    """Masks 2, 10, 10_hair and 00419 of a plain face, with poses for all."""
    masks = tmp_path / "mask"
    masks.mkdir()
    labels = np.zeros((20, 20), np.uint8)
    labels[4:16, 4:16], labels[8:12, 9:11] = 1, 2
    for name in ("10_hair", "00419", "10", "2"):
        Image.fromarray(labels).save(masks / f"{name}.png")
    (tmp_path / FACES.pose_file).write_text("3\nYaw Pitch Roll\n2.jpg 0 0 0\n10.jpg 90 0 0\n419.jpg 0 -9 0\n")
    return masks


def names(data):
    return [path.stem for path in data.paths]


def test_samples_of_both_datasets_are_ready_to_use():
    for path, config, count, first, sizes in (
        (FACE_SAMPLES, FACES, 26, ["90001", "90001_hair", "90001_mouth", "90002"], (16, 18)),
        (CAT_SAMPLES, CATS, 3, ["90001", "90001_ears", "90002"], (8, 10)),
    ):
        data = InferenceDataset(path, config, use_original_pose=True)
        assert len(data) == count
        assert names(data)[:4] == first
        assert len(data.reader.network_space) == sizes[0]
        for file, item in zip(data.paths, data):
            x = data.reader.tensor(item.planes)
            labels = read_mask(file, config.label_space)
            planes = prepare_mask(labels, config.label_space, True, MaskTransform(crop=config.crop), use_contour=True)
            assert x.shape == (sizes[1], 224, 224)
            np.testing.assert_array_equal(x, unfold(planes, sizes[0]))
            assert all(abs(angle - math.pi / 2) < 0.3 for angle in item.pose)


def test_odd_masks_are_read_with_a_warning(folder):
    labels = np.asarray(Image.open(folder / "10.png"))
    Image.fromarray(labels[:, 3:17]).save(folder / "2.png")
    with pytest.warns(MaskWarning, match=r"2\.png: 14 x 20 pixels are squeezed"):
        InferenceDataset(folder / "2.png", FACES, SMALL)[0]
    Image.fromarray(np.minimum(labels, 1)).save(folder / "2.png")
    with pytest.warns(MaskWarning, match="the only part besides the background is skin"):
        InferenceDataset(folder / "2.png", FACES, SMALL)[0]


def test_an_edited_sample_differs_and_shares_the_pose():
    data = InferenceDataset(FACE_SAMPLES, FACES, use_original_pose=True)
    plain, edited = data[0], data[1]
    assert (plain.name, edited.name) == ("90001", "90001_hair")
    assert plain.pose == edited.pose
    hair = data.reader.network_space.index("hair")
    assert (plain.planes.label == hair).sum() > 1.2 * (edited.planes.label == hair).sum()


def test_turned_samples_have_poses_on_the_right_side():
    # yaw < pi/2 is seen from the person's left, where the left ear (right in the image) shows more than the right one
    poses = InferenceDataset(FACE_SAMPLES, FACES, use_original_pose=True).poses
    assert poses[90002][0] < math.pi / 2 - 0.1
    assert poses[90003][0] > math.pi / 2 + 0.1
    labels = read_mask(FACE_SAMPLES / "90002.png", FACES.label_space)
    assert (labels == FACES.label_space.index("l_ear")).sum() > (labels == FACES.label_space.index("r_ear")).sum()


def test_order_of_the_release_and_items(folder):
    data = InferenceDataset(folder, FACES, SMALL, display_size=16, use_original_pose=True)
    assert names(data) == ["00419", "10", "10_hair", "2"]
    assert data[2].pose == data[1].pose == pytest.approx((0, math.pi / 2))
    assert data[0].pose == pytest.approx((math.pi / 2, math.radians(81)))
    item = data[3]
    assert item.path == folder / "2.png"
    assert item.planes.label.dtype == np.uint8
    assert item.planes.label.shape == item.planes.contour.shape == item.planes.distance.shape == (14, 14)
    assert item.painted.shape == (16, 16, 3)
    assert tuple(item.painted[3, 3]) == data.reader.network_space.palette[1]   # skin
    assert tuple(item.painted[8, 8]) == data.reader.network_space.palette[2]   # nose


def test_poses_are_read_only_when_wanted(folder):
    (folder.parent / FACES.pose_file).unlink()
    assert InferenceDataset(folder, FACES, SMALL)[0].pose is None


def test_full_labels_without_contours(folder):
    data = InferenceDataset(folder, FACES, MaskInput(merged=False, use_contour=False))
    assert data[0].planes.contour is None
    assert data[0].planes.distance is None
    assert data.reader.tensor(data[0].planes).shape == (19, 224, 224)


def test_shuffle_depends_on_the_seed_and_comes_before_the_cut(folder):
    first, same = (names(InferenceDataset(folder, FACES, SMALL, use_shuffle=True, seed=5)) for _ in range(2))
    assert first == same
    assert sorted(first) == ["00419", "10", "10_hair", "2"]
    orders = {tuple(names(InferenceDataset(folder, FACES, SMALL, use_shuffle=True, seed=s))) for s in range(8)}
    assert len(orders) > 3
    assert names(InferenceDataset(folder, FACES, SMALL, use_shuffle=True, seed=5, n_images=2)) == first[:2]
    assert names(InferenceDataset(folder, FACES, SMALL, n_images=2)) == ["00419", "10"]
    assert len(InferenceDataset(folder, FACES, SMALL, n_images=99)) == 4


def test_a_list_chooses_masks_in_its_order(folder, tmp_path):
    lines = "# chosen\n419\n\n10_hair\nsome/where/2.png\n 00010 \nphotos\\00419.jpg\n"
    (tmp_path / "vis_paths.txt").write_text(lines)
    data = InferenceDataset(folder, FACES, SMALL, paths_list=tmp_path / "vis_paths.txt")
    assert names(data) == ["00419", "10_hair", "2", "10"]


def test_one_mask_alone_and_the_other_folder_name(folder):
    assert names(InferenceDataset(folder / "10.png", FACES, SMALL, use_original_pose=True)) == ["10"]
    folder.rename(folder.parent / "masks")
    assert len(InferenceDataset(folder, FACES, SMALL)) == 4  # data/.../mask was asked for, data/.../masks is there


def test_cats_are_never_cropped():
    item = InferenceDataset(CAT_SAMPLES, CATS)[0]
    head = np.isin(read_mask(CAT_SAMPLES / "90001.png", CATS.label_space), [7, 8, 9, 10, 11, 12, 14])
    assert (item.planes.label > 0).mean() == pytest.approx(head.mean(), abs=0.02)


# ---- what cannot be read -----------------------------------------------------------------------------------------

def refuse(match, *args, **options):
    with pytest.raises(UserError, match=match) as caught:
        InferenceDataset(*args, **options)
    assert "\n" not in str(caught.value)


def test_folders_that_hold_no_masks(tmp_path):
    refuse(r"`data_path` .*nowhere: there is no such folder or file; give a folder of label PNGs",
           tmp_path / "nowhere", FACES)
    refuse(r"`data_path` .*: no masks in this folder, nor in those inside; give", tmp_path, FACES)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".90001.tmp.png").write_text("")
    (tmp_path / "mask").mkdir()
    refuse(r"mask: no masks in this folder, nor in those inside", tmp_path, FACES)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read(tmp_path):
    tmp_path.chmod(0o000)
    try:
        refuse(r"cannot be read \(Permission denied\)", tmp_path, FACES)
    finally:
        tmp_path.chmod(0o700)


def test_two_files_of_one_name(folder):
    Image.new("RGB", (8, 8)).save(folder / "2.jpg")
    refuse(r"2\.jpg and 2\.png would write the same result; keep one", folder, FACES)


def test_a_photo_among_the_masks_is_not_skipped(folder):
    Image.new("RGB", (8, 8)).save(folder / "3.jpg")
    data = InferenceDataset(folder, FACES, SMALL)
    assert names(data)[4] == "3"
    with pytest.raises(UserError, match=r"3\.jpg: this is a JPEG image"):
        data[4]


def test_n_images_must_be_positive(folder):
    refuse(r"`n_images` 0", folder, FACES, n_images=0)
    refuse(r"`n_images` -3", folder, FACES, n_images=-3)


def test_lists_that_do_not_fit(folder, tmp_path):
    names_list = tmp_path / "vis.txt"
    refuse(r"`paths_list` .*vis\.txt: this list cannot be read \(No such", folder, FACES, paths_list=names_list)
    names_list.write_bytes(b"\xff\xfe\x00")
    refuse(r"vis\.txt: this list cannot be read \(it is not UTF-8", folder, FACES, paths_list=names_list)
    names_list.write_text("\n# nothing\n")
    refuse(r"vis\.txt: the list is empty", folder, FACES, paths_list=names_list)
    names_list.write_text("2\n10\n77.png\n")
    refuse(r"vis\.txt, line 3: '77\.png' is not among the masks of .*mask; mend", folder, FACES, paths_list=names_list)
    names_list.write_text("2\n78\n77.png\n")
    refuse(r"line 2: '78' is not among the masks of .*mask, nor are 1 more of its 3; mend", folder, FACES,
           paths_list=names_list)
    refuse(r"`paths_list` needs a folder", folder / "2.png", FACES, paths_list=names_list)


def test_poses_that_are_missing(folder):
    file = folder.parent / FACES.pose_file
    file.write_text("1\nYaw Pitch Roll\n2.jpg 0 0 0\n")
    refuse(r"anno\.txt: no pose for mask 00419\.png, image 419 \(and for 2 more\); add a line.*`use_original_pose`",
           folder, FACES, use_original_pose=True)
    (folder / "00419.png").rename(folder / "02.png")
    InferenceDataset(folder, FACES, use_original_pose=True, n_images=1)  # only what is read needs a pose
    file.write_text("1\nYaw Pitch Roll\n2.jpg 0 0\n")
    refuse(r"pose-anno\.txt, line 3", folder, FACES, use_original_pose=True)
    file.unlink()
    refuse(r"there is no CelebAMask-HQ-pose-anno\.txt in this folder", folder, FACES, use_original_pose=True)


def test_a_name_without_an_id_matters_only_for_poses(folder):
    (folder / "2.png").rename(folder / "me.png")
    assert "me" in names(InferenceDataset(folder, FACES, SMALL))
    refuse(r"me\.png: the name has no image id", folder, FACES, use_original_pose=True)


def test_a_face_outside_the_crop(tmp_path):
    labels = np.full((100, 100), 13, np.uint8)
    labels[:9] = 1   # the crop begins at row 10
    Image.fromarray(labels).save(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"1\.png: the mask shows no face in the part that the network sees"):
        InferenceDataset(tmp_path, FACES)[0]


def test_cat_masks_are_no_faces():
    # its numbers are in range, but label 1 are the pupils: far too little skin; a face has hardly any of label 7
    with pytest.raises(UserError, match=r"90001\.png: .*`dataset_type`"):
        InferenceDataset(CAT_SAMPLES, FACES)[0]
    with pytest.raises(UserError, match=r"90001\.png: labels out of range \(17, 18\); CatMask"):
        InferenceDataset(FACE_SAMPLES, CATS)[0]
