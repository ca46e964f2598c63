"""Painting from any side in a page of scripts/export_editor.py, in a real browser: no server answers."""

import numpy as np
import pytest
from editor_pages import HAIR, SIZES, SPACE, EditorPage
from editor_servers import demo, sample

from web.engine.page import editor_page
from web.server import edits
from web.volume import baking as volume

MAP = 96
SIDE, OTHER = {"yaw": 0.45, "pitch": 0.0}, {"yaw": -0.3, "pitch": 0.0}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "editor.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volume, "SIZES", SIZES)
        patch.setattr(edits, "SIZE", MAP)
        path.write_text(editor_page(demo(), "demo"), encoding="utf-8")
    return path


def paint_a_fringe(page: EditorPage) -> np.ndarray:
    """Hair over the forehead, with the mouse, as seen from the side; which pixels of the map that changed."""
    page.page.evaluate(f"sem2nerf.editor.head.viewer.move({{ yaw: {SIDE['yaw']}, pitch: 0 }})")
    page.page.locator("#side").click()
    page.until("sem2nerf.editor.sides.on")
    rendered = page.labels()
    assert rendered.shape == (MAP, MAP)
    assert {SPACE.index(name) for name in ("skin", "hair", "nose")} <= set(np.unique(rendered))
    page.choose(HAIR)
    page.page.locator("#size").fill("20")
    page.stroke((0.45, 0.14), (0.8, 0.14))
    page.settle()
    return page.labels() != rendered


def test_painted_from_a_side_seen_from_another_and_kept(open_page, page_file):
    settings = {"viewport": {"width": 1300, "height": 820}}
    page = EditorPage(open_page(page_file, **settings))
    page.settle()
    before = page.view_from(**SIDE), page.view_from(**OTHER)
    assert 0.02 < paint_a_fringe(page).mean() < 0.2
    after = page.view_from(**SIDE), page.view_from(**OTHER)
    for old, new, face in zip(before, after, (slice(58, 102), slice(30, 70)), strict=True):
        darker = (old - new).mean(-1)[:, face]          # there, from both sides; the lower half of the face stays
        assert darker[10:26].mean() > 30
        assert np.abs(darker[60:100]).mean() < 8
    assert page.page.locator("#side-done").is_visible()
    assert page.page.locator("#side-refine").is_hidden(), "there are no gradients here"

    page.page.locator("#side-done").click()
    page.until("!sem2nerf.editor.sides.on")
    page.settle()
    np.testing.assert_array_equal(page.labels(), sample())
    assert np.abs(page.view_from(**OTHER) - after[1]).max() <= 2
    hash_ = page.page.evaluate("sem2nerf.editor.keep().then(() => location.hash)")

    page.page.reload()                                  # from the address; then, without one, from the browser's store
    for address in (None, page_file.as_uri()):
        if address:
            page.page.goto("about:blank")
            page.page.goto(address)
        page = EditorPage(page.page)
        page.settle()
        assert page.page.locator("#side-bar").is_visible()
        assert np.abs(page.view_from(**OTHER) - after[1]).max() <= 2

    decoder = edits.describe(demo())["decoder"]
    assert f"decoder={decoder}&edit=" in hash_, "as the server's editor writes it"

    page.page.locator("#side-back").click()
    page.settle()
    assert np.abs(page.view_from(**OTHER) - before[1]).max() <= 2
    page.page.keyboard.press("Control+z")               # which can be undone
    page.settle()
    assert np.abs(page.view_from(**OTHER) - after[1]).max() <= 2
    assert page.notices() == []
    assert page.page.messages == []
    assert {address.partition("#")[0] for address in page.page.requests if not address.startswith("blob:")} <= {
        page_file.as_uri(), "about:blank"}
