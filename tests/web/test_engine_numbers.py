"""The engine in the browser gives Python's numbers: maps, encoder, codes and field, of every kind of model."""

import functools

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from engine_pages import as_stored, floats, octets, one_row, packed, write_page
from tiny import CAT_OPTS, FACE_OPTS, tiny_model

from datasets.masks.maps import distance_map
from models.encoders.swin import SWIN_SIZES, SwinSize
from models.sem2nerf import Sem2NeRF
from web.engine.model_file import model_file

SAMPLES = sorted((ROOT / "data/CelebAMask-HQ/mask_samples").glob("*.png"))
CAT = ROOT / "data/CatMask/mask_samples/90001.png"
COMPUTE = """async ({model, plain, items}) => {
  const file = model ? bytesOf(model).buffer
    : await new Response(new Blob([sem2nerf.pageBytes("model")]).stream()
      .pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  const net = new sem2nerf.Model(file), kernels = await kernelsOf(plain);
  return items.map(({labels, width, height, points, seed, layers}) => {
    const planes = sem2nerf.maps.prepare(bytesOf(labels), width, height, net.input);
    const out = sem2nerf.encode(net, kernels, planes);
    const own = sem2nerf.codesOf(net, kernels, out);
    const codes = sem2nerf.withLayersFrom(own, sem2nerf.styleCodes(net, kernels, seed), layers, net.field.width);
    kernels.loadField(sem2nerf.fold(net, codes));
    const none = new Uint8Array(0);
    const {label, contour, distance} = planes, [values] = kernels.evaluate(floatsOf(points));
    return {label: textOf(label), contour: textOf(contour ?? none), distance: textOf(distance ?? none),
            out: textOf(out), codes: textOf(codes), values: textOf(values)};
  });
}"""


@pytest.fixture(scope="module")
def net() -> Sem2NeRF:
    return Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")


@pytest.fixture(scope="module")
def page(chromium, net, tmp_path_factory):
    """One page for all tests of this file."""
    page = chromium.new_page()
    page.goto(write_page(tmp_path_factory.mktemp("engine"), net).as_uri())
    yield page
    page.close()


@functools.cache
def some_points() -> torch.Tensor:
    return (torch.rand(203, 3, generator=torch.Generator().manual_seed(3)) - 0.5) * 0.26


def item(labels: np.ndarray, seed: int = 7, layers: tuple[int, ...] = (6, 8)) -> dict:
    return {"labels": packed(labels), "width": labels.shape[1], "height": labels.shape[0], "seed": seed,
            "layers": list(layers), "points": packed(some_points())}


@torch.no_grad()
def assert_same(net: Sem2NeRF, labels: np.ndarray, found: dict, seed: int = 7, layers=(6, 8)) -> None:
    planes = net.input.prepare(labels)
    for name in ("label", "contour", "distance"):
        wanted = getattr(planes, name)
        assert (octets(found[name]) == (0 if wanted is None else wanted.ravel())).all(), name
    out = net.encoder(net.input.tensor(planes)[None])
    np.testing.assert_allclose(floats(found["out"]), out[0].numpy(), atol=5e-5)
    codes = net.styled(net.codes_of(out), seed, layers)
    np.testing.assert_allclose(floats(found["codes"]), one_row(codes), atol=5e-5)
    rgb, density = net.scene_of(codes).field(some_points())
    values = floats(found["values"]).reshape(-1, 4)
    np.testing.assert_allclose(values[:, :3], rgb, atol=1e-4)
    np.testing.assert_allclose(values[:, 3], density, atol=1e-4 * max(1.0, float(density.abs().max())))


def test_all_samples(page, net):
    labels = [net.input.labels(path) for path in SAMPLES]
    found = page.evaluate(COMPUTE, {"plain": False, "items": [item(one) for one in labels]})
    assert len(found) == len(SAMPLES) > 20
    for one, numbers in zip(labels, found, strict=True):
        assert_same(net, one, numbers)


def test_plain_javascript_gives_the_same(page, net):
    labels = [net.input.labels(path) for path in SAMPLES[::13]]
    for one, numbers in zip(labels, page.evaluate(COMPUTE, {"plain": True, "items": [item(one) for one in labels]})):
        assert_same(net, one, numbers)


SIZES = {"patches of 8": SwinSize(8, 24, (1, 2, 1), (1, 2, 4), 0.1),
         "patches of 4": SwinSize(4, 16, (2, 1, 2, 1), (1, 2, 2, 4), 0.1)}
