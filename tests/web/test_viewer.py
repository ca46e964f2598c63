"""The viewer in a real browser: its page from a file, its controls, and its images beside those of the renderer."""

import base64
import io
import math

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from tiny import FACE_OPTS, tiny_model

from models.pigan.cameras import FRONTAL, Camera
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import style_code
from models.sem2nerf import Sem2NeRF
from models.volume import bake
from models.volume_file import pack
from scripts.inference3d import main
from utils.images import to_uint8
from web.viewer.page import QUALITIES, viewer_page

MASK = ROOT / "data/CelebAMask-HQ/mask_samples/90001.png"
PIXELS = "async ([size, pose]) => (await viewer.picture(size, { ...viewer.pose, ...pose })).toDataURL()"
LABELS = "viewer.labelMap(96, { ...viewer.pose, yaw: 0.2 }).then(labels => Array.from(labels))"
STILL = {"reduced_motion": "reduce"}  # no greeting turn


@pytest.fixture(scope="module")
def scene():
    """Of a network that knows labels, with colours that change from place to place."""
    import torch

    net = tiny_model(FACE_OPTS, contrast=20)
    net.siren.final_layer.weight.mul_(10)
    net.siren.final_layer.bias.fill_(-3000)
    weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    net.semantic_head = SemanticHead((1, 3), "CelebAMask_HQ_merged", weight, torch.zeros(16))
    return net.scene_of(style_code(net.siren, 1))


@pytest.fixture(scope="module")
def page_file(scene, tmp_path_factory):
    net = tiny_model()
    labels = net.input.prepare(net.input.labels(MASK)).label
    path = tmp_path_factory.mktemp("viewer") / "<b>.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(QUALITIES, "normal", (8, 32))
        text = viewer_page(scene, "<b>&\"", labels, net.input.network_space)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def page(open_page, page_file):
    page = open_page(page_file, **STILL)
    page.evaluate("ready")
    return page


def decoded(address):
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")).astype(float)


def picture(page, size=96, **pose):
    return decoded(page.evaluate(PIXELS, [size, pose]))


def shown(page):
    """What stands on the canvas."""
    page.wait_for_function("() => !viewer.drawing && !viewer.wanted && !viewer.moving")
    return np.array(Image.open(io.BytesIO(page.locator("canvas").screenshot())).convert("RGB")).astype(float)


def psnr(a, b):
    return -10 * math.log10(np.square((a - b) / 255).mean())


def pose(page):
    return page.evaluate("viewer.pose")


def test_a_page_from_a_file_asks_for_nothing_and_says_nothing(page, page_file):
    assert page.requests == [page_file.as_uri()]
    assert page.messages == []
    assert page.title() == '<b>&"'
    assert page.locator("canvas").get_attribute("aria-label").startswith("A head in 3D.")
    assert page.evaluate("document.querySelector('#mask').naturalWidth") == 224
    assert "glasses" not in page.inner_text("#legend") and "upper lip" in page.inner_text("#legend")
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
    assert sides == [256, 100, 64, full, min(full, 500)]


def test_labels_from_any_side(page, scene):
    """Beside the labels of the same scene's own view: they disagree at edges only."""
    head = picture(page)
    page.click("#labels")
    assert page.get_attribute("#labels", "aria-pressed") == "true"
    painted = picture(page, yaw=0.2)
    numbers = np.array(page.evaluate(LABELS)).reshape(96, 96)
    palette = np.array(scene.semantic_head.space.palette)
    assert (painted == palette[numbers]).all()
    labels = scene.render(Camera(FRONTAL + 0.2), 96, 24, labels=True)
    sure = (labels.label_probabilities.max(0).values > 0.6).numpy()
    assert sure.mean() > 0.2 and len(np.unique(numbers[sure])) > 2
    assert (numbers == labels.labels.numpy())[sure].mean() > 0.85
    page.keyboard.press("l")
    assert page.get_attribute("#labels", "aria-pressed") == "false"
    assert (picture(page) == head).all()


