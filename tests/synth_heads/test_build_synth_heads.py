"""SynthHeads on disk: the same bytes however it is built, the masks that were rendered, lists, refusals."""

import json
import os
import re
import sys
import time

import child_processes
import numpy as np
import psutil
import pytest
from conftest import ROOT
from PIL import Image

from configs.data_configs import data_config
from datasets.celeba_parts import PART_LABELS
from datasets.inference_set import InferenceDataset
from datasets.layout import DEPTH_UNIT
from datasets.poses import find_pose_file, read_poses
from synth_heads.data.dataset import (
    build_dataset,
    camera_angles,
    draw_head,
    write_view,
)
from synth_heads.data.record import Settings
from synth_heads.generator import Head, render
from synth_heads.generator.labels import LABEL_NAMES
from synth_heads.scripts import build_head_asset, build_synth_heads, draw_synth_gallery
from utils.cli import run
from utils.errors import UserError
from utils.parallel import process_map

SETTINGS = Settings(num_heads=5, views=2, size=128, seed=5, depth=True)
IDS = [0, 1, 100, 101, 200, 201, 300, 301, 400, 401]
CONFIG = data_config("synthheads_seg_to_3dface")


def run_script(name, *options):
    room = "scripts" if name == "build_celeba_mask" else "synth_heads/scripts"
    return child_processes.run([sys.executable, f"{room}/{name}.py", *options], cwd=ROOT, timeout=240)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Five heads with two views each, made by one process."""
    out = tmp_path_factory.mktemp("synth") / "heads"
    assert build_dataset(out, SETTINGS, workers=1) == 0
    return out


@pytest.fixture(scope="module")
def masks(built, tmp_path_factory):
    """The label masks that the preparation script makes of the parts."""
    folder = tmp_path_factory.mktemp("prepared") / "mask"
    done = run_script("build_celeba_mask", "--in_dir", built / "CelebAMask-HQ-mask-anno", "--out_dir", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def rendered():
    """id -> the same picture, rendered here."""
    views = {}
    for number in range(2):
        z, poses_deg = draw_head(SETTINGS, number)
        head = Head.from_latent(z)
        for view, (yaw, pitch) in enumerate(camera_angles(poses_deg)):
            views[number * 100 + view] = render(head, float(yaw), float(pitch), 128)
    return views


# ---- the same bytes ----------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_killed_build_continues_with_other_workers_and_ends_the_same(built, tmp_path):
    out = tmp_path / "heads"
    code = ("from pathlib import Path; import synth_heads.data.dataset as d; d._RECORD_SECONDS = 0\n"
            f"d.build_dataset(Path({str(out)!r}), d.{SETTINGS!r}, 1)")
    process = child_processes.start([sys.executable, "-c", code], cwd=ROOT)
    record, deadline = out / "build.json", time.monotonic() + 120
    while not (record.exists() and json.loads(record.read_text())["heads"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=10)[1] == []  # none lives on
    done = json.loads(record.read_text())["heads"]
    assert 1 <= done < 5
    (out / "CelebA-HQ-img" / f".{done}00.tmp.jpg").write_bytes(b"torn")

    seen = []
    assert build_dataset(out, SETTINGS, 2, lambda heads, before: (seen.append(head) or head for head in heads)) == done
    assert seen == list(range(done, 5))
    assert contents(out) == contents(built)


@pytest.mark.slow
def test_more_heads_extend_a_dataset_and_a_finished_one_is_left_alone(built, tmp_path):
    out = tmp_path / "heads"
    options = ["--out", out, "--views", 2, "--size", 128, "--seed", 5, "--depth"]
    first = run_script("build_synth_heads", *options, "--num_heads", 2, "--workers", 2)
    assert first.returncode == 0, first.stderr
    assert "4/4" in first.stderr  # the progress bar
    stamps = {path: path.stat().st_mtime_ns for path in (out / "CelebA-HQ-img").iterdir()}
    assert build_dataset(out, SETTINGS, workers=2) == 2
    assert contents(out) == contents(built)
    assert build_dataset(out, SETTINGS, workers=2) == 5
    assert contents(out) == contents(built)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


# ---- what lies on the disk ---------------------------------------------------------------------------------------

def test_the_layout_is_that_of_celebamask_hq(built):
    files = sorted(contents(built))
    assert {name.split("/")[0] for name in files} == {
        "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "CelebAMask-HQ-pose-anno.txt", "build.json", "dataset_card.md",
        "depth", "latents.npz", "test_paths.txt", "train_paths.txt", "val_paths.txt", "vis_paths.txt"}
    assert sorted(int(path.stem) for path in (built / "CelebA-HQ-img").iterdir()) == IDS
    assert (built / "CelebAMask-HQ-mask-anno/0/00101_skin.png").is_file()
    assert LABEL_NAMES == CONFIG.label_space.labels == ("background", *PART_LABELS)


def test_folders_of_parts_hold_2000_ids(tmp_path, rendered):
    for folder in ("CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "depth"):
        (tmp_path / folder).mkdir()
    for identity in (1999, 2000, 123456):
        write_view(tmp_path, identity, rendered[0], SETTINGS)
    names = [f"{path.parent.name}/{path.name}" for path in tmp_path.rglob("*_skin.png")]
    assert sorted(names) == ["0/01999_skin.png", "1/02000_skin.png", "61/123456_skin.png"]
    parts, masks = tmp_path / "CelebAMask-HQ-mask-anno", tmp_path / "m"
    done = run_script("build_celeba_mask", "--in_dir", parts, "--out_dir", masks)
    assert done.returncode == 0, done.stderr
    for identity in (1999, 2000, 123456):
        np.testing.assert_array_equal(np.asarray(Image.open(masks / f"{identity}.png")), rendered[0].labels)


def test_the_preparation_script_gives_the_rendered_masks_back(masks, rendered):
    assert sorted(int(path.stem) for path in masks.iterdir()) == IDS
    for identity, view in rendered.items():
        np.testing.assert_array_equal(np.asarray(Image.open(masks / f"{identity}.png")), view.labels)


def test_no_two_parts_overlap(built):
    parts = [np.asarray(Image.open(path)) for path in (built / "CelebAMask-HQ-mask-anno/0").glob("00100_*.png")]
    assert len(parts) > 6
    assert set(np.unique(parts)) == {0, 255}
    assert (np.array(parts) > 0).sum(0).max() == 1


def test_merged_masks_are_the_same_bytes(masks, tmp_path):
    settings = Settings(num_heads=1, views=2, size=128, seed=5, merged=True)
    build_dataset(tmp_path, settings, workers=1)
    assert not (tmp_path / "CelebAMask-HQ-mask-anno").exists()
    assert contents(tmp_path / "mask") == {name: (masks / name).read_bytes() for name in ("0.png", "1.png")}


def test_pictures_and_depths_are_the_rendered_ones(built, rendered):
    for identity, view in rendered.items():
        picture = np.asarray(Image.open(built / f"CelebA-HQ-img/{identity}.jpg")).astype(int)
        assert np.abs(picture - view.rgb).mean() < 2  # JPEG
        steps = np.asarray(Image.open(built / f"depth/{identity}.png"))
        np.testing.assert_array_equal(steps == 0, view.labels == 0)
        figure = steps > 0
        assert np.abs(steps[figure] * DEPTH_UNIT - view.depth[figure]).max() <= DEPTH_UNIT


def test_poses_in_the_file_are_those_of_the_pictures(built):
    poses = read_poses(built / CONFIG.pose_file, CONFIG.pose_format)
    with np.load(built / "latents.npz", allow_pickle=False) as latents:
        assert latents["ids"].ravel().tolist() == list(poses) == IDS
        np.testing.assert_allclose(latents["camera"].reshape(-1, 2), list(poses.values()), atol=1e-12)
        for number in range(5):
            z, poses_deg = draw_head(SETTINGS, number)
            np.testing.assert_array_equal(latents["z"][number], z)
            np.testing.assert_array_equal(latents["camera"][number], camera_angles(poses_deg))


def test_the_dataset_type_reads_it(built, masks):
    assert CONFIG.data_root.name == "SynthHeads"
    assert find_pose_file(built / "mask", CONFIG) == (built / CONFIG.pose_file).resolve()
    for name in (CONFIG.pose_file, "val_paths.txt"):
        (masks.parent / name).write_bytes((built / name).read_bytes())
    data = InferenceDataset(masks, CONFIG, use_original_pose=True, paths_list=masks.parent / "val_paths.txt")
    assert [item.name for item in data] == ["300", "301"]
    camera = camera_angles(draw_head(SETTINGS, 3)[1])
    assert data[1].pose == pytest.approx(tuple(camera[1]))


def test_the_card_counts_what_is_there(built, masks):
    labels = np.stack([np.asarray(Image.open(path)) for path in masks.iterdir()])
    card = (built / "dataset_card.md").read_text()
    assert "5 heads x 2 views = 10 images of 128 x 128" in card
    assert "--num_heads 5 --views 2 --size 128 --seed 5 --palette free --depth" in card
    assert "`depth/<id>.png`" in card
    for name in ("skin", "hair", "l_ear"):
        there = labels == LABEL_NAMES.index(name)
        assert f"| {name} | {there.mean():.4f} | {there.any((1, 2)).mean():.3f} |" in card


# ---- masks, lists ---------------------------------------------------------------------------------------------------

def test_masks_may_be_larger_than_pictures(masks, tmp_path):
    settings = Settings(num_heads=1, views=1, size=128, seed=5, merged=True, mask_size=512)
    build_dataset(tmp_path, settings, workers=1)
    small, large = (np.asarray(Image.open(folder / "0.png")) for folder in (masks, tmp_path / "mask"))
    middle = large[2::4, 2::4]  # a pixel of the picture is four of the mask
    assert large.shape == (512, 512)
    assert (middle == small).mean() > 0.97
    assert (large != small.repeat(4, 0).repeat(4, 1)).any(), "the mask has details of its own"
    assert Image.open(tmp_path / "CelebA-HQ-img/0.jpg").size == (128, 128)
    for change, words in (({"mask_size": 64}, "give 128"), ({"merged": False}, "add `merged`")):
        with pytest.raises(UserError, match=words):
            Settings(**{**vars(settings), **change})


def test_lists_name_masks_of_their_heads(built):
    lists = {name: (built / f"{name}_paths.txt").read_text().split() for name in ("train", "val", "test", "vis")}
    assert lists == {"train": [f"{i}.png" for i in IDS[:6]], "val": ["300.png", "301.png"],
                     "test": ["400.png", "401.png"], "vis": ["300.png", "301.png"]}


# ---- refusals ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("change, words", [
    ({"seed": 6}, "with --seed 5; give another folder"), ({"size": 256}, "with --size 128"),
    ({"views": 3}, "with --views 2"), ({"depth": False}, "with --depth;"), ({"merged": True}, "without --merged"),
    ({"palette": "fixed"}, "with --palette free"), ({"edits": True, "num_heads": 6}, "without --edits"),
    ({"num_heads": 4}, "holds 5 heads already"),
])
def test_other_settings_do_not_mix(built, change, words):
    before = contents(built)
    with pytest.raises(UserError, match=words):
        build_dataset(built, Settings(**{**vars(SETTINGS), **change}), workers=1)
    assert contents(built) == before


def test_another_generator_does_not_mix(built, monkeypatch):
    monkeypatch.setattr("synth_heads.data.record.generator_version", lambda: "another")
    with pytest.raises(UserError, match="another version of the generator"):
        build_dataset(built, SETTINGS, workers=1)


def test_a_record_from_before_a_setting_came(built):
    """It means that setting's default: it can still be extended."""
    path = built / "build.json"
    text = path.read_text()
    record = json.loads(text)
    del record["settings"]["edits"]
    path.write_text(json.dumps(record))
    assert build_dataset(built, SETTINGS, workers=1) == 5
    path.write_text(text)


