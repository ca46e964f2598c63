"""Edits from any side in the browser's engine: Python's framing, codes and label maps."""

import functools
import itertools

import numpy as np
import pytest
import torch
from conftest import ROOT
from engine_pages import as_stored, floats, octets, one_row, packed, write_page
from tiny import CAT_OPTS, FACE_OPTS, tiny_model

from configs.label_spaces import LABEL_SPACES
from datasets.masks.maps import MaskTransform, prepare_mask
from datasets.masks.relabel import merged_to, unmerged_to
from models.pigan.cameras import FRONTAL, Camera
from models.pigan.codes import Codes
from models.pigan.semantic_head import SemanticHead
from models.sem2nerf import Sem2NeRF
from web.engine.model_file import model_file
from web.server.edits import SAMPLES as SAMPLES_PER_RAY
from web.server.edits import SIZE, label_map
from web.server.painting import spread

SAMPLES = ROOT / "data/CelebAMask-HQ/mask_samples"
CAT = ROOT / "data/CatMask/mask_samples/90001.png"
FRONT, SIDE, BELOW = (0.0, 0.0, 12.0), (0.45, 0.1, 12.0), (-0.6, -0.3, 12.0)
VIEWS = [("90001", SIDE), ("90002_glasses", FRONT), ("90005", BELOW), ("90008_hat", SIDE)]
CORNERS = [("90005", FRONT), ("90002_glasses", (0.6875, -0.5625, 12.0)), ("90008_hat", (-0.6, 0.3, 12.0)),
           ("90010", BELOW)]
LABEL_MAPS = """async ({model, size, options, items}) => {
  const about = {samples: [], edits: {map: size}}, found = [], told = [];
  const engine = sem2nerf.makeEngine({about, ...options, ...(model && {model: bytesOf(model).buffer})});
  try {
    for (const {labels, width, height, style, pose} of items) {
      const asked = {labels: bytesOf(labels), width, height, style, edit: null, drawing: null, pose};
      const map = await engine.map(asked, {onProgress: part => told.push(part)});
      found.push({...map, labels: textOf(map.labels)});
    }
    return {found, told};
  } finally { engine.dispose(); }
}"""
CODES = """async ({model, plain, items}) => {
  const file = model ? bytesOf(model).buffer : await new Response(new Blob([sem2nerf.pageBytes("model")]).stream()
    .pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  const net = new sem2nerf.Model(file), deltas = new sem2nerf.edits.DeltaEncoder(net, await kernelsOf(plain));
  return items.map(({before, after, size}) => {
    const maps = {before: bytesOf(before), after: bytesOf(after), size};
    const planes = sem2nerf.framing.prepareSeen(maps.after, size, net.input);
    const none = new Uint8Array(0), {label, contour, distance} = planes;
    return {label: textOf(label), contour: textOf(contour ?? none), distance: textOf(distance ?? none),
            added: textOf(deltas.added(maps))};
  });
}"""


@functools.cache
def demo() -> Sem2NeRF:
    return Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    page = chromium.new_page()
    page.set_default_timeout(120_000)
    page.goto(write_page(tmp_path_factory.mktemp("engine"), demo()).as_uri())
    yield page
    page.close()


def knowing(opts: dict, space: str, seed: int = 1) -> Sem2NeRF:
    """A small model that knows labels."""
    net = as_stored(tiny_model({**opts, "src_input_size": 96}, contrast=20))
    generator, labels = torch.Generator().manual_seed(seed), len(LABEL_SPACES[space])
    net.semantic_head = SemanticHead((1, 3, 7), space, torch.randn(labels, 3 * 16, generator=generator),
                                     torch.randn(labels, generator=generator))
    return net


def camera(pose) -> Camera:
    return Camera(FRONTAL + pose[0], FRONTAL + pose[1], pose[2])


def rendered(name: str, pose: tuple[float, float, float]) -> np.ndarray:
    """What the server gives to draw on, in labels of mask files."""
    net = demo()
    labels = label_map(net.scene(SAMPLES / f"{name}.png"), camera(pose), SIZE)
    return unmerged_to(labels, net.semantic_head.space, net.input.space)


