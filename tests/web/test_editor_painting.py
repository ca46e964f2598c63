"""Painting with mouse and keyboard in a real browser, and the head that follows."""

import numpy as np
from editor_pages import HAIR, HAT, SIZES, SPACE, fixture_editor, fixture_opened  # noqa: F401 - fixtures
from editor_servers import sample


def test_a_stroke_changes_the_head_where_it_is_painted(opened):
    """Hair over the forehead: it gets dark there, and the lower half of the face stays. Undo brings it all back."""
    page = opened()
    page.settle()
    before = page.view()
    page.choose(HAIR)
    page.page.locator("#size").fill("70")
    page.stroke((0.36, 0.27), (0.64, 0.27))
    page.settle()
    labels, after = page.labels(), page.view()
    changed = labels != sample()
    assert changed.any()
    assert (labels[changed] == HAIR).all()
    assert changed[180:].sum() == 0, "only where the pointer was"
    darker = (before - after).mean(-1)[:, 44:84]
    assert darker[12:28].mean() > 60
    assert np.abs(darker[60:100]).mean() < 6

    page.page.keyboard.press("Control+z")
    np.testing.assert_array_equal(page.labels(), sample())
    page.settle()
    assert np.abs(page.view() - before).max() <= 2
    page.page.keyboard.press("Control+Shift+z")
    np.testing.assert_array_equal(page.labels(), labels)
    assert page.page.messages == []


def test_quick_strokes_show_the_last_head(opened):
    """Six strokes, one after the other: older heads are given up; what stays is the head of the last."""
    page = opened()
    page.settle()
    page.page.evaluate("pictures.length = 0")
    page.choose(HAIR)
    for number in range(6):
        page.stroke((0.62 + 0.01 * number, 0.4), (0.62 + 0.01 * number, 0.6))
    page.settle()
    page.idle()
    pictures = page.page.evaluate("pictures")
    finals = [picture for picture in pictures if picture["size"] == SIZES[-1]]
    assert finals[-1]["run"] == max(picture["run"] for picture in pictures)
    assert [picture["run"] for picture in pictures] == sorted(picture["run"] for picture in pictures)
    fresh = opened(page.page.evaluate("sem2nerf.editor.keep().then(() => location.hash)"))
    fresh.settle()
    assert np.abs(fresh.view() - page.view()).max() <= 2


def test_labels_stay_labels(opened):
    """Discs have no soft edges: every pixel holds a label that somebody has painted."""
    page = opened()
    page.choose(HAT)
    for number in range(6):
        page.page.locator("#size").fill(str(7 + 11 * number))
        page.stroke((0.2 + 0.1 * number, 0.31), (0.25 + 0.1 * number, 0.55), (0.3, 0.6))
    assert set(np.unique(page.labels())) == set(np.unique(sample())) | {HAT}


def test_fill_pick_and_mirror(opened):
    page = opened()
    page.page.keyboard.press("i")
    page.page.mouse.click(*page.at(0.5, 0.62))
    assert page.page.evaluate("sem2nerf.editor.tools.label") == sample()[317, 256]
    page.page.keyboard.press("Shift+Digit4")
    assert page.page.evaluate("sem2nerf.editor.tools.label") == HAT
    page.page.keyboard.press("f")
    page.page.mouse.click(*page.at(0.2, 0.5))
    labels = page.labels()
    assert sample()[256, 102] == HAIR
    assert set(np.unique(sample()[labels == HAT])) == {HAIR}
    assert (labels == HAT).sum() > 20_000
    page.page.keyboard.press("Control+z")

    page.page.locator("#flip").click()
    mirrored = np.array(SPACE.mirrored, np.uint8)[sample()[:, ::-1]]
    np.testing.assert_array_equal(page.labels(), mirrored)
    page.page.keyboard.press("Control+z")

    page.page.keyboard.press("b")
    page.page.keyboard.press("m")
    page.choose(SPACE.index("l_ear"))
    page.stroke((0.8, 0.2), (0.85, 0.3))
    labels = page.labels()
    left, right = (labels == SPACE.index(name) for name in ("l_ear", "r_ear"))
    painted = left & (sample() != SPACE.index("l_ear"))
    assert painted[:, 380:].sum() > 1000
    assert (right & (sample() != SPACE.index("r_ear")))[:, ::-1][painted].mean() > 0.99


