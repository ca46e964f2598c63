"""Photographs that the editor gets: the colours of one, and masks of faces in them."""

import functools
import io
import json
import zlib

import numpy as np
import pytest
import torch
from editor_servers import RunningEditor, demo, frames, painting_path, running, sample
from PIL import Image
from tiny import CAT_OPTS, tiny_checkpoint

from configs.label_spaces import LABEL_ORDERS, LABEL_SPACES
from photos.detectors import Face
from photos.style_fit import fit_colours
from scripts import editor as command
from utils.errors import UserError
from web.server import pictures
from web.server.options import parse_options
from web.server.pictures import Faces

FULL, MERGED = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CelebAMask_HQ_merged"]
COLOURS = {"hair": (170, 90, 40), "skin": (210, 170, 140)}
SIZES = (8, 16)


def painted(labels: np.ndarray) -> np.ndarray:
    """A picture in which every part has one colour."""
    table = np.array([COLOURS.get(name, (90, 100, 110)) for name in FULL.labels], np.uint8)
    return table[labels]


def file_of(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def fake_faces() -> Faces:
    """A detector that finds a face where aligned pictures have it, unless they are black; a segmenter that takes the
    lower half for skin, the rest for hair, with a nose between them."""
    def detect(pixels):
        height, width = pixels.shape[:2]
        points = np.array([[0.38, 0.48], [0.62, 0.48], [0.5, 0.6], [0.41, 0.71], [0.59, 0.71]]) * [width, height]
        return [Face(np.array([0.0, 0, width, height]), points, 0.9)] if pixels.any() else []

    def segment(image):
        labels = torch.full(image[:, 0].shape, MERGED.index("hair"), dtype=torch.uint8)
        labels[:, 256:] = MERGED.index("skin")
        labels[:, 300:340, 240:270] = MERGED.index("nose")
        return labels

    return Faces(detect, segment)


@pytest.fixture(scope="module")
def editor():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "fit_colours", functools.partial(fit_colours, steps=15))     # of 150
        with running(demo(), sizes=SIZES, faces=fake_faces()) as editor:
            yield editor


def colours(editor: RunningEditor, picture: bytes, mask: bytes = b"", added: bytes = b"", **query):
    labels = sample()
    path = painting_path(labels, "/colours", picture=len(picture), mask=len(mask), **query)
    status, body = editor.ask("POST", path, labels.tobytes() + added + picture + mask)
    return list(frames(body))[-1] if status == 200 else (status, body.decode())


def test_a_head_gets_the_colours_of_a_picture(editor):
    reference = sample("90002")
    facts, data = colours(editor, file_of(painted(reference)), file_of(reference), parts="hair")
    assert facts["layers"] == [8]
    assert set(facts["before"]) == {"hair"}
    assert facts["after"]["hair"] < 0.8 * facts["before"]["hair"]
    assert len(data) == 2 * 4 * editor.studio.net.siren.width
    away, labels = [], sample()
    seen = editor.studio.net.scene(labels).render(size=48, samples=12, sampler="grid", labels=True).labels
    hair = seen.numpy() == MERGED.index("hair")
    for codes, query in ((b"", {}), (data, {"style": 1, "layers": 8})):
        path = painting_path(labels, "/save/view", size=48, **query)
        _, body = editor.ask("POST", path, labels.tobytes() + codes)
        view = np.array(Image.open(io.BytesIO(list(frames(body))[-1][1]))).astype(float)
        away.append(np.abs(view[hair].mean(0) - COLOURS["hair"]).mean())
    assert away[1] < 0.9 * away[0]


def test_what_edits_add_is_not_in_the_style(editor):
    """They are added to it again."""
    reference, width = sample("90002"), editor.studio.net.siren.width
    files = file_of(painted(reference)), file_of(reference)
    edit = np.zeros((2, 9, width), "<f4")
    edit[:, 8] = 5
    _, plain = colours(editor, *files, parts="hair")
    _, edited = colours(editor, *files, edit.tobytes(), edit=1, parts="hair")
    difference = np.frombuffer(edited, "<f4") - np.frombuffer(plain, "<f4")
    assert np.abs(difference).mean() < np.abs(difference + 5).mean()