def test_a_damaged_record(tmp_path):
    (tmp_path / "build.json").write_text('{"heads": 3')
    with pytest.raises(UserError, match=r"build\.json: this record .* cannot be read"):
        build_dataset(tmp_path, SETTINGS, workers=1)


@pytest.mark.parametrize("option, value, words", [
    ("--num_heads", 0, "give at least 1"), ("--views", 101, "give 1 to 100"), ("--size", 64, "give 128 to 512"),
    ("--seed", -1, "from 0 on"), ("--workers", 0, "give 1 or more"), ("--sise", 256, "unrecognized")])
def test_unusable_options(tmp_path, capsys, option, value, words):
    with pytest.raises(SystemExit) as stop:
        run(build_synth_heads.main, ["--out", str(tmp_path / "x"), option, str(value)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert option in error
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("script", [draw_synth_gallery, build_head_asset])
def test_unknown_options_of_its_tools(capsys, script):
    with pytest.raises(SystemExit) as stop:
        run(script.main, ["file", "--dcos", "x"])
    assert stop.value.code == 2
    assert re.fullmatch(r"error: unrecognized arguments: .*--dcos x; see --help\n", capsys.readouterr().err)


def test_a_file_that_cannot_be_written(tmp_path, rendered):
    (tmp_path / "mask/7.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"mask/7\.png: cannot be written .*; make room"):
        write_view(tmp_path, 7, rendered[0], Settings(num_heads=1, views=1, size=128, merged=True))


def test_a_worker_that_is_killed_is_reported():
    with pytest.raises(UserError, match=r"worker processes ended .*fewer `workers`"):
        list(process_map(os._exit, [1], 2))
