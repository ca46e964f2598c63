"""The editor in a real browser, driven by mouse and keyboard."""

import base64
import io
import json
import re
import time

import numpy as np
import pytest
from editor_servers import demo, running, sample
from PIL import Image

from configs.label_spaces import LABEL_ORDERS, LABEL_SPACES

SPACE = LABEL_SPACES["CelebAMask_HQ"]
SIZES = (24, 48)  # of the volumes: what a page does with them does not depend on it
HAIR, SKIN, HAT = 13, 1, 14


@pytest.fixture(scope="module")
def editor():
    with running(demo(), sizes=SIZES) as editor:
        yield editor


class EditorPage:
    """A page with the editor, and what a test asks of it."""

    def __init__(self, page) -> None:
        self.page = page
        page.evaluate("sem2nerf.starting")
        page.evaluate("""() => {
            globalThis.pictures = [];
            sem2nerf.editor.live.addEventListener("picture", event => pictures.push(event.detail));
        }""")

    def labels(self) -> np.ndarray:
        mask = self.page.evaluate("""() => {
            const { mask } = sem2nerf.editor;
            const bytes = Array.from(mask.labels, label => String.fromCharCode(label)).join("");
            return [mask.width, mask.height, btoa(bytes)];
        }""")
        return np.frombuffer(base64.b64decode(mask[2]), np.uint8).reshape(mask[1], mask[0])

    def until(self, condition: str, timeout: float = 60):
        """Wait until an expression is true. (Playwright's own way needs `eval`, which the page forbids.)"""
        end = time.monotonic() + timeout
        while not (value := self.page.evaluate(condition)):
            assert time.monotonic() < end, f"{condition}; the page says {self.notices()}"
            time.sleep(0.05)
        return value

    def settle(self) -> None:
        """Until the head of what is painted now is finished and drawn."""
        self.page.evaluate("sem2nerf.editor.updated")
        self.until(f"!sem2nerf.editor.head.viewer.drawing && sem2nerf.editor.head.viewer.volume?.size === {SIZES[-1]}")

    def view(self, size: int = 128) -> np.ndarray:
        """The head as the page shows it, colours in 0..255."""
        url = self.page.evaluate(f"sem2nerf.editor.head.viewer.picture({size}).then(canvas => canvas.toDataURL())")
        return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(float)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the mask, in parts of its sides, is on the screen."""
        box = self.page.evaluate("(({left, top, width, height}) => [left, top, width, height])"
                                 "(sem2nerf.editor.board.canvas.getBoundingClientRect())")
        return box[0] + x * box[2], box[1] + y * box[3]

    def stroke(self, *points: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def choose(self, label: int) -> None:
        self.page.locator(f"#labels [data-label='{label}']").click()

    def notices(self) -> list[str]:
        return self.page.locator(".notice p").all_text_contents()

    def open_file(self, data: bytes, name: str = "some.png", kind: str = "image/png") -> None:
        self.page.locator("#file").set_input_files({"name": name, "mimeType": kind, "buffer": data})

    def idle(self) -> None:
        """Give what must not happen a moment to happen."""
        time.sleep(0.3)


@pytest.fixture
def opened(editor, open_page):
    def opened(fragment: str = "", **settings) -> EditorPage:
        settings = {"viewport": {"width": 1300, "height": 820}, **settings}
        return EditorPage(open_page(editor.address + fragment, **settings))

    return opened


def png(labels: np.ndarray, palette: bool = False) -> bytes:
    image, out = Image.fromarray(labels), io.BytesIO()
    if palette:
        image.putpalette(np.array(SPACE.palette, np.uint8).tobytes())
    image.save(out, format="PNG")
    return out.getvalue()


def test_it_starts_with_a_sample_and_asks_nobody_else(opened, editor):
    page = opened()
    page.settle()
    np.testing.assert_array_equal(page.labels(), sample())
    assert page.notices() == []
    assert page.page.messages == []
    assert all(url.startswith((editor.address, "data:", "blob:")) for url in page.page.requests)
    names = page.page.locator("#labels button").all_text_contents()
    assert len(names) == len(SPACE)
    assert any("hair" in name for name in names)


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


BISENET = np.zeros(19, np.uint8)
BISENET[list(LABEL_ORDERS["bisenet"])] = np.arange(19)


def test_files_of_every_encoding(opened):
    page, target = opened(), sample("90003")
    for data in (png(target), png(target, palette=True), png(np.array(SPACE.palette, np.uint8)[target])):
        page.open_file(png(sample("90001")))
        page.until("sem2nerf.editor.mask.at(0, 0) >= 0")
        page.open_file(data)
        end = time.monotonic() + 20
        while not np.array_equal(page.labels(), target):
            assert time.monotonic() < end, page.notices()
            time.sleep(0.1)
        assert page.notices() == []


def test_another_order_is_said_and_chosen(opened):
    page, target = opened(), sample("90003")
    page.open_file(png(BISENET[target]), "bise.png")
    page.until("document.querySelector('.notice')")
    assert "bise.png" in page.notices()[0]
    assert "bisenet" in page.notices()[0]
    page.page.get_by_label("Label order").select_option("bisenet")
    end = time.monotonic() + 20
    while not np.array_equal(page.labels(), target):
        assert time.monotonic() < end, page.notices()
        time.sleep(0.1)
    page.until("!document.querySelector('.notice')")


@pytest.mark.parametrize("data, words", [(b"nothing", "cannot be read"), (png(sample() * 9), "out of range"),
                                         (png(np.full((600, 600, 3), (7, 9, 200), np.uint8)), "not in the table")],
                         ids=["noise", "numbers", "colours"])
def test_wrong_files_change_nothing(opened, data, words):
    page = opened()
    page.open_file(data, "holiday.png")
    page.until("document.querySelector('.notice.error')")
    (line,) = page.notices()
    assert line.startswith("holiday.png: ")
    assert words in line
    np.testing.assert_array_equal(page.labels(), sample())
    assert not page.page.evaluate("sem2nerf.editor.mask.canUndo")


def test_photographs_are_traced_and_not_sent(opened):
    page = opened()
    page.settle()
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)).save(out, "JPEG")
    before = len(page.page.requests)
    photo = {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}
    page.page.locator("#photo-file").set_input_files(photo)
    page.page.locator("#photo-bar").wait_for(state="visible")
    assert page.page.evaluate("getComputedStyle(sem2nerf.editor.board.canvas).opacity") == "0.55"
    drawn = "sem2nerf.editor.board.photo.getContext('2d').getImageData(250, 250, 1, 1).data[3]"
    assert page.page.evaluate(drawn) == 255
    assert not any("/read" in url or "/run" in url for url in page.page.requests[before:])
    page.page.locator("#photo-away").click()
    assert page.page.evaluate("getComputedStyle(sem2nerf.editor.board.canvas).opacity") == "1"


def test_a_link_reproduces_mask_style_and_view(opened, editor):
    page = opened("#space=CelebAMask_HQ&sample=90008_hat&seed=711&layers=6.7.8&yaw=0.3&pitch=-0.1&fov=10")
    page.settle()
    np.testing.assert_array_equal(page.labels(), sample("90008_hat"))
    page.choose(HAIR)
    page.stroke((0.3, 0.5), (0.35, 0.7))
    page.settle()
    painted, view = page.labels(), page.view()
    page.until("location.hash.includes('mask=')")
    other = opened(page.page.evaluate("location.hash"))
    other.settle()
    np.testing.assert_array_equal(other.labels(), painted)
    assert other.page.evaluate("sem2nerf.editor.style.value") == {"seed": 711, "layers": [6, 7, 8]}
    pose = other.page.evaluate("sem2nerf.editor.head.pose")
    assert (round(pose["yaw"], 3), round(pose["pitch"], 3), round(pose["fov"], 2)) == (0.3, -0.1, 10)
    assert np.abs(other.view() - view).max() <= 2


@pytest.mark.parametrize("fragment, words", [
    ("#space=CatMask&sample=90001", "for CatMask"), ("#space=CelebAMask_HQ&sample=../../x", "no sample"),
    ("#space=CelebAMask_HQ&mask=512.512.AAAA", "damaged"), ("#space=CelebAMask_HQ&mask=9999.9999.AAAA", "no mask"),
    ("#mask=2.2.Y2RkZGQEAA", "damaged|labels"), ("#mask=<script>", "no mask"),
], ids=range(6))
def test_broken_links(opened, fragment, words):
    page = opened(fragment)
    page.settle()
    (line,) = page.notices()
    assert re.search(words, line), line
    np.testing.assert_array_equal(page.labels(), sample())


def test_a_painting_outlives_the_tab(opened, chromium, editor):
    context = chromium.new_context(viewport={"width": 1300, "height": 820})
    try:
        first = context.new_page()
        first.goto(editor.address)
        page = EditorPage(first)
        page.choose(HAT)
        page.stroke((0.4, 0.2), (0.6, 0.2))
        painted = page.labels()
        page.until("localStorage.getItem('sem2nerf-editor:CelebAMask_HQ')?.includes('mask=')")
        first.close()
        second = context.new_page()
        second.goto(editor.address)
        np.testing.assert_array_equal(EditorPage(second).labels(), painted)
    finally:
        context.close()


def test_saving(opened, editor):
    page = opened("#space=CelebAMask_HQ&sample=90002&yaw=0.2&pitch=0&fov=12")
    page.settle()
    page.page.locator("#save-open").click()
    page.page.locator("#save-size").select_option("128")
    for kind, name in (("mask", "90002.png"), ("picture", "90002_head.png"), ("view", "90002_view.png")):
        with page.page.expect_download(timeout=60_000) as download:
            page.page.locator(f"[data-save={kind}]").click()
        assert download.value.suggested_filename == name
        image = Image.open(download.value.path())
        if kind == "mask":
            assert image.mode == "L"
            np.testing.assert_array_equal(np.array(image), sample("90002"))
        elif kind == "view":
            exact = np.array(image).astype(float)
            assert exact.shape == (128, 128, 3)
            assert 10 * np.log10(255**2 / np.square(exact - page.view(128)).mean()) > 28
    offered = page.page.locator("[data-save]").evaluate_all("buttons => buttons.map(button => button.dataset.save)")
    assert set(offered) == {"mask", "picture", *json.loads(editor.ask("GET", "/describe")[1])["saves"]}


def test_two_tabs(opened):
    """Each has its own mask and head; strokes in one do not end the other's."""
    one, other = opened("#sample=90001"), opened("#sample=90008_hat")
    for page in (one, other):
        page.settle()
    first, second = one.view(), other.view()
    assert np.abs(first - second).mean() > 5
    one.choose(HAIR)
    other.choose(HAIR)
    one.stroke((0.6, 0.4), (0.65, 0.7))
    other.stroke((0.3, 0.4), (0.35, 0.7))
    for page in (one, other):
        page.settle()
        assert page.notices() == []
        assert [picture["size"] for picture in page.page.evaluate("pictures")][-1] == SIZES[-1]


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


