"""Who trains, who validates, who tests: the authors' lists, our own, and no face in two of them."""

import hashlib

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from tiny_training import make_data

from configs.data_configs import data_config
from datasets import split
from datasets.inference_set import InferenceDataset
from datasets.poses import image_id
from datasets.split import find_masks
from evaluation.test_set import EvaluationSet
from scripts import make_lists
from utils.errors import UserError

FACES, CATS = data_config("celebahq_seg_to_3dface"), data_config("catmask_seg_to_3dface")


def listed(root, name, *entries):
    (root / name).write_text("".join(f"{entry}\n" for entry in entries))
    return root / name


def ids(masks):
    return sorted({image_id(path) for path in masks})


def with_authors(config, **lists):
    """The data set, as if these were the authors' lists."""
    from dataclasses import replace

    return replace(config, authors_lists=tuple((side, digest(entries)) for side, entries in lists.items()))


def digest(entries):
    """What `split.list_digest` says of a list of these names."""
    return hashlib.sha256("\n".join(sorted(entries)).encode()).hexdigest()


def test_own_lists_are_disjoint_and_used(tmp_path):
    root = make_data(tmp_path / "faces", count=9)
    (root / "val_paths.txt").write_bytes((ROOT / "data/CelebAMask-HQ/val_paths.txt").read_bytes())  # as in a clone
    make_lists.main([str(root)])
    train, val, source = find_masks(root, FACES)
    test = EvaluationSet.find(root, FACES)
    names = [ids(train), ids(val), ids(mask.path for mask in test.masks)]
    assert names == [[*range(7)], [7], [8]]
    assert source == "own split (own_train_paths.txt), own split (own_val_paths.txt)"
    assert test.source == "own split (own_test_paths.txt)"
    assert test.split_sha256 == hashlib.sha256(b"8").hexdigest()
    assert "trained on most of these faces" in test.known_to_authors


def test_lists_for_cats_too(tmp_path, capsys):
    root = tmp_path / "cats"
    (root / "masks").mkdir(parents=True)
    for name in ("3", "14", "7", "7_ear"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / "masks" / f"{name}.png")
    make_lists.main([str(root)])
    assert "own split" in capsys.readouterr().out
    assert [split.find_list(root, side).read_text() for side in ("train", "val", "test", "vis")] == [
        "3.png\n", "7.png\n", "14.png\n", "14.png\n"]
    with pytest.raises(UserError, match="there is no folder mask/ or masks/"):
        make_lists.main([str(tmp_path)])


def test_the_authors_lists_are_known_by_their_digest(tmp_path):
    """The real digests of the lists to look at, which are short; the others by facts: 28,000 and 2,000 faces."""
    looked_at = listed(tmp_path, "v.txt", "21464_eye", "12999.png", "15179", "21464")
    assert split.describe(looked_at, FACES) == "the authors' val list (v.txt)"
    assert {side for side, _ in FACES.authors_lists} == {"train", "val", "test"}
    assert CATS.authors_lists == data_config("synthheads_seg_to_3dface").authors_lists == ()
    other = listed(tmp_path, "test_paths.txt", *range(28_000, 30_000))
    assert split.describe(other, FACES) == "own split (test_paths.txt)"


def test_a_digest_does_not_depend_on_how_a_list_is_written(tmp_path):
    plain = listed(tmp_path, "a.txt", "7", "419_hair")
    windows = tmp_path / "b.txt"
    windows.write_bytes(b"\xef\xbb\xbfmask\\419_hair.png\r\n\r\n00007.jpg\r\n")
    assert split.list_digest(plain) == split.list_digest(windows) != split.list_digest(listed(tmp_path, "c.txt", "7"))


def test_the_authors_lists_work_as_they_are(tmp_path):
    """They validate on test faces, some of them edits in mask_samples/: these are left out, and others held out."""
    root = make_data(tmp_path / "faces", count=6)
    (root / "mask_samples").mkdir()
    for name in ("4", "4_eye"):
        (root / "mask_samples" / f"{name}.png").write_bytes((root / "mask" / "4.png").read_bytes())
    lists = {"train": ["0", "1", "2", "3"], "val": ["4", "4_eye"], "test": ["4", "5"]}
    config = with_authors(FACES, **lists)
    for side, entries in lists.items():
        listed(root, f"{side}_paths.txt", *entries)
    train, val, source = find_masks(root, config)
    assert (ids(train), ids(val)) == ([1, 2, 3], [0])
    assert source == ("the authors' train list (train_paths.txt), the authors' val list (val_paths.txt), "
                      "without 2 test masks of the validation list, every 50th is held out")
    given = find_masks(root, config, str(root / "train_paths.txt"), str(root / "val_paths.txt"))
    assert ids(given[1]) == [0], "best_model.pt is never chosen on test faces"
    test = EvaluationSet.find(root, config)
    assert test.source == "the authors' test list (test_paths.txt)"
    assert test.known_to_authors is None
    # without the test list, the entries are found where they lie, with photograph and pose of their face
    (root / "test_paths.txt").unlink()
    _, val, _ = find_masks(root, config)
    assert [path.relative_to(root).as_posix() for path in val] == ["mask/4.png", "mask_samples/4_eye.png"]
    (root / "mask" / "4.png").unlink()
    found = InferenceDataset(root / "mask", config, paths_list=root / "val_paths.txt", use_original_pose=True)
    assert [path.parent.name for path in found.paths] == ["mask_samples", "mask_samples"]
    assert 4 in found.poses


def test_test_faces_never_train_by_themselves(tmp_path):
    root = make_data(tmp_path / "faces", count=5)
    listed(root, "test_paths.txt", "1", "4")
    train, val, _ = find_masks(root, FACES)
    assert (ids(train), ids(val)) == ([2, 3], [0])
    train, _, source = find_masks(root, FACES, str(listed(root, "mine.txt", "1", "2")))
    assert ids(train) == [1, 2], "a list that says so is obeyed"
    assert "1 images of the test list are trained on" in source


def test_the_quick_list_of_a_fresh_clone():
    """The newest official README's first command names it; the masks are those of the bundled samples."""
    root = ROOT / "data/CelebAMask-HQ"
    for name in ("val_paths.txt", "vis_paths.txt"):
        data = InferenceDataset(root / "mask_samples", FACES, paths_list=root / name, use_original_pose=True)
        assert len(data) >= 2
    assert any("_" in path.stem for path in InferenceDataset(
        root / "mask_samples", FACES, paths_list=root / "val_paths.txt").paths), "an edited mask among them"


def test_the_bundled_list_is_no_validation_list(tmp_path):
    """Its masks have no photographs: with the authors' other two lists in place, faces of the data set are held out."""
    root = make_data(tmp_path / "faces", count=4)
    (root / "val_paths.txt").write_bytes((ROOT / "data/CelebAMask-HQ/val_paths.txt").read_bytes())
    (root / "mask_samples").symlink_to(ROOT / "data/CelebAMask-HQ/mask_samples")
    listed(root, "train_paths.txt", "0", "1", "2")
    assert ids(find_masks(root, FACES)[1]) == [0]
    (root / "train_paths.txt").unlink()
    assert ids(find_masks(root, FACES)[1]) == [0]
