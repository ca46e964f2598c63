"""Training data: files to items, lists, the cache of maps, loaders."""

import contextlib
import math
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from launching import context
from tiny_training import make_cat_data, make_data

from configs.data_configs import data_config
from datasets.masks.cache import MapCache
from datasets.masks.files import read_mask
from datasets.masks.maps import MaskTransform, prepare_mask
from datasets.sample_stream import BatchShard, SampleStream, index_at
from datasets.split import find_masks
from datasets.training_set import ImagesDataset3D, ImagesOptions, mirrored
from training.loading import checked, collate, to_device, training_loader
from utils.errors import UserError

FACES, CATS = data_config("celebahq_seg_to_3dface"), data_config("catmask_seg_to_3dface")
OPTIONS = ImagesOptions(MaskTransform(80, 64, 32), output_size=48)


@pytest.fixture
def faces(tmp_path):
    return make_data(tmp_path / "faces", count=4)


def dataset(root, config=FACES, options=OPTIONS, **lists):
    train, _, _ = find_masks(root, config, **lists)
    transform = replace(options.transform, crop=config.crop)
    return ImagesDataset3D(root, config, train, replace(options, transform=transform))


def test_item(faces):
    data = dataset(faces)
    item = data[0]
    assert item["name"] == "1", "mask 0 is held out"
    assert item["label"].shape == item["contour"].shape == item["distance"].shape == (32, 32)
    assert item["image"].shape == (3, 48, 48)
    assert {item[key].dtype for key in ("label", "contour", "distance", "image")} == {torch.uint8}
    # 1.jpg: yaw -4, pitch -1 degrees -> 94 and 89 degrees
    torch.testing.assert_close(item["pose"], torch.deg2rad(torch.tensor([94.0, 89.0])))
    expected = prepare_mask(read_mask(faces / "mask" / "1.png", FACES.label_space), FACES.label_space, True,
                            OPTIONS.transform, True)
    np.testing.assert_array_equal(item["label"], expected.label)
    np.testing.assert_array_equal(item["distance"], expected.distance)


def test_photograph_is_framed_as_the_mask(tmp_path):
    """A white square in the photograph lies where its label lies in the mask."""
    root = make_data(tmp_path / "faces", count=2)
    mask, image = np.zeros((160, 160), np.uint8), np.zeros((320, 320, 3), np.uint8)
    mask[60:90, 40:100], image[120:180, 80:200] = 1, 255
    cv2.imwrite(str(root / "mask" / "1.png"), mask)
    cv2.imwrite(str(root / "CelebA-HQ-img" / "1.jpg"), image)
    for crop in (True, False):
        item = dataset(root, replace(FACES, crop=crop), ImagesOptions(MaskTransform(80, 64, 48), 48))[0]
        agree = (item["image"].float().mean(0) > 127) == (item["label"] == 1)
        assert agree.float().mean() > 0.97


def test_official_input_and_target(golden, tmp_path):
    """The first training mask of the reference run, bit for bit."""
    import hashlib

    from conftest import GOLDEN

    for tag, config, folder, label_nc in (("celebahq", FACES, "faces", 16), ("catmask", CATS, "cats", 8)):
        root = (make_data if tag == "celebahq" else make_cat_data)(tmp_path / tag, count=2)
        shutil.copy(GOLDEN / "masks" / folder / "0.png", root / "mask" / "1.png")
        data = dataset(root, config, ImagesOptions(MaskTransform(320, 256, 224), 64))
        masks = to_device(collate([data[0]]), label_nc, torch.device("cpu")).masks
        expected = str(golden(f"train_step_{tag}")["x_sha"])
        assert hashlib.sha256(masks.numpy().tobytes()).hexdigest() == expected


def test_cats(tmp_path):
    data = dataset(make_cat_data(tmp_path / "cats"), CATS)
    assert len(data) == 3
    torch.testing.assert_close(data[0]["pose"], torch.tensor([1.55, 1.6]))
    assert data.label_space.name == "CatMask_merged"


def test_edited_mask_shares_photograph_and_pose(faces):
    shutil.copy(faces / "mask" / "2.png", faces / "mask" / "3_hair.png")
    (faces / "list.txt").write_text("3\n3_hair.png\n")
    data = dataset(faces, train_list=str(faces / "list.txt"))
    assert [data[i]["name"] for i in range(2)] == ["3", "3_hair"]
    assert torch.equal(data[0]["image"], data[1]["image"])
    assert torch.equal(data[0]["pose"], data[1]["pose"])
    assert not torch.equal(data[0]["label"], data[1]["label"])


