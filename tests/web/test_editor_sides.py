"""Edits from any side, on the editor's page in a real browser: a map to paint on, and the head that follows."""

import functools
import io
import itertools

import numpy as np
import pytest
from editor_pages import HAIR, SPACE, EditorPage, fixture_editor, fixture_opened  # noqa: F401 - fixtures
from editor_servers import sample
from PIL import Image

from configs.label_spaces import LABEL_SPACES
from editing.editor import EditReport
from photos.style_fit import fit_colours
from web.server import edits, pictures

MAP, HAIR_NUMBER = 96, LABEL_SPACES["CelebAMask_HQ_merged"].index("hair")
SIDE, OTHER = {"yaw": 0.45, "pitch": 0.0}, {"yaw": -0.3, "pitch": 0.0}


@pytest.fixture(autouse=True)
def small_maps(monkeypatch):
    monkeypatch.setattr(edits, "SIZE", MAP)
    monkeypatch.setattr(edits, "STEPS", 2)


def paint_here(page: EditorPage) -> None:
    page.page.evaluate(f"sem2nerf.editor.head.viewer.move({{ yaw: {SIDE['yaw']}, pitch: 0 }})")
    page.page.locator("#side").click()
    page.until("sem2nerf.editor.sides.on")


def fringe(page: EditorPage) -> None:
    """Hair over the forehead."""
    page.choose(HAIR)
    page.page.locator("#size").fill("20")
    page.stroke((0.45, 0.14), (0.8, 0.14))
    page.settle()


def parts(page: EditorPage) -> np.ndarray:
    """What the page's own volume shows at each pixel of its view, in labels of the semantic head."""
    seen = page.page.evaluate("sem2nerf.editor.head.viewer.labelMap(128).then(labels => Array.from(labels))")
    return np.array(seen, np.uint8).reshape(128, 128)


def edit(page: EditorPage):
    return page.page.evaluate("sem2nerf.editor.sides.edit && sem2nerf.editor.sides.edit.length")


def test_painted_from_a_side_seen_from_another(opened, editor):
    page = opened("#sample=90001")
    page.settle()
    before = page.view_from(**SIDE), page.view_from(**OTHER)
    paint_here(page)
    rendered = page.labels()
    assert rendered.shape == (MAP, MAP)
    assert {SPACE.index(name) for name in ("skin", "hair", "nose")} <= set(np.unique(rendered))
    fringe(page)
    drawn = page.labels() != rendered
    assert 0.02 < drawn.mean() < 0.2
    after = page.view_from(**SIDE), page.view_from(**OTHER)
    for old, new, face in zip(before, after, (slice(58, 102), slice(30, 70)), strict=True):
        darker = (old - new).mean(-1)[:, face]          # there, from both sides; the lower half of the face stays
        assert darker[10:26].mean() > 30
        assert np.abs(darker[60:100]).mean() < 8

    page.page.keyboard.press("Control+z")
    page.settle()
    assert edit(page) is None, "back at the map as it was rendered: no rounding is left"
    assert np.abs(page.view_from(**SIDE) - before[0]).max() <= 2
    page.page.keyboard.press("Control+Shift+z")
    page.settle()
    assert np.abs(page.view_from(**SIDE) - after[0]).max() <= 2

    page.page.locator("#side-done").click()
    page.until("!sem2nerf.editor.sides.on")
    page.settle()
    np.testing.assert_array_equal(page.labels(), sample())
    assert edit(page) == 8 * 9 * editor.studio.net.siren.width
    assert np.abs(page.view_from(**OTHER) - after[1]).max() <= 2

    page.page.keyboard.press("Control+z")               # all that was drawn there is one step
    page.settle()
    assert np.abs(page.view_from(**OTHER) - before[1]).max() <= 2
    page.page.keyboard.press("Control+Shift+z")
    page.page.locator("#side-back").click()
    page.settle()
    assert edit(page) is None
    assert np.abs(page.view_from(**OTHER) - before[1]).max() <= 2
    assert page.page.locator("#side-bar").is_hidden()
    assert page.notices() == []
    assert page.page.messages == []


def test_done_right_after_a_stroke_keeps_it(opened):
    page = opened("#sample=90001")
    page.settle()
    paint_here(page)
    page.choose(HAIR)
    page.stroke((0.45, 0.14), (0.8, 0.14))
    page.page.keyboard.press("p")
    page.until("!sem2nerf.editor.sides.on")
    assert edit(page)


def test_edits_are_in_links_and_in_files(opened):
    page = opened("#sample=90001")
    page.settle()
    paint_here(page)
    parts_before = parts(page)
    fringe(page)
    view = page.view_from(**OTHER)
    hash_ = page.page.evaluate("sem2nerf.editor.keep().then(() => location.hash)")
    other = opened(hash_)                               # as if the browser had been closed while painting
    other.settle()
    np.testing.assert_array_equal(other.labels(), sample())
    assert np.abs(other.view_from(**OTHER) - view).max() <= 2

    other.page.locator("#save-open").click()
    other.page.locator("#save-size").select_option("128")
    with other.page.expect_download(timeout=60_000) as download:
        other.page.locator("[data-save=map]").click()
    labels = np.array(Image.open(download.value.path()))
    assert labels.shape == (128, 128)
    edited, plain = (seen == HAIR_NUMBER for seen in (parts(other), parts_before))
    assert (edited != plain).mean() > 0.02
    assert ((labels == HAIR) != edited).mean() < 0.3 * (edited != plain).mean(), "the files are of the edited head"

    foreign = opened(hash_.replace("decoder=", "decoder=0"))
    foreign.settle()
    assert "only the weights with which they were made" in foreign.notices()[0]
    assert edit(foreign) is None