def test_zoom_keeps_the_place(opened):
    page = opened()
    x, y = page.at(0.3, 0.4)
    page.page.mouse.move(x, y)
    page.page.mouse.wheel(0, -600)
    page.until("sem2nerf.editor.board.zoom > 1.5")
    again = page.at(0.3, 0.4)
    assert abs(again[0] - x) < 2
    assert abs(again[1] - y) < 2
    page.choose(HAT)
    page.stroke((0.3, 0.4), (0.31, 0.4))
    rows, columns = np.nonzero(page.labels() == HAT)
    assert abs(rows.mean() / 512 - 0.4) < 0.01
    assert abs(columns.mean() / 512 - 0.305) < 0.01


def test_keyboard_alone(opened):
    page = opened()
    page.page.locator("#board").focus()
    page.page.keyboard.press("Shift+Digit4")
    page.page.keyboard.press("Space")
    for _ in range(5):
        page.page.keyboard.press("Shift+ArrowRight")
    page.page.keyboard.press("Space")
    rows, columns = np.nonzero(page.labels() == HAT)
    assert abs(rows.mean() - 256) < 3
    assert columns.max() - columns.min() > 40
    assert page.page.evaluate("sem2nerf.editor.mask.past.length") == 1


def test_areas_and_the_guide_of_a_new_mask(opened):
    """What an outline encloses is filled, whatever lies there, in one step; the guide goes with the first eye."""
    page = opened()
    guide = page.page.locator("#guide")
    assert guide.is_hidden()
    page.page.locator("#blank").click()
    assert guide.is_visible()
    corners = [(0.3, 0.3), (0.7, 0.3), (0.7, 0.8), (0.3, 0.8)]
    page.page.keyboard.press("a")
    page.choose(HAIR)
    page.stroke(*corners, (0.3, 0.35))
    page.choose(SPACE.index("skin"))                    # over hair and background
    page.stroke((0.5, 0.4), (0.8, 0.4), (0.8, 0.6), (0.5, 0.6))
    labels = page.labels()
    assert (labels[160:400, 160:250] == HAIR).all()
    assert (labels[210:302, 262:402] == SPACE.index("skin")).all()
    assert not labels[:140].any()
    assert abs((labels > 0).mean() - (0.4 * 0.5 + 0.1 * 0.2)) < 0.01
    assert page.page.evaluate("sem2nerf.editor.mask.past.length") == 3
    page.page.keyboard.press("Control+z")
    assert set(np.unique(page.labels())) == {0, HAIR}

    page.page.keyboard.press("m")                       # the other side gets the other eye
    page.choose(SPACE.index("l_eye"))
    page.stroke((0.6, 0.5), (0.7, 0.5), (0.7, 0.55), (0.6, 0.55))
    labels = page.labels()
    left, right = (labels == SPACE.index(name) for name in ("l_eye", "r_eye"))
    assert left.sum() > 1000
    assert (left[:, ::-1] != right).sum() < 20
    assert guide.is_hidden()

    page.page.locator("#board").focus()                 # and with the keyboard alone
    page.choose(HAT)
    page.page.keyboard.press("m")
    page.page.locator("#board").focus()
    page.page.keyboard.press("Space")
    for key in ("ArrowRight",) * 4 + ("ArrowDown",) * 4 + ("ArrowLeft",) * 4:
        page.page.keyboard.press(f"Shift+{key}")
    page.page.keyboard.press("Space")
    rows, columns = np.nonzero(page.labels() == HAT)
    assert len(rows) > 0.9 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