def test_a_page_without_labels_has_no_button(open_page, tmp_path, weights, faces, monkeypatch):
    monkeypatch.setitem(QUALITIES, "high", (8, 16))
    out = tmp_path / "out"
    main([f"--exp_dir={out}", f"--checkpoint_path={weights}", f"--data_path={faces / '90001.png'}", "--device=cpu",
          "--test_output_size=16", "--pigan_infer_ray_step=4", "--render_viewer", "--viewer_quality=high"])
    file = next(out.rglob("*.html"))
    assert file.with_suffix(".png").is_file()
    page = open_page(file, **STILL)
    page.evaluate("ready")
    assert page.evaluate("viewer.volume.size") == 16
    assert page.is_hidden("#labels")
    assert page.messages == [] and page.requests == [file.as_uri()]


def test_where_there_is_no_webgl_the_page_says_so(open_page, page_file, tmp_path):
    text = page_file.read_text().replace('getContext("webgl2"', 'getContext("none"')
    (tmp_path / "page.html").write_text(text)
    page = open_page(tmp_path / "page.html")
    page.evaluate("ready")
    assert page.inner_text("#trouble") == "This browser cannot show the head: it offers no WebGL2."


def test_bytes_that_are_no_volume(page, scene):
    coarse, fine = bake(scene, (8, 16))
    good = pack(fine, coarse)
    for data, words in ((b"", "These bytes are no volume"), (good[:-1], "bytes, and should have"),
                        (good, "needs one of 8 texels"), (b"S2NV" + b"\xff" * 20, "These bytes are no volume"),
                        (good.replace(b'"version": 1', b'"version": 9'), "has format 9"),
                        (good.replace(b'"size": 16', b'"size": 9e9'), "cannot be read")):
        said = page.evaluate("bytes => sem2nerf.unpackVolume(new Uint8Array(bytes)).then(() => '', e => e.message)",
                             list(data))
        assert words in said


def test_every_volume_is_unpacked_as_python_packs_it(page, scene):
    coarse, fine = bake(scene, (8, 24))
    got = page.evaluate("""async ([coarse, fine]) => {
      const first = await sem2nerf.unpackVolume(new Uint8Array(coarse));
      const { rgba, labels, background } = await sem2nerf.unpackVolume(new Uint8Array(fine), first);
      return [first.rgba, rgba, labels, background.rgb].map(bytes => Array.from(bytes));
    }""", [list(pack(coarse)), list(pack(fine, coarse))])
    first, rgba, labels, background = (np.array(values) for values in got)
    assert (first == coarse.rgba.reshape(-1)).all()
    solid = fine.rgba[..., 3] > 96
    rgba = rgba.reshape(fine.rgba.shape)
    assert (rgba[..., 3] == fine.rgba[..., 3])[solid].all()
    assert np.abs(rgba[solid] - fine.rgba[solid]).max() <= 2
    assert (labels == fine.labels.reshape(-1)).all() and (background == fine.background.reshape(-1)).all()


@pytest.mark.parametrize("quality, bound, size", [("normal", 35, 0.7e6), ("high", 38, 1.1e6)])
def test_beside_the_exact_view(open_page, tmp_path, quality, bound, size):
    """The bundled weights, at 96 px, from the front and from aside."""
    net = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")
    planes = net.input.prepare(net.input.labels(MASK))
    scene = net.scene_of(net.encode(net.input.tensor(planes)[None]))
    file = tmp_path / "90001.html"
    file.write_text(viewer_page(scene, "90001", planes.label, net.input.network_space, quality))
    assert file.stat().st_size < size
    page = open_page(file, **STILL)
    page.evaluate("ready")
    for yaw, pitch in ((0.0, 0.0), (-0.45, 0.2)):
        exact = to_uint8(scene.render(Camera(FRONTAL + yaw, FRONTAL + pitch), 96, 24).rgb)
        assert psnr(picture(page, yaw=yaw, pitch=pitch), exact) > bound
