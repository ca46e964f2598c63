"""Part images -> label masks: the recorded result, interruptions, splits, bad parts."""

import json
import sys

import child_processes
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from datasets.celeba_parts import combine_parts, find_parts
from datasets.split import find_list, split_ids
from utils.errors import UserError

SKIN, HAIR = 1, 13


def part(folder, name, box, size=8, mode="RGB"):
    """A white rectangle (top, left, height, width) on black at `folder`/`name`.png."""
    pixels = np.zeros((size, size), np.uint8)
    y, x, h, w = box
    pixels[y:y + h, x:x + w] = 255
    image = Image.fromarray(pixels)
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert(mode).save(path)
    return path


def build(*options):
    return child_processes.run([sys.executable, "scripts/build_celeba_mask.py", *options], cwd=ROOT)


@pytest.fixture
def parts(tmp_path):
    """Three small faces in the downloaded layout."""
    folder = tmp_path / "anno"
    for number in (0, 419, 2000):
        place = folder / str(number // 2000)
        part(place, f"{number:05d}_skin", (1, 1, 6, 6))
        part(place, f"{number:05d}_hair", (0, 0, 3, 8))
    return folder


def test_recorded_masks(tmp_path, golden):
    recorded = golden("build_celeba_mask")
    for key, box in json.loads(str(recorded["rects"])).items():
        number, name = key.split("_", 1)
        part(tmp_path / "anno" / str(int(number) // 2000), f"{int(number):05d}_{name}", box, size=64)
    done = build("--in_dir", tmp_path / "anno", "--out_dir", tmp_path / "mask", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "mask").iterdir()) == ["0.png", "2000.png", "419.png"]
    for number in (0, 419, 2000):
        with Image.open(tmp_path / "mask" / f"{number}.png") as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), recorded[f"mask_{number}"])


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "1", "RGBA", "LA"])
def test_parts_of_any_kind_and_the_largest_label_wins(tmp_path, mode):
    skin = part(tmp_path, "00001_skin", (1, 0, 2, 3), size=3, mode=mode)
    hair = part(tmp_path, "00001_hair", (0, 0, 2, 2), size=3, mode=mode)
    for order in ({HAIR: hair, SKIN: skin}, {SKIN: skin, HAIR: hair}):
        assert combine_parts(order).tolist() == [[13, 13, 0], [13, 13, 1], [1, 1, 1]]


def test_a_palette_counts_by_colour_not_by_number(tmp_path):
    # background is colour number 3, black; the part is number 0, white
    image = Image.fromarray(np.array([[3, 0], [3, 3]], np.uint8))
    image.putpalette([255] * 3 + [9] * 6 + [0] * 3)
    image.save(tmp_path / "00001_skin.png")
    assert combine_parts({SKIN: tmp_path / "00001_skin.png"}).tolist() == [[0, 1], [0, 0]]


def test_a_dim_pixel_is_in_the_part(tmp_path):
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / "00001_skin.png")
    assert combine_parts({SKIN: tmp_path / "00001_skin.png"}).tolist() == [[0, 1]]


