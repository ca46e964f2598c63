"""The viewer's images in a real browser: labels, volumes as they travel, and beside the exact view."""

import math

import numpy as np
import pytest
from conftest import ROOT
from viewing import MASK, lumps, opened, picture, psnr, write_page

from configs.label_spaces import shown_palette
from models.pigan.cameras import FRONTAL, Camera
from models.sem2nerf import Sem2NeRF
from scripts.inference3d import main
from utils.images import to_uint8
from web.viewer.page import QUALITIES, viewer_page
from web.volume.baking import Volume, bake
from web.volume.packing import COLOUR_STEP, pack

LABELS = "viewer.labelMap(48, { ...viewer.pose, yaw: 0.2 }).then(labels => Array.from(labels))"


@pytest.fixture(scope="module")
def scene():
    return lumps()


@pytest.fixture(scope="module")
def page_file(scene, tmp_path_factory):
    return write_page(scene, tmp_path_factory.mktemp("viewer"))


@pytest.fixture
def page(open_page, page_file):
    return opened(open_page, page_file)


def test_the_button_and_the_key_show_labels(page, scene):
    head = picture(page)
    page.click("#labels")
    assert page.get_attribute("#labels", "aria-pressed") == "true"
    painted, numbers = picture(page, 48, yaw=0.2), np.array(page.evaluate(LABELS)).reshape(48, 48)
    assert (painted == np.array(shown_palette(scene.semantic_head.space))[numbers]).all()
    assert len(np.unique(numbers)) > 3
    page.keyboard.press("l")
    assert page.get_attribute("#labels", "aria-pressed") == "false"
    assert (picture(page) == head).all()


def test_label_maps_by_hand(page):
    """A wall across the origin, label 3 on its left and 7 on its right; the upper part of the picture sees over it."""
    size, half, top = 16, 0.13, 0.065
    rgba, labels = np.full((size, size, size, 4), 128, np.uint8), np.full((size, size, size), 7, np.uint8)
    rgba[:8, :12, :, 3] = 255  # z below 0, y below `top`
    labels[:, :, :8] = 3
    volume = Volume(rgba, half, 1e5, np.zeros((2, 2, 2, 3), np.uint8), 0.2, labels)
    numbers = np.array(page.evaluate("""async packed => {
      viewer.show(await sem2nerf.unpackVolume(new Uint8Array(packed)));
      return Array.from(await viewer.labelMap(33));
    }""", list(pack(volume)))).reshape(33, 33)
    at = np.linspace(-1, 1, 33) * math.tan(math.radians(6))
    x, y = np.meshgrid(at, -at)
    wanted = np.where(y > top, 0, np.where(x < 0, 3, 7))
    clear = (abs(y - top) > half / size) & (abs(x) > 1e-3)
    assert (numbers == wanted)[clear].all()


def test_a_page_without_labels_has_no_button(open_page, tmp_path, weights, faces, monkeypatch):
    monkeypatch.setitem(QUALITIES, "high", (8, 16))
    out = tmp_path / "out"
    main([f"--exp_dir={out}", f"--checkpoint_path={weights}", f"--data_path={faces / '90001.png'}", "--device=cpu",
          "--test_output_size=16", "--pigan_infer_ray_step=4", "--render_viewer", "--viewer_quality=high"])
    file = next(out.rglob("*.html"))
    assert file.with_suffix(".png").is_file()
    page = opened(open_page, file)
    assert page.evaluate("viewer.volume.size") == 16
    assert page.is_hidden("#labels")
    assert (page.messages, page.requests) == ([], [file.as_uri()])


def test_bytes_that_are_no_volume(page, scene):
    coarse, fine = bake(scene, (8, 16))
    good = pack(fine, coarse)
    for data, words in ((b"", "These bytes are no volume"), (good[:-1], "bytes, and should have"),
                        (good, "needs one of 8 texels"), (b"S2NV" + b"\xff" * 20, "These bytes are no volume"),
                        (good.replace(b'"version": 1', b'"version": 9'), "has format 9"),
                        (good.replace(b'"size": 16', b'"size": -1'), "cannot be read")):
        said = page.evaluate("bytes => sem2nerf.unpackVolume(new Uint8Array(bytes)).then(() => '', e => e.message)",
                             list(data))
        assert words in said


def test_every_volume_is_unpacked_as_python_packs_it(page, scene):
    coarse, fine = bake(scene, (4, 12))
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
    assert np.abs(rgba[solid] - fine.rgba[solid]).max() < COLOUR_STEP
    assert (labels == fine.labels.reshape(-1)).all()
    assert (background == fine.background.reshape(-1)).all()


@pytest.fixture(scope="module")
def demo():
    """The bundled weights: scene, mask as the network sees it, and exact views by pose."""
    net = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")
    planes = net.input.prepare(net.input.labels(MASK))
    scene = net.scene_of(net.encode(net.input.tensor(planes)[None]))
    views = {pose: to_uint8(scene.render(Camera(FRONTAL + pose[0], FRONTAL + pose[1]), 96, 24).rgb)
             for pose in ((0.0, 0.0), (-0.45, 0.2))}
    return scene, planes.label, net.input.network_space, views


@pytest.mark.parametrize("quality, bound, size", [("normal", 35, 0.7e6), ("high", 38, 1.1e6)])
def test_beside_the_exact_view(open_page, tmp_path, demo, quality, bound, size):
    scene, label, space, views = demo
    file = tmp_path / "90001.html"
    file.write_text(viewer_page(scene, "90001", label, space, quality))
    assert file.stat().st_size < size
    page = opened(open_page, file)
    for (yaw, pitch), exact in views.items():
        assert psnr(picture(page, yaw=yaw, pitch=pitch), exact) > bound
