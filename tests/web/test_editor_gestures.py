"""Fingers, dropped and pasted files, and a graphics context that goes, on the editor's page in a real browser."""

import io
import time

import numpy as np
import pytest
from editor_pages import HAIR, HAT, SPACE, EditorPage, fixture_editor, fixture_opened, png  # noqa: F401 - fixtures
from editor_servers import FACES, sample
from PIL import Image

from configs.label_spaces import LABEL_ORDERS


class Fingers:
    """Touches as the browser gets them from a screen."""

    def __init__(self, page: EditorPage) -> None:
        self.page, self.line = page, page.page.context.new_cdp_session(page.page)

    def put(self, kind: str, *places: tuple[float, float]) -> None:
        """`kind`: touchStart, touchMove or touchEnd; places of all fingers that are down, in parts of the mask."""
        points = [dict(zip("xy", self.page.at(*place), strict=True), id=number) for number, place in enumerate(places)]
        self.line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.fixture(name="page")
def fixture_page(opened):
    page = opened("#sample=90001", has_touch=True)
    page.choose(HAT)
    return page


def until_labels(page: EditorPage, target: np.ndarray) -> None:
    end = time.monotonic() + 30
    while not np.array_equal(page.labels(), target):
        assert time.monotonic() < end, page.notices()
        time.sleep(0.1)


def test_a_finger_paints(page):
    fingers = Fingers(page)
    fingers.put("touchStart", (0.3, 0.4))
    for step in range(1, 6):
        fingers.put("touchMove", (0.3 + 0.05 * step, 0.4))
    fingers.put("touchEnd")
    rows, columns = np.nonzero(page.labels() == HAT)
    assert abs(rows.mean() / 512 - 0.4) < 0.01
    assert columns.min() / 512 == pytest.approx(0.3 - 12 / 512, abs=0.01)
    assert columns.max() / 512 == pytest.approx(0.55 + 12 / 512, abs=0.01)
    assert page.page.evaluate("scrollY") == 0
    assert page.page.evaluate("sem2nerf.editor.mask.past.length") == 1


def test_two_fingers_zoom_and_move_the_sheet_and_paint_nothing(page):
    """The dab of the first finger, which is down a moment earlier, is taken back."""
    fingers, before = Fingers(page), page.labels()
    fingers.put("touchStart", (0.4, 0.5))
    fingers.put("touchStart", (0.4, 0.5), (0.6, 0.5))
    left = page.at(0, 0)
    middle = page.at(0.5, 0.5)
    places = [(0.4 - 0.02 * step, 0.5) for step in range(1, 6)]
    for x, y in places:
        box = page.page.locator("#board").bounding_box()
        points = [{"x": box["x"] + at * box["width"], "y": box["y"] + y * box["height"], "id": number}
                  for number, at in enumerate((x, 1 - x))]
        fingers.line.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    fingers.put("touchEnd")
    page.until("sem2nerf.editor.board.zoom > 1.8")
    assert page.page.evaluate("sem2nerf.editor.board.zoom") == pytest.approx(2, abs=0.1)
    assert page.at(0.5, 0.5) == pytest.approx(middle, abs=6), "what was between the fingers stays there"
    assert page.at(0, 0)[0] < left[0] - 100
    np.testing.assert_array_equal(page.labels(), before)
    assert not page.page.evaluate("sem2nerf.editor.mask.canUndo")
    fingers.put("touchStart", (0.5, 0.5))               # one finger alone paints again, where it is
    fingers.put("touchEnd")
    rows, columns = np.nonzero(page.labels() == HAT)
    assert (rows.mean() / 512, columns.mean() / 512) == pytest.approx((0.5, 0.5), abs=0.01)


def test_fingers_turn_and_zoom_the_head(page):
    page.settle()
    box, fingers = page.page.locator("#head").bounding_box(), Fingers(page)

    def put(kind: str, *xs: float) -> None:
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + 0.5 * box["height"], "id": number}
                  for number, x in enumerate(xs)]
        fingers.line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    put("touchStart", 0.5)
    put("touchMove", 0.6)
    put("touchEnd")
    pose = page.page.evaluate("sem2nerf.editor.head.pose")
    assert pose["yaw"] == pytest.approx(0.2, abs=0.02)
    put("touchStart", 0.4, 0.6)
    put("touchMove", 0.3, 0.6)
    put("touchMove", 0.3, 0.7)
    put("touchEnd")
    assert page.page.evaluate("sem2nerf.editor.head.pose.fov") == pytest.approx(6, abs=0.3)
    assert page.page.evaluate("sem2nerf.editor.head.pose.yaw") == pose["yaw"]