def test_lists(faces, tmp_path):
    def names(**lists):
        train, val, _ = find_masks(faces, FACES, **lists)
        return [path.stem for path in train], [path.stem for path in val]

    shutil.copy(faces / "mask" / "0.png", faces / "mask" / "0_hair.png")
    assert names() == (["1", "2", "3"], ["0", "0_hair"]), "an edit is held out with its base"
    one = tmp_path / "one.txt"
    one.write_text("2\n")
    assert names(val_list=str(one)) == (["0", "0_hair", "1", "3"], ["2"])
    assert names(train_list=str(one)) == (["2"], ["0", "0_hair", "1", "3"])
    (faces / "train_paths.txt").write_text("0\n1\n")
    (faces / "val_paths.txt").write_text("3.jpg\n")
    assert names() == (["0", "1"], ["3"])
    assert names(train_list=str(one), val_list=str(one)) == (["2"], ["2"])




def no_root(root):
    shutil.rmtree(root)


def no_masks(root):
    shutil.rmtree(root / "mask")


def empty_masks(root):
    for path in (root / "mask").iterdir():
        path.unlink()


def no_photographs(root):
    shutil.rmtree(root / "CelebA-HQ-img")


def missing_photograph(root):
    (root / "CelebA-HQ-img" / "2.jpg").unlink()


def no_poses(root):
    (root / FACES.pose_file).unlink()


def missing_pose(root):
    lines = (root / FACES.pose_file).read_text().splitlines()
    (root / FACES.pose_file).write_text("\n".join(lines[:-1]))


def unknown_name(root):
    (root / "train_paths.txt").write_text("17\n")


def empty_list(root):
    (root / "train_paths.txt").write_text("\n")


@pytest.mark.parametrize("damage, message", [
    (no_root, "`data_root` .*: there is no such folder"),
    (no_masks, "no folder mask/ of label PNGs; make it with scripts/build_celeba_mask.py"),
    (empty_masks, "`data_root` .*no masks in this folder"),
    (no_photographs, "no folder of photographs"),
    (missing_photograph, "no photograph 2.jpg or .png for mask 2.png"),
    (no_poses, "it has no CelebAMask-HQ-pose-anno.txt"),
    (missing_pose, "no pose for mask 3.png, image 3"),
    (unknown_name, "train_paths.txt, line 1: '17'"),
    (empty_list, "`train_paths_conf` .*the list is empty"),
])
def test_what_is_missing_is_named(faces, damage, message):
    damage(faces)
    with pytest.raises(UserError, match=message):
        dataset(faces)


def test_damaged_files_are_named_also_by_loader_processes(faces):
    photograph = faces / "CelebA-HQ-img" / "1.jpg"
    photograph.write_bytes(photograph.read_bytes()[:500])
    with pytest.raises(UserError, match=r"1\.jpg: this photograph cannot be read"):
        dataset(faces)[0]
    loader = training_loader(dataset(faces), SampleStream(3, 0, BatchShard(3)), workers=1, pin=False)
    with pytest.raises(UserError, match=r"^[^\n]*1\.jpg: this photograph cannot be read[^\n]*$"):
        next(checked(loader))


@pytest.mark.parametrize("hung", [False, True])
def test_loader_processes_end_with_the_batches(faces, hung):
    """Also one that hangs; Python would wait for it at its own exit."""
    loader = training_loader(dataset(faces), SampleStream(3, 0, BatchShard(3)), workers=1, pin=False)
    with contextlib.closing(checked(loader)) as batches:
        next(batches)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGTERM)  # is for the training process to react to
        assert len(next(batches)["name"]) == 3
        if hung:
            os.kill(worker.pid, signal.SIGSTOP)
    assert not multiprocessing.active_children()