def test_a_mask_in_another_order_and_none_at_all(editor):
    reference, back = sample("90002"), np.zeros(19, np.uint8)
    back[list(LABEL_ORDERS["bisenet"])] = np.arange(19)
    picture = file_of(painted(reference))
    facts, _ = colours(editor, picture, file_of(back[reference]), order="bisenet", parts="hair")
    assert facts["after"]["hair"] < facts["before"]["hair"]
    facts, _ = colours(editor, picture, parts="hair")   # the segmenter finds hair in the upper half
    assert set(facts["before"]) == {"hair"}


@pytest.mark.parametrize("picture, mask, query, words", [
    (b"nothing", file_of(sample()), {}, "the picture: this photograph cannot be read"),
    (file_of(painted(sample())), b"nothing", {}, "its mask"),
    (file_of(painted(sample())[:256]), file_of(sample()), {}, "do not have the shape of picture (512 x 256)"),
    (file_of(painted(sample())), file_of(sample()), {"parts": "beard"}, "'beard' is no part"),
    (file_of(painted(sample())), file_of(sample()), {"order": "mine"}, "mine"),
    (b"nothing", b"", {}, "no picture"), (file_of(painted(sample()) * 0), b"", {}, "no face was found"),
], ids=range(7))
def test_pictures_that_will_not_do(editor, picture, mask, query, words):
    facts, _ = colours(editor, picture, mask, **query)
    assert words in facts["error"]
    assert "/tmp" not in facts["error"]
    assert "`" not in facts["error"]
    assert "\n" not in facts["error"]


def test_bytes_that_are_missing(editor):
    labels = sample()
    for query, words in (({"picture": 5}, "for the picture: send 5"), ({}, "picture ''")):
        status, line = editor.ask("POST", painting_path(labels, "/colours", **query), labels.tobytes())
        assert status == 400
        assert words in line.decode()


def test_a_photograph_becomes_a_mask(editor):
    assert json.loads(editor.ask("GET", "/describe")[1])["faces"] is True
    status, body = editor.ask("POST", "/face", file_of(painted(sample())))
    assert status == 200
    (facts, labels), (more, picture) = frames(body)
    labels = np.frombuffer(zlib.decompress(labels), np.uint8).reshape(facts["height"], facts["width"])
    assert {FULL.labels[label] for label in np.unique(labels)} == {"hair", "skin", "nose"}
    assert more["picture"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture)).size == (512, 512)
    for data, words in ((b"nothing", "no picture"), (file_of(painted(sample()) * 0), "no face was found in it")):
        (facts, _), = frames(editor.ask("POST", "/face", data)[1])
        assert words in facts["error"]
        assert "/tmp" not in facts["error"]


def test_without_a_face_segmenter():
    with running(demo(), sizes=SIZES) as editor:
        assert json.loads(editor.ask("GET", "/describe")[1])["faces"] is False
        assert editor.ask("POST", "/face", b"x")[0] == 404
        assert "choose its mask" in colours(editor, file_of(painted(sample())))[0]["error"]


def test_the_command_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="`detector_weights` is for photographs"):
        parse_options(["--detector_weights=x.onnx"])
    with pytest.raises(UserError, match=r"--detector_weights .*absent\.onnx: there is no such file"):
        command.main(["--port=0", "--face_segmenter=synthheads", f"--detector_weights={tmp_path / 'absent.onnx'}"])
    cats = tiny_checkpoint(tmp_path / "cats.pt", {**CAT_OPTS, "use_merged_labels": True})
    with pytest.raises(UserError, match=r"--face_segmenter labels the parts of CelebAMask_HQ; .* CatMask"):
        command.main(["--port=0", "--face_segmenter=synthheads", "--checkpoint_path", str(cats)])
