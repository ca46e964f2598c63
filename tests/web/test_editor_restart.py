"""An open page whose server goes and comes back."""

import time

import numpy as np
from editor_pages import HAT, EditorPage
from editor_servers import RunningEditor, sample
from tiny import FACE_OPTS, tiny_model

SIZES = (8, 48)


def until(condition, timeout=30):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(open_page):
    net = tiny_model(contrast=20)
    server = RunningEditor(net, sizes=SIZES)
    try:
        page = EditorPage(open_page(server.address))
        page.settle()
        server.stop()
        until(lambda: any("does not answer" in line for line in page.notices()))
        page.choose(HAT)
        page.stroke((0.4, 0.3), (0.6, 0.3))             # painting goes on
        painted, before = page.labels(), page.view()
        assert (painted == HAT).any()
        server = RunningEditor(net, server.port, SIZES)
        until(lambda: page.notices() == [])
        page.settle()
        until(lambda: np.abs(page.view() - before).max() > 2)   # the head of what was painted meanwhile
        np.testing.assert_array_equal(page.labels(), painted)
        assert page.page.evaluate("sem2nerf.editor.mask.canUndo"), "it is the same page, not a new one"
    finally:
        server.stop()


def test_another_model_behind_the_same_address(open_page):
    """What the page shows of the model follows; what was painted stays."""
    server = RunningEditor(tiny_model(), sizes=SIZES)
    try:
        page = EditorPage(open_page(server.address))
        page.choose(HAT)
        page.stroke((0.4, 0.3), (0.6, 0.3))
        painted = page.labels()
        server.stop()
        other = tiny_model({**FACE_OPTS, "use_merged_labels": False, "label_nc": 19, "input_nc": 21})
        server = RunningEditor(other, server.port, SIZES, title="other weights")
        until(lambda: "other weights" in (page.page.locator("#weights").text_content() or ""))
        page.page.evaluate("sem2nerf.starting")
        np.testing.assert_array_equal(page.labels(), painted)
        assert not np.array_equal(painted, sample())
    finally:
        server.stop()