def test_refining_can_be_stopped_and_is_what_strokes_go_on_from(opened, monkeypatch):
    scores = itertools.count()
    page = opened("#sample=90001")
    page.settle()
    paint_here(page)
    assert page.page.locator("#side-refine").is_disabled()
    fringe(page)
    delta = page.page.evaluate("Array.from(sem2nerf.editor.sides.edit.slice(0, 64))")
    page.page.locator("#side-refine").click()
    page.page.locator("#side-refine", has_text="Stop").click()
    page.until("!sem2nerf.editor.refining")
    assert page.page.evaluate("Array.from(sem2nerf.editor.sides.edit.slice(0, 64))") == delta
    monkeypatch.setattr(EditReport, "score", 0.0)   # none is better than another: the first stays
    page.page.locator("#side-refine").click()
    page.until("!sem2nerf.editor.refining && sem2nerf.editor.sides.anchors.length === 2")
    assert any("no nearer to the drawing" in notice for notice in page.notices())
    monkeypatch.setattr(EditReport, "score", property(lambda report: next(scores)))     # the later, the better
    page.page.locator("#side-refine").click()
    page.until("!sem2nerf.editor.refining && sem2nerf.editor.sides.anchors.length === 3")
    refined = page.page.evaluate("Array.from(sem2nerf.editor.sides.edit.slice(0, 64))")
    assert refined != delta
    page.stroke((0.3, 0.8), (0.31, 0.8))
    page.settle()
    page.page.keyboard.press("Control+z")
    page.settle()
    assert page.page.evaluate("Array.from(sem2nerf.editor.sides.edit.slice(0, 64))") == refined
    page.page.keyboard.press("Control+z")
    page.settle()
    assert edit(page) is None


def test_keyboard_and_names(opened):
    """P brings the map, the board has the focus and a name that says what lies on it; P keeps what was painted."""
    page = opened("#sample=90001")
    page.settle()
    page.page.locator("#head").focus()
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("p")
    page.until("sem2nerf.editor.sides.on")
    assert page.page.evaluate("document.activeElement.id") == "board"
    assert "from this side" in (page.page.locator("#board").get_attribute("aria-label") or "")
    page.choose(HAIR)
    page.page.locator("#board").focus()
    page.page.keyboard.press("Enter")
    page.settle()
    page.page.keyboard.press("p")
    page.until("!sem2nerf.editor.sides.on")
    assert page.page.evaluate("document.activeElement.id") == "side"
    assert page.page.locator("#board").get_attribute("aria-label") == "The mask"
    assert edit(page)


def test_a_new_mask_has_no_edits(opened):
    page = opened("#sample=90001")
    page.settle()
    paint_here(page)
    fringe(page)
    page.page.locator("#blank").click()
    assert page.page.evaluate("sem2nerf.editor.sides.on") is False
    assert edit(page) is None
    assert not page.labels().any()
    page.page.keyboard.press("Control+z")
    np.testing.assert_array_equal(page.labels(), sample())
    out = io.BytesIO()
    Image.fromarray(sample("90002")).save(out, format="PNG")
    page.open_file(out.getvalue())
    page.until("sem2nerf.editor.saves.name === 'some'")
    assert edit(page) is None


def test_the_colours_of_a_picture(opened, tmp_path, monkeypatch):
    """A picture and its mask are chosen, and parts; the colours stay while painting goes on, and are in the link."""
    monkeypatch.setattr(pictures, "fit_colours", functools.partial(fit_colours, steps=8))
    page, reference = opened("#sample=90001"), sample("90002")
    page.settle()
    before = page.view()
    picture = np.where((reference == SPACE.index("hair"))[..., None], (200, 90, 30), (150, 140, 130)).astype(np.uint8)
    page.page.locator("#colours-open").click()
    take = page.page.locator("#colours-take")
    assert take.is_disabled()
    for name, pixels in (("picture", picture), ("mask", reference)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        page.page.locator(f"#colours-{name}").set_input_files(tmp_path / f"{name}.png")
    for part in page.page.locator("#colours-parts input").all():
        part.set_checked(part.get_attribute("value") == "hair")
    take.click()
    page.until("sem2nerf.editor.style.picture")
    page.settle()
    assert "picture.png, of 255: hair " in page.notices()[0]
    assert page.page.locator("#picture-away").text_content() == "picture.png ×"
    for _ in range(60):     # a slow machine may still be at the new volume
        redder = (page.view() - before)[70:110, 4:12].mean((0, 1)) @ [1, -0.5, -0.5]
        if redder > 2:
            break
        page.page.wait_for_timeout(500)
    assert redder > 2

    other = opened(page.page.evaluate("sem2nerf.editor.keep().then(() => location.hash)"))
    other.settle()
    assert np.abs(other.view() - page.view()).max() <= 2
    page.page.locator("#picture-away").click()
    page.until("sem2nerf.editor.style.value.layers.length === 0")
    page.page.evaluate("new Promise(resolve => setTimeout(resolve, 100))")
    page.settle()
    assert np.abs(page.view() - before).max() <= 2