def small_map(name: str, pose: tuple[float, float, float]) -> np.ndarray:
    """Roughly the same, quickly."""
    net = demo()
    labels = net.scene(SAMPLES / f"{name}.png").render(camera(pose), 48, 8, labels=True).labels.numpy()
    return unmerged_to(labels, net.semantic_head.space, net.input.space)


def drawn(labels: np.ndarray, number: int, count: int) -> np.ndarray:
    """A band of one of `count` labels and a patch of the background, elsewhere for each number."""
    out, size = labels.copy(), len(labels)
    top = size // 4 + number * size // 16
    out[top:top + size // 8, size // 5:3 * size // 4] = 2 + 5 * number % (count - 2)
    out[-size // 6:, :size // 4] = 0
    return out


def drawings(maps: list[np.ndarray], labels: int) -> list[dict]:
    return [{"before": packed(one), "after": packed(drawn(one, number, labels)), "size": len(one)}
            for number, one in enumerate(maps)]


def assert_same_codes(net: Sem2NeRF, maps: list[np.ndarray], found: list[dict]) -> None:
    files, read = net.input.space, net.input.network_space
    for number, (before, its) in enumerate(zip(maps, found, strict=True)):
        after = drawn(before, number, len(files))
        seen = net.input.transform.whole(merged_to(after, files, read))
        planes = prepare_mask(seen, read, False, net.input.transform, net.input.use_contour)
        for name in ("label", "contour", "distance"):
            wanted = getattr(planes, name)
            assert (octets(its[name]) == (0 if wanted is None else wanted.ravel())).all(), (number, name)
        scene = net.scene_of(net.latent_avg)
        space = net.semantic_head.space
        added = net.edited_codes(scene, merged_to(after, files, space), merged_to(before, files, space)) - scene.codes
        assert one_row(added).std() > 1e-3
        np.testing.assert_allclose(floats(its["added"]), one_row(added), atol=2e-5)


@pytest.mark.parametrize("plain", [False, True], ids=["wasm", "plain"])
def test_codes_of_drawings(page, plain):
    maps = [small_map(*view) for view in (VIEWS[:1] if plain else VIEWS)]
    found = page.evaluate(CODES, {"plain": plain, "items": drawings(maps, len(demo().input.space))})
    assert_same_codes(demo(), maps, found)


KINDS = {
    "codes": (FACE_OPTS, "CelebAMask_HQ_merged"), "more parts than the encoder": (FACE_OPTS, "CelebAMask_HQ"),
    "unmerged": ({**FACE_OPTS, "use_merged_labels": False, "input_nc": 21, "label_nc": 19}, "CelebAMask_HQ"),
    "no contour": ({**FACE_OPTS, "use_contour": False, "input_nc": 16}, "CelebAMask_HQ_merged"),
    "cats": (CAT_OPTS, "CatMask_merged"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_codes_of_other_kinds_of_models(page, kind):
    net = knowing(*KINDS[kind])
    labels = net.input.labels(CAT if "cats" in kind else SAMPLES / "90003.png")
    maps = [np.ascontiguousarray(labels[::step, ::step]) for step in (1, 3, 8)]
    if net.semantic_head.space != net.input.space:  # of parts that share a label, the first
        space = net.semantic_head.space
        maps = [unmerged_to(merged_to(one, net.input.space, space), space, net.input.space) for one in maps]
    found = page.evaluate(CODES, {"model": packed(model_file(net)), "plain": False,
                                  "items": drawings(maps, len(net.input.space))})
    assert_same_codes(net, maps, found)


def test_framing_is_pythons(page):
    transforms = [MaskTransform(), MaskTransform(crop=False), MaskTransform(321, 256, 224), MaskTransform(300, 256, 96)]
    sides = [1, 2, 31, 96, 192, 256, 511, 512, 1024]
    found = page.evaluate("""([transforms, sides]) =>
        transforms.map(one => sides.map(side => Array.from(sem2nerf.framing.whole(side, 512, one))))""",
                          [[vars(one) for one in transforms], sides])
    for transform, rows in zip(transforms, found, strict=True):
        for side, row in zip(sides, rows, strict=True):
            wanted = transform.whole(np.arange(side, dtype=np.int32)[None].repeat(side, 0))[0]
            assert row == wanted.tolist(), (transform, side)


def test_nothing_left_is_a_line(page):
    said = page.evaluate("""() => { try { sem2nerf.framing.prepareSeen(new Uint8Array(4), 2, {}); } catch (error) {
        return error.message; } }""")
    assert said == "the label map is empty (every pixel is background); leave a head in it"


def maps_of(page, views, size: int = SIZE, net: Sem2NeRF | None = None, **options
            ) -> tuple[list[np.ndarray], list[float]]:
    """Label maps of [(labels, pose)], and what was told of progress."""
    items = [{"labels": packed(labels), "width": labels.shape[1], "height": labels.shape[0],
              "style": {"seed": 0, "layers": []}, "pose": dict(zip(("yaw", "pitch", "fov"), pose, strict=True))}
             for labels, pose in views]
    model = None if net is None else packed(model_file(net))
    done = page.evaluate(LABEL_MAPS, {"items": items, "size": size, "options": options, "model": model})
    assert all(one["width"] == one["height"] == size for one in done["found"])
    return [octets(one["labels"]).reshape(size, size) for one in done["found"]], done["told"]


@pytest.mark.parametrize("views", [VIEWS[:1], pytest.param([*VIEWS[1:], *CORNERS], marks=pytest.mark.slow)])
def test_label_maps_are_the_servers(page, views):
    found, told = maps_of(page, [(demo().input.labels(SAMPLES / f"{name}.png"), pose) for name, pose in views])
    for view, labels in zip(views, found, strict=True):
        wanted = rendered(*view)
        assert len(np.unique(wanted)) > 7
        assert (labels == wanted).mean() >= 0.99, view
    assert told[-1] == 1
    assert sum(later < earlier for earlier, later in itertools.pairwise(told)) == len(views) - 1


@pytest.mark.parametrize("kind, options", [("cats", {}), ("more parts than the encoder", {}),
                                           ("more parts than the encoder", {"wasm": None})], ids=str)
def test_label_maps_of_other_kinds_of_models(page, kind, options):
    """Of fields without a surface, whose labels even Python's few samples miss: at least as near to the true ones."""
    net = knowing(*KINDS[kind])
    labels = net.input.labels(CAT if kind == "cats" else SAMPLES / "90003.png")
    pose = (0.3, -0.1, 14.0 if kind == "cats" else 12.0)
    (found,), _ = maps_of(page, [(labels, pose)], 33, net, **options)
    scene, space = net.scene(labels), net.semantic_head.space
    few, many = (unmerged_to(scene.render(camera(pose), 33, count, labels=True).labels.numpy(), space, net.input.space)
                 for count in (SAMPLES_PER_RAY, 200))
    assert len(np.unique(many)) > 3
    assert (found == many).mean() >= max((few == many).mean(), 0.55)


def small() -> dict:
    """A model that is computed in no time, and a mask for it."""
    net = knowing(*KINDS["codes"])
    labels = net.input.labels(SAMPLES / "90001.png")
    return {"model": packed(model_file(net)), "labels": packed(labels), "width": 512, "height": 512}


def test_a_map_can_be_given_up_and_runs_beside_a_run(page):
    done = page.evaluate("""async ({model, labels, width, height}) => {
      const about = {samples: [], edits: {map: 48}};
      const engine = sem2nerf.makeEngine({about, model: bytesOf(model).buffer}), ending = new AbortController();
      const style = {seed: 0, layers: []}, mask = {labels: bytesOf(labels), width, height}, stages = [];
      const state = {...mask, style, edit: null, drawing: null};
      const pose = {yaw: 0.2, pitch: 0, fov: 12}, other = {...state, style: {seed: 3, layers: [0, 1, 2]}};
      try {
        const alone = await engine.map({...state, pose});
        const run = engine.run(other, {onVolume: (volume, stage) => stages.push(stage)});
        const given = engine.map({...state, pose}, {signal: ending.signal, onProgress: () => ending.abort()})
          .then(() => "done", error => error.name);
        const ends = [await given], beside = await engine.map({...state, pose});
        await run;
        return {ends, stages, same: alone.labels.every((label, i) => label === beside.labels[i])};
      } finally { engine.dispose(); }
    }""", small())
    assert done == {"ends": ["AbortError"], "stages": ["coarse", "fine", "finest"], "same": True}


RUNS = """async ({model, labels, width, height, runs}) => {
  const engine = sem2nerf.makeEngine({model: bytesOf(model).buffer}), all = [];
  const mask = {labels: bytesOf(labels), width, height, style: {seed: 0, layers: []}};
  const bytes = text => text ? bytesOf(text) : null;
  for (const {maps, edit} of runs) {
    const drawing = maps && {pose: {yaw: 0, pitch: 0, fov: 12}, size: 48, before: bytesOf(maps[0]),
                             after: bytesOf(maps[1]), edit: bytes(edit)}, found = [];
    await engine.run({...mask, drawing, edit: maps ? null : bytes(edit)}, {
      onEdit: bytes => found.push(textOf(bytes)),
      onVolume: volume => { found.push(textOf(volume.rgba)); engine.job++; },  // the first will do
    }).catch(error => { if (error.name !== "AbortError") found.push(error.message); });
    all.push(found);
  }
  engine.dispose();
  return all;
}"""


def test_edits_add_up_and_are_kept(page):
    """A run with a drawing says what it adds; a run with that has the same head."""
    before = np.full((48, 48), 13, np.uint8)
    before[10:40, 12:36] = 1
    maps = [packed(before), packed(drawn(before, 3, 19))]
    (plain,), (edit, edited), (zeros, same) = page.evaluate(
        RUNS, {**small(), "runs": [{}, {"maps": maps}, {"maps": maps[:1] * 2}]})
    assert edited != plain
    assert not floats(zeros).any()
    assert same == plain, "where nothing is drawn, nothing changes"
    nonsense = packed(np.full(288, np.nan, np.float32))
    (kept,), (twice, _), short, wrong = page.evaluate(RUNS, {**small(), "runs": [
        {"edit": edit}, {"edit": edit, "maps": maps}, {"edit": packed(b"1234")}, {"edit": nonsense}]})
    assert kept == edited
    np.testing.assert_allclose(floats(twice), 2 * floats(edit), atol=1e-5)
    assert short == ["4 bytes for codes of the edits: these weights need 1152"]
    assert wrong == ["the codes of the edits hold numbers that no head has"]


def test_the_colours_of_a_picture_are_those_of_its_layers(page):
    """As codes of a style in a link; edits are added to them."""
    net, asked, draws = knowing(*KINDS["codes"]), small(), np.random.default_rng(0)
    style, edit = (draws.normal(size=(2, layers * net.siren.width)).astype(np.float32) for layers in (2, 9))
    found = page.evaluate("""async ({model, labels, width, height, style, edit}) => {
      const core = new sem2nerf.Core();
      await core.begin({wasm: null, model: bytesOf(model).buffer});
      const planes = core.prepare({labels: bytesOf(labels), width, height});
      return textOf(core.codes({planes, style: {seed: 0, layers: [2, 8], codes: bytesOf(style)}, edit: bytesOf(edit)}));
    }""", {**asked, "style": packed(style), "edit": packed(edit)})
    style, edit = (Codes(*torch.from_numpy(values)[:, None]) for values in (style, edit))
    own = net.scene(SAMPLES / "90001.png").codes
    wanted = net.styled(own, spread(style, (2, 8), net.siren.width), (2, 8)) + edit
    np.testing.assert_allclose(floats(found), one_row(wanted), atol=5e-5)
