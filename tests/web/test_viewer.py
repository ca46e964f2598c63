"""The viewer in a real browser: its page from a file, its controls, when it draws."""

import math

import pytest
from viewing import STILL, lumps, opened, pose, psnr, shown, write_page


@pytest.fixture(scope="module")
def scene():
    return lumps()


@pytest.fixture(scope="module")
def page_file(scene, tmp_path_factory):
    return write_page(scene, tmp_path_factory.mktemp("viewer"))


@pytest.fixture
def page(open_page, page_file):
    return opened(open_page, page_file)


def test_a_page_from_a_file_asks_for_nothing_and_says_nothing(page, page_file):
    assert page.requests == [page_file.as_uri()]
    assert page.messages == []
    assert page.title() == '<b>&"'
    assert page.locator("canvas").get_attribute("aria-label").startswith("A head in 3D.")
    assert page.evaluate("document.querySelector('#mask').naturalWidth") == 224
    assert "glasses" not in page.inner_text("#legend")
    assert "upper lip" in page.inner_text("#legend")
    assert page.is_hidden("#trouble")


def test_the_head_follows_the_pointer(page):
    before, box = shown(page), page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 80, steps=4)
    page.mouse.up()
    # its front moves right and up: the camera goes left and down, where both angles are greater
    turned = pose(page)
    width = box["width"]
    assert turned["yaw"] == pytest.approx(2 * 60 / width, rel=0.05)
    assert turned["pitch"] == pytest.approx(2 * 20 / width, rel=0.05)
    assert psnr(shown(page), before) < 25
    page.mouse.move(box["x"] + 200, box["y"] + 200)  # not held any more
    assert pose(page) == turned
    page.locator("canvas").dblclick()
    assert pose(page) == {"yaw": 0, "pitch": 0, "fov": 12}
    assert psnr(shown(page), before) > 30  # a busy machine draws fewer pixels


def test_limits(page):
    page.locator("canvas").hover()
    for wheel, limit in ((-5000, 3), (20000, 13)):
        page.mouse.wheel(0, wheel)
        page.wait_for_function(f"() => viewer.pose.fov === {limit}")
    page.evaluate("viewer.pose = { yaw: 9, pitch: -9, fov: NaN }")
    assert pose(page) == {"yaw": 0.6875, "pitch": -0.5625, "fov": 13}


def test_keys(page):
    page.locator("canvas").focus()
    for key, name, sign in (("ArrowRight", "yaw", 1), ("ArrowLeft", "yaw", -1), ("ArrowUp", "pitch", 1),
                            ("ArrowDown", "pitch", -1), ("+", "fov", -1), ("-", "fov", 1)):
        before = pose(page)
        page.keyboard.press(key)
        assert math.copysign(1, pose(page)[name] - before[name]) == sign, key
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    assert pose(page) == {"yaw": 0, "pitch": 0, "fov": 12}


def test_two_fingers_zoom(page):
    page.evaluate("""() => {
      const canvas = document.querySelector("canvas");
      canvas.setPointerCapture = () => {};
      const send = (name, id, x) => canvas.dispatchEvent(
        new PointerEvent(name, { pointerId: id, clientX: x, clientY: 50, pointerType: "touch", bubbles: true }));
      send("pointerdown", 1, 100); send("pointerdown", 2, 200);
      send("pointermove", 2, 300);
      send("pointerup", 1, 100); send("pointerup", 2, 300);
    }""")
    assert pose(page) == {"yaw": 0, "pitch": 0, "fov": 6}


def test_a_lost_context_comes_back(page):
    before = shown(page)
    page.evaluate("globalThis.loss = viewer.renderer.gl.getExtension('WEBGL_lose_context'); loss.loseContext()")
    page.wait_for_selector("#trouble:visible")
    page.evaluate("viewer.pose = { yaw: 0.3 }; viewer.showLabels(false)")
    page.evaluate("loss.restoreContext()")
    page.wait_for_selector("#trouble", state="hidden")
    assert psnr(shown(page), before) < 25
    page.evaluate("viewer.pose = { yaw: 0 }")
    assert psnr(shown(page), before) > 30


def test_nothing_is_drawn_at_rest(page):
    shown(page)
    page.evaluate("""() => {
      globalThis.frames = 0;
      viewer.events.onframe = () => frames++;
    }""")
    page.wait_for_timeout(400)
    assert page.evaluate("frames") == 0
    page.evaluate("viewer.pose = { yaw: 0.1 }")
    shown(page)
    assert 1 <= page.evaluate("frames") <= 3  # once, and finer where there was time for more pixels


GREETED = """async () => {
  await ready;
  viewer.greet();
  const yaws = [];
  for (let i = 0; i < 6; i++) yaws.push(await new Promise(requestAnimationFrame).then(() => viewer.pose.yaw));
  return yaws;
}"""


def test_a_greeting_unless_motion_is_unwelcome(open_page, page_file):
    assert not any(open_page(page_file, **STILL).evaluate(GREETED))
    page = open_page(page_file, reduced_motion="no-preference")
    assert any(page.evaluate(GREETED))
    page.locator("canvas").focus()
    page.keyboard.press("Home")  # whoever takes hold of the head has it
    page.wait_for_timeout(200)
    assert pose(page)["yaw"] == 0


def test_the_picture_is_smaller_while_a_slow_machine_moves_it(page):
    shown(page)
    sides = page.evaluate("""() => {
      const sides = [];
      viewer.costs = null; viewer.moving = true; sides.push(viewer.side());
      viewer.costs = 24 / 100 ** 2; sides.push(viewer.side());      // the time of 100 x 100 pixels is there
      viewer.costs = 1; sides.push(viewer.side());
      viewer.costs = 1e-9; sides.push(viewer.side());
      viewer.costs = 24 / 100 ** 2; viewer.moving = false; sides.push(viewer.side());
      return [...sides, Math.min(viewer.canvas.clientWidth, viewer.canvas.clientHeight)];
    }""")
    *sides, full = sides
    assert sides == [256, 100, 64, full, min(full, 645)]


def test_where_there_is_no_webgl_the_page_says_so(open_page, page_file, tmp_path):
    text = page_file.read_text().replace('getContext("webgl2"', 'getContext("none"')
    (tmp_path / "page.html").write_text(text)
    page = opened(open_page, tmp_path / "page.html")
    assert page.inner_text("#trouble") == "This browser cannot show the head: it offers no WebGL2."


def test_what_follows_a_draft_is_drawn_fast_and_then_fine(page):
    shown(page)
    page.evaluate("""() => {
      Object.defineProperty(viewer, "costs", { get: () => 24 / 70 ** 2, set() {} });   // 70 px along each side in 24 ms
      globalThis.sides = [];
      viewer.events.onframe = ({ side }) => sides.push(side);
      viewer.show(viewer.volume, { draft: true });
    }""")
    page.wait_for_function("() => sides.length === 1")
    page.evaluate("viewer.show(viewer.volume)")
    page.wait_for_function("() => sides.length === 3")
    page.evaluate("viewer.show(viewer.volume)")
    page.wait_for_function("() => sides.length === 4")
    draft, fast, fine, next_one = page.evaluate("sides")
    assert draft == fast == 70
    assert fine == next_one > 200