SMALL = {**FACE_OPTS, "src_input_size": 96, "encoder_type": "patches of 8"}
SMALL_CAT = {**CAT_OPTS, "src_input_size": 96, "encoder_type": "patches of 8"}
KINDS = {
    "codes": SMALL,
    "z": {**SMALL, "encoder_not_zplus": True, "pigan_zdim": 20, "pigan_hidden_dim": 24, "start_from_latent_avg": False},
    "z beside the mean": {**SMALL, "encoder_not_zplus": True},
    "unmerged": {**SMALL, "use_merged_labels": False, "input_nc": 21, "label_nc": 19},
    "no contour": {**SMALL, "use_contour": False, "input_nc": 16},
    "cats": SMALL_CAT,
    "cats unmerged": {**SMALL_CAT, "use_merged_labels": False, "input_nc": 18, "label_nc": 16},
    "one window": {**SMALL, "src_input_size": 32},
    "padded windows": {**SMALL, "src_input_size": 160},
    "patches of 4": {**SMALL, "encoder_type": "patches of 4"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::datasets.masks.files.MaskWarning")
def test_other_kinds_of_models(page, kind, monkeypatch):
    """Codes or z, merged or not, with outlines or without, windows that fit or do not, patches of 4 or 8, masks of
    another size or shape, with WebAssembly and without."""
    for name, size in SIZES.items():
        monkeypatch.setitem(SWIN_SIZES, name, size)
    net = as_stored(tiny_model(KINDS[kind], contrast=20))
    labels = net.input.labels(CAT if "cats" in kind else SAMPLES[5])
    masks = [labels, np.ascontiguousarray(labels[30:430, 100:417]), labels.repeat(2, 0).repeat(2, 1)]
    for plain, some in ((False, masks), (True, masks[:1])):
        asked = {"model": packed(model_file(net)), "plain": plain, "items": [item(mask) for mask in some]}
        for mask, numbers in zip(some, page.evaluate(COMPUTE, asked), strict=True):
            assert_same(net, mask, numbers)


def test_random_numbers_are_torchs(page):
    cases = [(seed, count) for seed in (0, 1, 92, 2**31 + 5, 12345678901, 2**53 - 1)
             for count in (1, 2, 7, 8, 15, 16, 20, 31, 32, 96, 256, 1000)]
    found = page.evaluate("cases => cases.map(([seed, count]) => textOf(sem2nerf.randn(seed, count)))", cases)
    for (seed, count), numbers in zip(cases, found, strict=True):
        wanted = torch.randn(count, generator=torch.Generator().manual_seed(seed))
        np.testing.assert_allclose(floats(numbers), wanted, atol=3e-6, err_msg=f"seed {seed}, {count} numbers")


def test_distances_are_opencvs(page):
    """Far from all outlines too, where the order in which steps are added up decides about a byte."""
    draws, contours = np.random.default_rng(0), []
    for circles in (1, 2, 5, 20):
        contour = np.zeros((512, 512), np.uint8)
        for x, y, radius in draws.integers(0, 512, (circles, 3)):
            cv2.circle(contour, (int(x), int(y)), int(radius) // 3 + 2, 255, 3)
        contours.append(contour)
    for edge in range(4):
        contours.append(np.rot90(np.pad(np.full((512, 3), 255, np.uint8), ((0, 0), (0, 509))), edge).copy())
    found = page.evaluate("contours => contours.map(one => textOf(sem2nerf.maps.distances(bytesOf(one), 512, 512)))",
                          [packed(one) for one in contours])
    for number, (contour, distances) in enumerate(zip(contours, found, strict=True)):
        away = np.abs(octets(distances).astype(int) - distance_map(contour).ravel())
        assert away.max() <= 1, number
        assert (away > 0).mean() <= (1e-4 if number < 4 else 0), (number, (away > 0).sum())


def test_framing_is_pillows(page):
    """Which pixels are copied, for lengths of all kinds and for every rounding of the crop."""
    from datasets.masks.maps import MaskTransform, _source_pixels

    transforms = [MaskTransform(), MaskTransform(crop=False), MaskTransform(321, 256, 224), MaskTransform(323, 256, 96)]
    lengths = [1, 2, 7, 64, 223, 256, 300, 317, 511, 512, 513, 777, 1000, 1024, 2048]
    found = page.evaluate("""([transforms, lengths]) =>
        transforms.map(one => lengths.map(length => Array.from(sem2nerf.maps.sources(length, one))))""",
                          [[vars(one) for one in transforms], lengths])
    for transform, rows in zip(transforms, found, strict=True):
        for length, row in zip(lengths, rows, strict=True):
            assert row == _source_pixels(length, transform).tolist(), (transform, length)
