"""What the editor's server answers to its own page."""

import functools
import http.client
import io
import json
import re
import threading
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from editor_servers import frames, painting_path, running, sample
from PIL import Image
from tiny import CAT_OPTS, FACE_OPTS, tiny_model

from configs.label_spaces import LABEL_ORDERS, LABEL_SPACES
from models.scene import Scene
from web.server.masks import LONGEST_SIDE
from web.volume.baking import bake
from web.volume.packing import FAST, pack

SPACE = LABEL_SPACES["CelebAMask_HQ"]


@pytest.fixture(scope="module")
def editor():
    with running(tiny_model(contrast=20)) as editor:
        yield editor


@pytest.fixture(scope="module")
def cats():
    with running(tiny_model({**CAT_OPTS, "use_merged_labels": True}, contrast=20)) as editor:
        yield editor


def as_file(pixels: np.ndarray, palette: np.ndarray | None = None, suffix: str = "PNG") -> bytes:
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette.tobytes())
    out = io.BytesIO()
    image.save(out, format=suffix)
    return out.getvalue()


def test_the_page_and_everything_it_names(editor):
    status, page = editor.ask("GET", "/")
    assert status == 200
    names = re.findall(r'(?:src|href)="\.\./([^"]+)"', page.decode())
    assert len(names) > 20
    for name in names:
        assert editor.ask("GET", f"/{name}")[0] == 200, name


def test_describe(editor):
    status, body = editor.ask("GET", "/describe")
    about = json.loads(body)
    assert status == 200
    assert [label["name"] for label in about["labels"]] == list(SPACE.labels)
    assert [tuple(label["colour"]) for label in about["labels"]] == list(SPACE.palette)
    assert not any(label["ignored"] for label in about["labels"])
    assert about["orders"] == list(LABEL_ORDERS)
    assert about["seen"] == 0.8
    assert "90001" in about["samples"]
    assert about["preset"]["fov"] == 12


def test_cats(cats):
    about = json.loads(cats.ask("GET", "/describe")[1])
    assert about["labelSpace"] == "CatMask"
    ignored = {label["name"] for label in about["labels"] if label["ignored"]}
    assert ignored == {name for name in LABEL_SPACES["CatMask"].labels if name.startswith("body")}
    assert about["orders"] == ["celebamask"]
    assert about["seen"] == 1
    assert about["samples"] == ["90001", "90001_ears", "90002"]
    answer = cats.run(sample(folder=ROOT / "data/CatMask/mask_samples"))
    assert [facts["size"] for facts, _ in answer if "size" in facts] == [24, 72, 96]


def test_a_model_of_unmerged_labels():
    with running(tiny_model({**FACE_OPTS, "use_merged_labels": False, "label_nc": 19, "input_nc": 21})) as editor:
        assert not any(label["ignored"] for label in json.loads(editor.ask("GET", "/describe")[1])["labels"])
        assert [facts["size"] for facts, _ in editor.run(sample()) if "size" in facts] == [24, 72, 96]


def test_a_painting_becomes_the_volumes_of_its_scene(editor):
    labels = sample()
    answer = editor.run(labels, seed=92, layers="8,6")
    assert answer[0][0]["warnings"] == []
    net = editor.studio.net
    volumes = list(bake(net.scene(labels, 92, (6, 8))))
    expected = [pack(volume, None if index == 0 else volumes[0], FAST) for index, volume in enumerate(volumes)]
    assert [data for _, data in answer[1:]] == expected


def test_labels_of_a_page_are_those_of_the_table():
    """However the model's own files are numbered."""
    net = tiny_model()
    other = tiny_model()
    other.config = replace(other.config, input=replace(other.config.input, label_order="bisenet"))
    with running(other) as editor:
        assert json.loads(editor.ask("GET", "/describe")[1])["orders"][0] == "bisenet"
        coarse = pack(next(bake(net.scene(sample()))), None, FAST)
        assert editor.run(sample())[1][1] == coarse


def test_no_face_is_a_line_and_no_failure(editor):
    empty = np.zeros((512, 512), np.uint8)
    (facts, _), = editor.run(empty)
    assert "empty" in facts["error"]
    assert "\n" not in facts["error"]
    assert "mask:" not in facts["error"]


def test_what_is_odd_is_said(editor):
    small = np.zeros((512, 512), np.uint8)
    small[150:360, 170:340] = sample()[::1, ::1][150:360, 170:340]
    warnings = editor.run(small)[0][0]["warnings"]
    assert len(warnings) == 1
    assert "covers" in warnings[0] or "too far" in warnings[0]


def test_every_sample_is_its_file(editor):
    for name in editor.studio.reader.samples[:4]:
        (facts, data), = frames(editor.ask("GET", f"/samples/{name}")[1])
        assert zlib.decompress(data) == sample(name).tobytes()
        assert (facts["width"], facts["height"], facts["warnings"]) == (512, 512, [])


def read(editor, data: bytes, query: str = ""):
    status, body = editor.ask("POST", f"/read?{query}", data)
    if status != 200:
        return status, body.decode()
    (facts, packed), = frames(body)
    labels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(facts["height"], facts["width"])
    return labels, facts["warnings"]


@pytest.mark.parametrize("suffix", ["PNG", "BMP", "TIFF"])
def test_label_numbers_are_read(editor, suffix):
    labels, warnings = read(editor, as_file(sample(), suffix=suffix))
    assert warnings == []
    np.testing.assert_array_equal(labels, sample())