def test_cache_gives_the_same_and_follows_the_content(faces, tmp_path):
    cached = replace(OPTIONS, cache=tmp_path / "cache")
    plain, first, second = dataset(faces)[0], dataset(faces, options=cached)[0], dataset(faces, options=cached)[0]
    (file,) = (tmp_path / "cache").rglob("*.png")
    for item in (first, second):
        assert all(torch.equal(item[key], plain[key]) for key in ("label", "contour", "distance"))
    shutil.copy(faces / "mask" / "2.png", faces / "mask" / "1.png")  # another mask under the old name
    assert torch.equal(dataset(faces, options=cached)[0]["label"], dataset(faces)[0]["label"])
    assert not torch.equal(dataset(faces)[0]["label"], plain["label"])
    other = replace(cached, merged=False)
    assert dataset(faces, options=other)[0]["label"].max() == 13, "other settings, other files"
    file.write_bytes(file.read_bytes()[:60])
    shutil.copy(faces / "mask" / "3.png", faces / "mask" / "1.png")
    assert torch.equal(dataset(faces, options=cached)[0]["label"], dataset(faces)[0]["label"])


def test_damaged_cache_file_counts_as_absent(faces, tmp_path):
    cached = replace(OPTIONS, cache=tmp_path / "cache")
    expected = dataset(faces, options=cached)[0]
    (file,) = (tmp_path / "cache").rglob("*.png")
    whole = file.read_bytes()
    for damaged in (b"", whole[:60], b"not a image"):
        file.write_bytes(damaged)
        assert torch.equal(dataset(faces, options=cached)[0]["distance"], expected["distance"])
        assert file.read_bytes() == whole, "and is made again"


def test_unwritable_cache_is_no_error(faces, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert dataset(faces, options=replace(OPTIONS, cache=tmp_path / "cache"))[0]["name"] == "1"


def _fill(arguments):
    folder, seed = arguments
    rng = np.random.default_rng(seed)
    cache = MapCache(folder, "recipe", planes=1)
    for _ in range(50):
        content = bytes([rng.integers(5)])
        kept = cache.get(content, 8)
        mask = prepare_mask(np.full((8, 8), 1 + content[0], np.uint8), FACES.label_space, False,
                            MaskTransform(input_size=8, crop=False), False)
        if kept is not None and not (kept.label == mask.label).all():
            return False
        cache.put(content, mask)
    return True


def test_many_processes_share_a_cache(tmp_path):
    with ProcessPoolExecutor(2, context()) as pool:
        assert all(pool.map(_fill, [(tmp_path, seed) for seed in range(4)]))
    assert len(list(tmp_path.rglob("*.png"))) == 5
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_follows_the_stream(faces, workers):
    data = dataset(faces)
    loader = training_loader(data, SampleStream(3, 3, BatchShard(2), start=4), workers=workers, pin=False)
    with contextlib.closing(checked(loader)) as batches:
        names = [name for batch, _ in zip(batches, range(4)) for name in batch["name"]]
    assert names == [data.masks[index_at(position, 3, 3)].stem for position in range(4, 12)]


def test_mirrored_samples_follow_the_others(faces):
    """Twice as many; a mirrored sample is the mirror image with left and right parts exchanged, seen from the other
    side, and mirrored again it is the sample itself."""
    data = dataset(faces, FACES, replace(OPTIONS, mirror=True, merged=False))
    count = len(data.masks)
    assert len(data) == 2 * count
    item, other = data[0], data[count]
    space = FACES.label_space
    left, right = space.index("l_eye"), space.index("r_eye")
    assert torch.equal(other["image"], item["image"].flip(-1))
    assert torch.equal(other["label"] == left, (item["label"] == right).flip(-1))
    assert torch.equal(other["label"] == space.index("l_lip"), (item["label"] == space.index("l_lip")).flip(-1))
    assert other["pose"].tolist() == pytest.approx([math.pi - item["pose"][0].item(), item["pose"][1].item()])
    again = mirrored(other, space)
    for name in ("label", "contour", "distance", "image"):
        assert torch.equal(again[name], item[name]), name
    assert again["pose"].tolist() == pytest.approx(item["pose"].tolist())


def test_extra_data_arrives_with_its_batch(faces):
    """The hook says what a sample holds besides, mirrored or not."""
    train, _, _ = find_masks(faces, FACES)
    data = ImagesDataset3D(faces, FACES, train, replace(OPTIONS, mirror=True),
                           lambda image, flipped: {"number": torch.tensor([image, 10 * flipped])})
    batch = to_device(collate([data[0], data[4]]), 16, torch.device("cpu"))
    assert batch.extra["number"].tolist() == [[1, 0], [2, 10]]
    assert to_device(collate([dataset(faces)[0]]), 16, torch.device("cpu")).extra == {}