def drag(page: EditorPage, *files) -> None:
    """Drop files as the browser gets them from the desktop."""
    line, data = page.page.context.new_cdp_session(page.page), {"items": [], "files": [str(file) for file in files],
                                                                "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        line.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})
        if kind == "dragOver":
            assert page.page.locator("#drop").is_visible()
    page.until("document.querySelector('#drop').hidden")


def test_files_are_dropped_on_the_page(page, tmp_path):
    drag(page, FACES / "90003.png")
    until_labels(page, sample("90003"))
    assert page.page.evaluate("sem2nerf.editor.saves.name") == "90003"
    page.page.keyboard.press("Control+z")
    np.testing.assert_array_equal(page.labels(), sample())

    photo = tmp_path / "me.jpg"
    Image.fromarray(np.full((300, 400, 3), 120, np.uint8)).save(photo)
    drag(page, photo)
    page.page.locator("#photo-bar").wait_for(state="visible")
    np.testing.assert_array_equal(page.labels(), sample())

    (tmp_path / "notes.txt").write_text("nothing")
    drag(page, tmp_path / "notes.txt")
    page.until("document.querySelector('.notice.error')")
    assert "notes.txt" in page.notices()[0]
    np.testing.assert_array_equal(page.labels(), sample())


@pytest.mark.parametrize("coloured", [True, False], ids=["colours", "numbers"])
def test_pictures_are_pasted(page, coloured):
    """The browser writes what is copied as a picture of four channels, whatever it was."""
    target = sample("90003")
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    data = png(np.array(SPACE.palette, np.uint8)[target] if coloured else target)
    page.page.evaluate("""async bytes => {
        const picture = new Blob([Uint8Array.from(bytes)], { type: "image/png" });
        await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
    }""", list(data))
    page.page.locator("#board").focus()
    page.page.keyboard.press("Control+v")
    until_labels(page, target)
    assert page.notices() == []


def test_every_kind_of_file_and_every_encoding(page):
    """Also those that are chosen beside what is odd about a file: label numbers in another order, here."""
    target = sample("90003")
    for kind in ("BMP", "TIFF", "PPM"):
        for pixels in (target, np.array(SPACE.palette, np.uint8)[target]):
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, format=kind)
            page.page.evaluate("sem2nerf.editor.mask.change(mask => mask.clear())")
            page.open_file(out.getvalue(), f"some.{kind.lower()}", f"image/{kind.lower()}")
            until_labels(page, target)
    page.until("!document.querySelector('.notice')")    # the cleared mask had none of a head

    numbers = np.zeros(19, np.uint8)
    numbers[list(LABEL_ORDERS["bisenet"])] = np.arange(19)
    page.open_file(png(numbers[target]), "odd.png")
    page.until("document.querySelector('.notice.warning')")
    until_labels(page, numbers[target])
    page.page.get_by_label("Encoding").select_option("colour")
    page.until("document.querySelector('.notice.error')")
    assert any("has no colours" in notice for notice in page.notices())
    until_labels(page, numbers[target])                 # what cannot be read changes nothing
    page.page.get_by_label("Encoding").select_option("index")
    page.until("document.querySelector('.notice.warning')")
    page.page.get_by_label("Label order").select_option("bisenet")
    until_labels(page, target)


def test_a_lost_graphics_context_is_said_and_comes_back(page):
    page.settle()
    before = page.view()
    page.page.evaluate("globalThis.loss = sem2nerf.editor.head.viewer.renderer.gl.getExtension('WEBGL_lose_context'); "
                       "loss.loseContext()")
    page.until("document.querySelector('.notice')")
    assert "graphics" in page.notices()[0]
    page.choose(HAIR)
    page.stroke((0.36, 0.27), (0.64, 0.27))             # the head that is there is the newest, afterwards
    page.page.evaluate("sem2nerf.editor.updated, loss.restoreContext()")
    page.until("!document.querySelector('.notice')")
    page.settle()
    assert np.abs(page.view() - before).mean() > 1