def test_it_goes_on_where_it_was_stopped(parts, tmp_path):
    out = tmp_path / "celeba" / "mask"
    damaged = parts / "1" / "02000_hair.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40])
    stopped = build("--in_dir", parts, "--out_dir", out, "--workers", 1)
    assert stopped.returncode == 2
    assert "02000_hair.png: this part cannot be read" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (out / "2000.png").exists()
    assert not list(out.parent.glob("*.txt"))          # lists only come with the last mask
    assert all(path.suffix == ".png" and not path.name.startswith(".") for path in out.iterdir())

    damaged.write_bytes(whole)
    out.mkdir(parents=True, exist_ok=True)
    (out / "0.png").write_bytes(b"finished before")
    done = build("--in_dir", parts, "--out_dir", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "of 3 masks are there already" in done.stdout
    assert (out / "0.png").read_bytes() == b"finished before"
    assert np.asarray(Image.open(out / "2000.png"))[0].tolist() == [HAIR] * 8
    assert lists(out.parent) == {"train": ["0"], "val": ["419"], "test": ["2000"], "vis": ["2000"]}
    assert "3 of CelebAMask-HQ's 30000 faces" in done.stdout
    assert "no folders 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14): the set is not whole" in done.stdout


def lists(root):
    """The split of our own: side -> names."""
    assert not [path.name for path in root.glob("*_paths.txt") if not path.name.startswith("own_")]
    return {side: find_list(root, side).read_text().replace(".png", "").split()
            for side in ("train", "val", "test", "vis")}


def test_faces_and_parts_that_come_later(parts, tmp_path):
    """The lists take them in, and a mask is made again when a part of it comes."""
    out = tmp_path / "celeba" / "mask"
    build("--in_dir", parts, "--out_dir", out, "--workers", 1)
    for number in (4001, 4002, 4003):
        part(parts / "2", f"{number:05d}_skin", (1, 1, 6, 6))
    part(parts / "0", "00419_nose", (5, 5, 1, 1))
    done = build("--in_dir", parts, "--out_dir", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "2 of 6 masks are there already\n1 masks are made again: parts of them came later" in done.stdout
    assert "4 masks written" in done.stdout
    assert "they were of other masks, and are new" in done.stdout
    assert np.asarray(Image.open(out / "419.png"))[5, 5] == 2
    split = lists(out.parent)
    assert sorted(split["train"] + split["val"] + split["test"], key=int) == sorted(
        (path.stem for path in out.glob("*.png")), key=int)


def test_the_lists_of_the_authors_stay_and_are_the_only_ones(parts, tmp_path):
    out = tmp_path / "celeba" / "mask"
    out.mkdir(parents=True)
    for side in ("train", "test"):
        (out.parent / f"{side}_paths.txt").write_text("0\n" if side == "train" else "2000\n")
    done = build("--in_dir", parts, "--out_dir", out, "--workers", 1)
    assert "lists: those that are there (train_paths.txt, test_paths.txt)" in done.stdout
    assert sorted(path.name for path in out.parent.glob("*.txt")) == ["test_paths.txt", "train_paths.txt"]
    assert (out.parent / "test_paths.txt").read_text() == "2000\n"


def test_the_full_set_splits_in_three():
    split = split_ids(range(30_000))
    assert split["train"] == list(range(27_500))
    assert split["val"] == list(range(27_500, 28_000))
    assert split["test"] == list(range(28_000, 30_000))
    assert len(split["vis"]) == 16
    assert split["vis"][:2] == [28_000, 28_125]
    assert split_ids(list(reversed(range(30_000)))) == split


@pytest.mark.parametrize("count, held_out", [(2, 1), (15, 1), (60, 4), (1500, 100)])
def test_smaller_sets_split_in_proportion(count, held_out):
    split = split_ids([7 * i for i in range(count)])
    assert len(split["test"]) == held_out
    assert len(split["val"]) == max(count > 2, round(count / 60))
    assert sorted(split["train"] + split["val"] + split["test"]) == [7 * i for i in range(count)], "disjoint, and all"
    assert set(split["vis"]) <= set(split["test"])


def test_a_single_face_trains():
    assert split_ids([5]) == {"train": [5], "val": [], "test": [], "vis": []}


def test_bad_folders_and_parts(parts, tmp_path):
    with pytest.raises(UserError, match=r"`in_dir` .*nowhere: there is no such folder"):
        find_parts(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"`in_dir` .*empty: no part images such as"):
        find_parts(tmp_path / "empty")
    assert list(find_parts(parts)) == [0, 419, 2000]
    extra = part(parts, "3/00419_hair", (0, 0, 1, 1))
    with pytest.raises(UserError, match=r"00419_hair\.png: .* is the same part of the same face; keep one"):
        find_parts(parts)
    extra.rename(extra.with_name("00419_beard.png"))
    with pytest.raises(UserError, match=r"00419_beard\.png: this is no part of a face.*l_brow"):
        find_parts(parts)


def test_parts_of_different_size_are_refused(tmp_path):
    files = {label: part(tmp_path, f"00001_{name}", (0, 0, 1, 1), size)
             for label, name, size in ((SKIN, "skin", 8), (HAIR, "hair", 9))}
    with pytest.raises(UserError, match=r"00001_hair\.png: 9x9 pixels, where other parts of this face have 8x8"):
        combine_parts(files)


def test_bad_command_lines(parts, tmp_path):
    refused = build("--in_dir", parts, "--out_dir", tmp_path / "mask", "--workers", 0)
    assert (refused.returncode, refused.stderr) == (
        2, "error: argument --workers: 0 is out of range, give 1 or more; see --help\n")
    (tmp_path / "file").write_text("")
    refused = build("--in_dir", parts, "--out_dir", tmp_path / "file" / "mask")
    assert refused.returncode == 2
    assert "this folder cannot be written to" in refused.stderr