def test_small_screens_and_narrow_windows(opened):
    for width, height in ((360, 640), (390, 844), (844, 390), (768, 1024), (1024, 600), (1920, 1080)):
        page = opened("#sample=90001", viewport={"width": width, "height": height})
        over = page.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, f"{width} x {height}: the page is {over} pixels too wide"
        for name in ("#board", ".stage"):
            box = page.page.locator(name).bounding_box()
            assert box["width"] >= 150, (name, width, height)
            assert abs(box["width"] - box["height"]) < 2


def test_every_control_has_a_name(opened):
    page = opened()
    nameless = page.page.evaluate("""() =>
        [...document.querySelectorAll("button, input:not([type=file]), select, canvas, [role]")]
        .filter(element => element.checkVisibility() && !element.ariaHidden && !element.closest("[aria-hidden]"))
        .filter(element => !(element.ariaLabel || element.textContent.trim() || element.labels?.length ||
                             element.title || element.getAttribute("aria-labelledby") ||
                             element.getAttribute("role") === "status"))
        .map(element => element.outerHTML.slice(0, 80))""")
    assert nameless == []


def test_parts_from_every_side(opened, editor):
    """The bundled weights know which part is where: the head in the colours of its labels, which turns as well."""
    page = opened("#sample=90001&yaw=0.4&pitch=0&fov=12")
    page.settle()
    head = editor.studio.net.semantic_head
    assert head is not None
    palette = {tuple(colour) for colour in head.space.palette}
    page.page.keyboard.press("l")
    colours = page.view().astype(int).reshape(-1, 3)
    assert np.mean([tuple(colour) in palette for colour in colours.tolist()]) > 0.99
    assert len({tuple(colour) for colour in colours.tolist()} & palette) >= 5
    page.page.locator("#volume-labels").click()
    assert np.mean([tuple(colour) in palette for colour in page.view().astype(int).reshape(-1, 3).tolist()]) < 0.1
