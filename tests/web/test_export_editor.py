"""scripts/export_editor.py: one file in which everything runs; and the binary in it is what its source gives."""

import shutil
import subprocess
import zlib

import numpy as np
import pytest
from conftest import ROOT
from engine_pages import packed
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint, tiny_model

from scripts import export_editor
from utils.errors import UserError
from web.engine import model_file as model_file_module
from web.engine.model_file import model_file

ENGINE = ROOT / "web/engine"
KEPT_BUILT_BY = "clang version 14.0.6"
SEEN = "globalThis.sem2nerf.editor?.head.viewer.volume?.size"


@pytest.mark.parametrize("opts", [FACE_OPTS, CAT_OPTS], ids=["faces", "cats"])
def test_the_page_works_without_anything_else(open_page, tmp_path, opts, capsys):
    weights = tiny_checkpoint(tmp_path / "weights.pt", {**opts, "src_input_size": 96})
    output = tmp_path / "out/editor.html"
    export_editor.main([str(output), f"--checkpoint_path={weights}"])
    assert "MB): open it in a browser" in capsys.readouterr().out
    page = open_page(output)
    page.wait_for_function(f"{SEEN} >= 72")
    assert page.locator("#side").is_hidden(), "these weights do not know which part is where"
    before = page.evaluate("Array.from(globalThis.sem2nerf.editor.head.viewer.volume.rgba.subarray(0, 40000))")
    box = page.locator("#board").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("globalThis.earlier = globalThis.sem2nerf.editor.head.viewer.volume")
    page.mouse.move(x - 60, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=5)
    page.mouse.up()
    page.wait_for_function(f"globalThis.sem2nerf.editor.head.viewer.volume !== globalThis.earlier && {SEEN} >= 72")
    after = page.evaluate("Array.from(globalThis.sem2nerf.editor.head.viewer.volume.rgba.subarray(0, 40000))")
    assert np.abs(np.subtract(before, after)).max() > 1
    assert page.messages == []
    assert [address for address in page.requests if not address.startswith("blob:")] == [output.as_uri()]


@pytest.mark.parametrize("output", ["editor.png", "", "."])
def test_wrong_outputs(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="ends in"):
        export_editor.main([output])
    assert list(tmp_path.iterdir()) == []


def test_too_large_for_a_browser(monkeypatch):
    net = tiny_model(FACE_OPTS)
    monkeypatch.setattr(model_file_module, "MOST_WEIGHTS", 1000)
    with pytest.raises(UserError, match=r"too many for a browser .* use scripts/editor.py"):
        model_file(net)


def test_the_demo_fits_into_seven_megabytes():
    from models.sem2nerf import Sem2NeRF

    data = model_file(Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt"))
    assert len(zlib.compress(data, 6)) * 4 / 3 < 6.6e6


PRODUCTS = """async ({kernels, script}) => {
  (0, eval)(script);
  const layer = (ins, outs) => ({ins, outs, bias: Float32Array.from({length: outs}, (_, i) => Math.cos(i)),
                                 weight: Float32Array.from({length: ins * outs}, (_, i) => Math.sin(i))});
  const x = Float32Array.from({length: 5 * 37}, (_, i) => Math.sin(7 * i)), found = [], plain = layer(37, 21);
  for (const text of kernels) {
    const made = await sem2nerf.WasmKernels.create(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)));
    made.loadField({sines: [layer(3, 21), layer(21, 16)], density: layer(21, 1), colour: layer(16, 3),
                    semantics: []});
    found.push([...made.linear(x, 5, plain), ...made.evaluate(x.slice(0, 183))[0]]);
  }
  return found;
}"""


def test_kernels_are_what_their_source_gives(tmp_path, request):
    """The same bytes; or, where the compiler is another version, the same numbers."""
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        pytest.skip("clang or lld is not installed")
    subprocess.run([ENGINE / "build.sh", tmp_path / "kernels.wasm"], check=True, timeout=60)
    fresh, kept = ((folder / "kernels.wasm").read_bytes() for folder in (tmp_path, ENGINE))
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    if KEPT_BUILT_BY in version:
        assert fresh == kept
    page = request.getfixturevalue("chromium").new_page()
    mine, theirs = page.evaluate(PRODUCTS, {"kernels": [packed(fresh), packed(kept)],
                                            "script": (ENGINE / "wasm_kernels.js").read_text()})
    page.close()
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert len(mine) == 5 * 21 + 4 * 61
    assert np.std(mine) > 0.1
