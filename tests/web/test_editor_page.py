"""The editor's page in a real browser: its start, links, tabs, sizes of the window, names of controls."""

import re

import numpy as np
import pytest
from editor_pages import HAIR, HAT, SIZES, SPACE, EditorPage, fixture_editor, fixture_opened  # noqa: F401 - fixtures
from editor_servers import sample

from configs.label_spaces import shown_palette


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
    palette = {tuple(colour) for colour in shown_palette(head.space)}
    page.page.keyboard.press("l")
    colours = page.view().astype(int).reshape(-1, 3)
    assert np.mean([tuple(colour) in palette for colour in colours.tolist()]) > 0.99
    assert len({tuple(colour) for colour in colours.tolist()} & palette) >= 5
    page.page.locator("#volume-labels").click()
    assert np.mean([tuple(colour) in palette for colour in page.view().astype(int).reshape(-1, 3).tolist()]) < 0.1
