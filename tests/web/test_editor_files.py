"""Files that the editor's page opens and saves, in a real browser."""

import io
import json
import time

import numpy as np
import pytest
from editor_pages import SPACE, fixture_editor, fixture_opened, png  # noqa: F401 - fixtures
from editor_servers import sample
from PIL import Image

from configs.label_spaces import LABEL_ORDERS

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
