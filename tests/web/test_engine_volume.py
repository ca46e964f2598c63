"""The engine's runs: the volumes that Python bakes, a newer run ends the older, what is wrong is one line."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from engine_pages import as_stored, octets, packed, write_page
from tiny import CAT_OPTS, FACE_OPTS, tiny_model

from models.pigan.semantic_head import SemanticHead
from models.sem2nerf import Sem2NeRF
from web.volume import baking
from web.volume.baking import bake

FACES = sorted((ROOT / "data/CelebAMask-HQ/mask_samples").glob("*.png"))
CAT = ROOT / "data/CatMask/mask_samples/90001.png"
SIZES = (16, 32, 48)  # smaller than in use, for time's sake
SMALL = {"src_input_size": 96}
RUN = """async ({labels, width, height, style, options}) => {
  const engine = sem2nerf.makeEngine(options), found = [], said = [];
  try {
    await engine.run({labels: bytesOf(labels), width, height, style}, {
      onVolume: ({size, half, densityScale, rgba, background, labels}, stage) => found.push({
        stage, size, half, densityScale, labels: labels && textOf(labels), rgba: textOf(rgba),
        backHalf: background.half, background: textOf(background.rgb)}),
      onStatus: ({warnings}) => said.push(...warnings)});
    return {found, said, plain: engine.plain};
  } finally { engine.dispose(); }
}"""


def page_of(chromium, net, folder, sizes=SIZES):
    page = chromium.new_page()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baking, "SIZES", sizes)
        page.goto(write_page(folder, net).as_uri())
    return page


@pytest.fixture(scope="module")
def net():
    return as_stored(tiny_model({**FACE_OPTS, **SMALL}, contrast=20))


@pytest.fixture(scope="module")
def page(chromium, net, tmp_path_factory):
    page = page_of(chromium, net, tmp_path_factory.mktemp("engine"))
    yield page
    page.close()


def asked(labels, seed=0, layers=(), **options):
    return {"labels": packed(labels), "width": labels.shape[1], "height": labels.shape[0],
            "style": {"seed": seed, "layers": list(layers)}, "options": options}


def assert_same_volumes(net, labels, found, seed=0, layers=(), sizes=SIZES):
    codes = net.encode(net.input.tensor(net.input.prepare(labels))[None])
    wanted = list(bake(net.scene_of(net.styled(codes, seed, layers)), sizes))
    assert [volume["stage"] for volume in found] == ["coarse", "fine", "finest"][:len(sizes)]
    for one, its in zip(wanted, found, strict=True):
        assert its["size"] == one.size
        assert its["half"] == pytest.approx(one.half)
        assert its["densityScale"] == pytest.approx(one.density_scale, rel=1e-3)
        assert its["backHalf"] == pytest.approx(one.background_half)
        assert (its["labels"] is None) == (one.labels is None)
        if one.labels is not None:
            assert len(np.unique(one.labels)) > 3
            assert (octets(its["labels"]) == one.labels.ravel()).mean() >= 0.99
        for mine, theirs in ((octets(its["rgba"]), one.rgba), (octets(its["background"]), one.background)):
            away = np.abs(mine.astype(int) - theirs.ravel())
            assert (away == 0).mean() >= 0.99
            assert (away > 1).mean() < 0.002  # texels at the edge of what light reaches, on one side alone


@pytest.mark.parametrize("options", [{}, {"wasm": None}], ids=["wasm", "plain"])
def test_volumes_are_pythons(page, net, options):
    labels = net.input.labels(FACES[0])
    done = page.evaluate(RUN, asked(labels, 92, (7, 8), **options))
    assert done["plain"] == bool(options)
    assert_same_volumes(net, labels, done["found"], 92, (7, 8))


@pytest.mark.slow
def test_volumes_of_the_bundled_weights(chromium, tmp_path):
    """At the sizes that the editor shows."""
    net, sizes = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt"), baking.SIZES[:2]
    page = page_of(chromium, net, tmp_path, sizes)
    for mask in FACES[::9]:
        labels = net.input.labels(mask)
        assert_same_volumes(net, labels, page.evaluate(RUN, asked(labels))["found"], sizes=sizes)
    page.close()


def test_volumes_of_cats(chromium, tmp_path):
    """Another camera, where a ray's last sample takes what is left at inference alone."""
    net = as_stored(tiny_model({**CAT_OPTS, **SMALL}, contrast=20))
    labels = net.input.labels(CAT)
    page = page_of(chromium, net, tmp_path)
    assert_same_volumes(net, labels, page.evaluate(RUN, asked(labels))["found"])
    page.close()


@pytest.mark.parametrize("options", [{}, {"wasm": None}], ids=["wasm", "plain"])
def test_volumes_have_labels_where_the_model_knows_them(chromium, tmp_path, options):
    net, generator = as_stored(tiny_model({**FACE_OPTS, **SMALL})), torch.Generator().manual_seed(1)
    net.semantic_head = SemanticHead((1, 3, 7), "CelebAMask_HQ", torch.randn(19, 3 * 16, generator=generator),
                                     torch.randn(19, generator=generator))
    labels = net.input.labels(FACES[0])
    page = page_of(chromium, net, tmp_path)
    assert_same_volumes(net, labels, page.evaluate(RUN, asked(labels, **options))["found"])
    page.close()


def test_without_workers_the_page_computes_itself(page, net):
    labels = net.input.labels(FACES[0])
    kept = page.evaluate("globalThis.kept = Worker; globalThis.Worker = undefined; 1")
    try:
        assert_same_volumes(net, labels, page.evaluate(RUN, asked(labels))["found"])
    finally:
        page.evaluate("globalThis.Worker = globalThis.kept; 1")
    assert kept == 1


def test_a_newer_run_ends_the_older(page, net):
    labels = net.input.labels(FACES[0])
    done = page.evaluate("""async ({labels, width, height}) => {
      const engine = sem2nerf.makeEngine(), stages = [], mask = {labels: bytesOf(labels), width, height};
      const run = seed => engine.run({...mask, style: {seed, layers: [8]}}, {
        onVolume: (volume, stage) => stages.push(`${seed} ${stage}`)}).then(() => "done", error => error.name);
      const first = run(1);
      while (!stages.length) await new Promise(resolve => setTimeout(resolve, 5));
      const ends = await Promise.all([first, run(2), run(3)]);
      engine.dispose();
      return {ends, stages};
    }""", asked(labels))
    assert done["ends"] == ["AbortError", "AbortError", "done"]
    assert done["stages"][0] == "1 coarse"
    assert done["stages"][-3:] == ["3 coarse", "3 fine", "3 finest"]
    assert not any(stage.startswith("2") or stage == "1 finest" for stage in done["stages"])


@pytest.mark.parametrize("masks, words", [
    (np.zeros((64, 64), np.uint8), "the mask is empty (every pixel is background); paint the parts of a face into it"),
    (np.full((64, 64), 13, np.uint8), "the mask shows no face (label 1, skin, is less than 2% of it; found: hair)"),
], ids=["empty", "no face"])
def test_what_is_wrong_is_one_line(page, masks, words):
    said = page.evaluate(f"argument => ({RUN})(argument).then(() => 'nothing', error => error.message)", asked(masks))
    assert said.startswith(words)


def test_what_is_odd_is_said_after_the_first_picture(page, net):
    labels = net.input.labels(FACES[0])
    assert page.evaluate(RUN, asked(labels))["said"] == []
    turned = page.evaluate(RUN, asked(np.ascontiguousarray(labels[::-1])))["said"]
    assert ["upside down" in words for words in turned] == [True]