def test_painted_masks_are_read(editor):
    palette = np.array(SPACE.palette, np.uint8)
    for data in (as_file(palette[sample()]), as_file(sample(), palette=palette)):
        np.testing.assert_array_equal(read(editor, data)[0], sample())


def test_another_order_is_noticed_and_read(editor):
    back = np.zeros(19, np.uint8)
    back[list(LABEL_ORDERS["bisenet"])] = np.arange(19)
    data = as_file(back[sample()])
    labels, warnings = read(editor, data)
    assert any("the label order bisenet" in warning for warning in warnings)
    labels, warnings = read(editor, data, "order=bisenet")
    assert warnings == []
    np.testing.assert_array_equal(labels, sample())


def test_half_painted_masks_are_read(editor):
    """What shows no face yet is painted on; only the head has to wait."""
    half = np.where(sample() == 13, 13, 0).astype(np.uint8)
    np.testing.assert_array_equal(read(editor, as_file(half))[0], half)


def test_large_masks_are_scaled_down(editor):
    large = sample().repeat(4, 0).repeat(4, 1)
    labels, warnings = read(editor, as_file(large))
    assert labels.shape == (LONGEST_SIDE, LONGEST_SIDE)
    assert (labels == sample().repeat(2, 0).repeat(2, 1)).mean() > 0.98
    assert any("2048 x 2048" in warning for warning in warnings)


@pytest.mark.parametrize("data, query, words", [
    (b"", "", "cannot be read"),
    (b"no image", "", "cannot be read"),
    (as_file(sample())[:600], "", "cannot be read"),
    (as_file(sample(), suffix="JPEG"), "", "JPEG"),
    (as_file((sample() * 10).astype(np.uint8)), "", "out of range"),
    (as_file(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "", "colours"),
    (as_file(sample()), "encoding=colour", "no colours"),
    (as_file(sample()), "order=nobody", "label order nobody"),
    (as_file(sample()), "order=background,skin,beard", "beard"),
], ids=range(9))
def test_files_that_are_no_masks(editor, data, query, words):
    status, line = read(editor, data, query)
    assert status == 422
    assert words in line
    assert line.count("\n") == 1
    assert "/tmp" not in line
    assert "`" not in line


def test_an_order_is_no_file(editor, tmp_path):
    """Commands read lists of parts from files; a page must not."""
    order = tmp_path / "order.txt"
    order.write_text("background\nskin\n")
    assert read(editor, as_file(sample()), f"order={order}")[0] == 422


def test_views_and_videos(editor):
    answer = editor.run(sample(), "/save/view", size=32, yaw=0.3, pitch=-0.1, fov=11)
    facts, data = answer[-1]
    assert (facts["suffix"], data[:4]) == ("png", b"\x89PNG")
    assert [facts["progress"] for facts, _ in answer[:-1]] == sorted(facts["progress"] for facts, _ in answer[:-1])
    from models.pigan.cameras import FRONTAL, Camera
    from utils.images import to_uint8

    camera = Camera(FRONTAL + 0.3, FRONTAL - 0.1, 11)
    expected = editor.studio.net.scene(sample()).render(camera, 32, 24, sampler="auto")
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), to_uint8(expected.rgb))

    facts, data = editor.run(sample(), "/save/row", size=16)[-1]
    assert Image.open(io.BytesIO(data)).size == (6 * 16, 16)
    facts, data = editor.run(sample(), "/save/video", size=16)[-1]
    assert facts["suffix"] == "mp4"
    assert data[4:8] == b"ftyp"
    facts, data = editor.run(sample(), "/save/viewer")[-1]
    assert facts["suffix"] == "html"
    assert data.startswith(b"<!doctype html>")


def test_meshes(editor, monkeypatch):
    pytest.importorskip("trimesh")
    monkeypatch.setattr(Scene, "mesh", functools.partialmethod(Scene.mesh, resolution=40))  # seconds, not a minute
    facts, data = editor.run(sample(), "/save/mesh")[-1]
    assert (facts["suffix"], data[:4]) == ("glb", b"glTF")


@pytest.mark.parametrize("query, words", [({"yaw": 3}, "yaw"), ({"pitch": "nan"}, "pitch"), ({"fov": 90}, "fov"),
                                          ({"size": 10**5}, "size"), ({"size": "x"}, "size"), ({"yaw": "left"}, "yaw")])
def test_views_from_nowhere(editor, query, words):
    (facts, _), = editor.run(sample(), "/save/view", **query)
    assert facts["error"].startswith(words)


def test_a_newer_painting_ends_the_older(editor):
    """Of the same tab; another's goes on."""
    labels, answers = sample(), {}
    older = http.client.HTTPConnection("127.0.0.1", editor.port, timeout=60)
    older.request("POST", painting_path(labels, tab="a"), labels.tobytes())
    answer = older.getresponse()
    begun = answer.read(4)

    other = threading.Thread(target=lambda: answers.update(other=editor.run(labels, tab="b")))
    other.start()
    newer = editor.run(labels, tab="a")
    other.join(60)
    assert list(frames(begun + answer.read()))[-1][0].get("cancelled")
    older.close()
    for answer in (newer, answers["other"]):
        assert [facts["size"] for facts, _ in answer if "size" in facts] == [24, 72, 96]


def test_who_goes_away_is_not_computed_for(editor):
    connection = http.client.HTTPConnection("127.0.0.1", editor.port, timeout=20)
    labels = sample()
    connection.request("POST", painting_path(labels, tab="leaver"), labels.tobytes())
    connection.getresponse().read(4)
    connection.close()
    start = time.monotonic()
    assert editor.run(labels, tab="stayer")[-1][0]["size"] == 96
    assert time.monotonic() - start < 30
