"""What the editor's server answers of edits: label maps, codes that edits add, and requests that make no sense."""

import json
import zlib

import numpy as np
import pytest
import torch
from editor_servers import RunningEditor, frames, painting_path, running, sample
from tiny import CAT_OPTS, FACE_OPTS, tiny_model

from configs.label_spaces import LABEL_SPACES
from datasets.masks.relabel import merged_to, unmerged_to
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.codes import Codes
from models.pigan.semantic_head import SemanticHead
from models.sem2nerf import Sem2NeRF
from web.server import edits
from web.server.queries import codes_bytes
from web.volume.baking import bake
from web.volume.packing import FAST, pack

FILES, SEEN = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CelebAMask_HQ_merged"]
SIDE = {"yaw": 0.3, "pitch": 0.1, "fov": 12}
SIZES = (8, 16)


def knowing(space: str = "CelebAMask_HQ_merged", opts: dict = FACE_OPTS) -> Sem2NeRF:
    """A small model that knows labels."""
    net = tiny_model(opts, contrast=20)
    weight = torch.randn(len(LABEL_SPACES[space]), 32, generator=torch.Generator().manual_seed(0))
    net.semantic_head = SemanticHead((1, 3), space, weight, torch.zeros(len(weight)))
    return net


@pytest.fixture(scope="module")
def editor():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "SIZE", 32)
        with running(knowing(), sizes=SIZES) as editor:
            yield editor


def ask(editor: RunningEditor, path: str, *pieces: bytes, **query):
    labels = sample()
    status, body = editor.ask("POST", painting_path(labels, path, **query), labels.tobytes() + b"".join(pieces))
    return status, list(frames(body)) if status == 200 else body.decode()


def map_of(editor: RunningEditor, *pieces: bytes, **query) -> np.ndarray:
    status, answer = ask(editor, "/map", *pieces, **{**SIDE, **query})
    assert status == 200, answer
    facts, data = answer[-1]
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(facts["height"], facts["width"])


def codes_of(data: bytes, width: int = 16) -> Codes:
    return Codes(*torch.from_numpy(np.frombuffer(data, "<f4").copy()).view(2, 1, 9 * width))


def drawn_on(labels: np.ndarray) -> np.ndarray:
    out = labels.copy()
    out[8:20, 10:24] = FILES.index("hat")
    return out


def test_the_map_is_that_of_the_view(editor):
    net, labels = editor.studio.net, map_of(editor, seed=5, layers="7,8")
    scene = net.scene(sample(), 5, (7, 8))
    seen = scene.render(Camera(FRONTAL + 0.3, FRONTAL + 0.1, 12), 32, edits.SAMPLES, sampler="grid", labels=True).labels
    np.testing.assert_array_equal(labels, unmerged_to(seen.numpy(), SEEN, FILES))
    assert len(np.unique(labels)) > 2


def test_a_drawing_becomes_the_codes_of_a_delta_encoding(editor):
    """On what earlier edits have left, and these are in the answer."""
    net, before = editor.studio.net, map_of(editor)
    after, scene = drawn_on(before), net.scene(sample())
    status, answer = ask(editor, "/run", before.tobytes(), after.tobytes(), map=32, **SIDE)
    assert status == 200
    assert answer[1][0]["edit"]
    first = codes_of(answer[1][1])
    expected = net.edited_codes(scene, *(merged_to(labels, FILES, SEEN) for labels in (after, before)))
    torch.testing.assert_close((scene.codes + first).frequencies, expected.frequencies)
    torch.testing.assert_close((scene.codes + first).phase_shifts, expected.phase_shifts)
    coarse = pack(next(bake(net.scene_of(expected), SIZES)), None, FAST)
    assert answer[2][1] == coarse, "the volumes are of the edited head"

    once = answer[1][1]
    assert not np.array_equal(map_of(editor, once, edit=1), before), "maps are of the edited head"
    _, again = ask(editor, "/run", once, before.tobytes(), after.tobytes(), edit=1, map=32, **SIDE)
    torch.testing.assert_close(codes_of(again[1][1]).frequencies, 2 * first.frequencies)
    _, kept = ask(editor, "/run", once, edit=1)
    assert kept[1][1] == coarse
    _, same = ask(editor, "/run", once, before.tobytes(), before.tobytes(), edit=1, map=32, **SIDE)
    assert same[1][1] == once, "where nothing is drawn, nothing changes"


def test_a_refinement_tells_how_far_it_is(editor):
    before = map_of(editor)
    _, answer = ask(editor, "/run", before.tobytes(), drawn_on(before).tobytes(), map=32, refine=3, **SIDE)
    assert [facts["progress"] for facts, _ in answer if "progress" in facts] == pytest.approx([0, 1 / 3, 2 / 3])
    _, plain = ask(editor, "/run", before.tobytes(), drawn_on(before).tobytes(), map=32, **SIDE)
    (refined,), (delta,) = ([data for facts, data in frames if "edit" in facts] for frames in (answer, plain))
    assert refined != delta


def test_the_colours_of_a_picture_are_those_of_its_layers(editor):
    net = editor.studio.net
    values = Codes(torch.randn(1, 32), torch.randn(1, 32))
    _, answer = ask(editor, "/run", codes_bytes(values), style=1, layers="8,7")
    codes = net.scene(sample()).codes
    for mine, theirs in ((codes.frequencies, values.frequencies), (codes.phase_shifts, values.phase_shifts)):
        mine[:, 7 * 16:] = theirs
    assert answer[1][1] == pack(next(bake(net.scene_of(codes), SIZES)), None, FAST)


def test_files_are_of_the_edited_head(editor):
    before = map_of(editor)
    _, answer = ask(editor, "/run", before.tobytes(), drawn_on(before).tobytes(), map=32, **SIDE)
    edit = answer[1][1]
    for kind in ("view", "map", "row", "viewer"):
        plain, edited = (ask(editor, f"/save/{kind}", *pieces, size=32, **query)[1][-1]
                         for pieces, query in (((), {}), ((edit,), {"edit": 1})))
        assert plain[0]["suffix"] == edited[0]["suffix"]
        assert plain[1] != edited[1], kind


NONSENSE = np.full(2 * 9 * 16, np.nan, "<f4").tobytes()


@pytest.mark.parametrize("pieces, query, words", [
    ([b"1234"], {"edit": 1}, "codes of the edits: send 1152"), ([NONSENSE], {"edit": 1}, "no head has"),
    ([b"\x00" * 1153], {"edit": 1}, "1 bytes more"), ([b"1"], {}, "1 bytes more"), ([], {"edit": 2}, "edit '2'"),
    ([b"\x00" * 4], {"map": 2, **SIDE}, "a map of 2 x 2"), ([b"\x00" * 7 + b"\x63"], {"map": 2, **SIDE}, "label 99"),
    ([b"\x00" * 8], {"map": 2, **SIDE, "yaw": 3}, "yaw 3"), ([], {"map": 5000}, "1 to 1024"),
    ([b"\x00" * 8], {"map": 2, **SIDE, "refine": 1000}, "refine '1000'"), ([], {"style": 1, "layers": "8"}, "send 128"),
])
def test_nonsense_is_one_line(editor, pieces, query, words):
    status, line = ask(editor, "/run", *pieces, **query)
    assert status == 400
    assert words in line
    assert line.count("\n") == 1


def test_a_drawing_of_nothing_is_a_line(editor):
    before = map_of(editor)
    _, answer = ask(editor, "/run", before.tobytes(), bytes(32 * 32), map=32, **SIDE)
    assert "empty" in answer[-1][0]["error"]


@pytest.mark.parametrize("net, able", [(knowing(), True), (tiny_model(), False), (knowing("CatMask"), False),
                                       (knowing("CelebAMask_HQ"), True), (tiny_model(CAT_OPTS), False)], ids=range(5))
def test_who_can(net, able):
    """A model that knows labels, by the tables of its masks."""
    with running(net, sizes=SIZES) as editor:
        about = json.loads(editor.ask("GET", "/describe")[1])
        assert (about["edits"] is not None) == ("map" in about["saves"]) == able
        folder = editor.studio.reader.sample_files
        labels = editor.studio.reader.sample(next(iter(folder))).labels
        assert (editor.ask("POST", painting_path(labels, "/map"), labels.tobytes())[0] == 200) == able
        if not able:
            path = painting_path(labels, map=2, **SIDE)
            status, body = editor.ask("POST", path, labels.tobytes() + bytes(4) + bytes([1] * 4))
            assert status == 200
            assert "do not know which part" in list(frames(body))[-1][0]["error"]
