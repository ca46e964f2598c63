"""scripts/edit3d.py: a map to draw on, the edit, the next edit; and one line for each mistake."""

import json

import numpy as np
import pytest
import torch
from inferring import FACES
from PIL import Image
from test_editing import random_head
from tiny import tiny_checkpoint

from editing.editor import Editor
from models.checkpoints import read_checkpoint, save_checkpoint
from scripts.edit3d import main
from utils.cli import run
from utils.errors import UserError

SIZE = 24
SMALL = ["--test_output_size", str(SIZE), "--pigan_infer_ray_step", "4", "--device", "cpu", "--yaw=0.3"]
MASK = str(FACES / "90002.png")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model with a semantic head."""
    path = tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny_model_500.pt")
    save_checkpoint(path, {**read_checkpoint(path), "semantic": random_head().state()})
    return path


def edit3d(model, out, *options):
    main([*SMALL, "--checkpoint_path", str(model), "--out", str(out), *options])
    return sorted(path.name for path in out.iterdir())


def paint(source, target, label=13, part=slice(8, 16)):
    with Image.open(source) as image:
        image.load()
    pixels = np.array(image)
    pixels[part, part] = np.where(pixels[part, part] == label, 1, label)
    drawn = Image.fromarray(pixels, mode="P")
    drawn.putpalette(image.getpalette())
    drawn.convert("RGB").save(target)  # as a drawing program saves it
    return str(target)


def test_map_edit_and_the_next_edit(tmp_path, model, capsys):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert edit3d(model, first, "--mask", MASK, "--render_map") == ["map.png", "view.png"]
    drawn = paint(first / "map.png", tmp_path / "drawn.png")
    files = edit3d(model, second, "--mask", MASK, "--edit", drawn, "--refine_steps", "2", "--render_videos",
                   "--num_frames", "2", "--video_format", "gif")
    assert files == ["codes.pt", "edited_map.png", "edited_video.gif", "edited_view.png", "edits.png", "report.json"]
    assert Image.open(second / "edits.png").size == (7 * SIZE, 2 * SIZE)
    reports = json.loads((second / "report.json").read_text())
    assert list(reports) == ["delta", "refined"]
    assert reports["delta"]["region"] == pytest.approx(64 / SIZE**2, abs=1e-4)
    assert "had the wanted label before" in capsys.readouterr().out

    # the codes are those of the edit: from the same side they show the map that the edit ended with
    edit3d(model, third, "--codes", str(second / "codes.pt"), "--render_map")
    maps = [np.array(Image.open(path)) for path in (third / "map.png", second / "edited_map.png", first / "map.png")]
    assert (maps[0] == maps[1]).all()
    assert (maps[0] != maps[2]).any()


def test_the_first_answer_is_there_before_the_refinement(tmp_path, model, monkeypatch):
    edit3d(model, tmp_path / "map", "--mask", MASK, "--render_map")
    drawn = paint(tmp_path / "map/map.png", tmp_path / "drawn.png")

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Editor, "refine", stopped)
    with pytest.raises(KeyboardInterrupt):
        edit3d(model, tmp_path / "out", "--mask", MASK, "--edit", drawn)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["codes.pt", "edited_map.png", "edited_view.png", "report.json"]
    assert list(json.loads((tmp_path / "out/report.json").read_text())) == ["delta"]


def wrong_size(folder, drawn):
    Image.open(drawn).resize((20, 20), Image.Resampling.NEAREST).save(drawn)
    return "--edit: this map has 20 x 20 pixels"


def unknown_label(folder, drawn):
    Image.fromarray(np.full((SIZE, SIZE), 77, np.uint8)).save(drawn)
    return "labels out of range (77)"


def unknown_colour(folder, drawn):
    image = Image.open(drawn)
    image.putpixel((3, 3), (1, 2, 3))
    image.save(drawn)
    return "the colour (1, 2, 3) at x=3, y=3"


def unchanged(folder, drawn):
    Image.open(folder / "map.png").save(drawn)
    return "there is nothing to edit"


def no_file(folder, drawn):
    drawn.unlink()
    return "drawn.png: there is no such drawing; --render_map writes"


@pytest.mark.parametrize("mistake", [wrong_size, unknown_label, unknown_colour, unchanged, no_file])
def test_a_map_that_is_no_edit_is_refused_and_nothing_is_written(tmp_path, model, capsys, mistake):
    edit3d(model, tmp_path / "first", "--mask", MASK, "--render_map")
    drawn = tmp_path / "drawn.png"
    paint(tmp_path / "first/map.png", drawn)
    message = mistake(tmp_path / "first", drawn)
    with pytest.raises(SystemExit) as end:
        run(main, [*SMALL, "--checkpoint_path", str(model), "--mask", MASK, "--edit", str(drawn), "--out",
                   str(tmp_path / "out")])
    assert end.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_drawing_is_not_overwritten(tmp_path, model):
    edit3d(model, tmp_path, "--mask", MASK, "--render_map")
    drawn = paint(tmp_path / "map.png", tmp_path / "edited_map.png")
    before = (tmp_path / "edited_map.png").read_bytes()
    with pytest.raises(UserError, match="would be overwritten"):
        edit3d(model, tmp_path, "--mask", MASK, "--edit", drawn)
    assert (tmp_path / "edited_map.png").read_bytes() == before


@pytest.mark.parametrize("options, message", [
    (["--render_map"], "by --mask or by --codes"), (["--mask", MASK], "either --render_map"),
    (["--mask", MASK, "--edit", "x.png", "--render_map"], "either --render_map"),
    (["--codes", "c.pt", "--render_map", "--latent_mask", "8"], "--latent_mask is about a mask"),
    (["--mask", MASK, "--render_map", "--pitch", "nan"], "--pitch nan"),
    (["--mask", MASK, "--render_map", "--yaw=30"], "--yaw 30.0: give radians")])
def test_options_that_contradict(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        main([*options, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_weights_without_a_semantic_head(tmp_path, weights):
    with pytest.raises(UserError, match=r"no semantic head.*--semantic_head"):
        edit3d(weights, tmp_path / "out", "--mask", MASK, "--render_map")
    assert not (tmp_path / "out").exists()


def test_codes_of_another_model(tmp_path, model):
    path = tmp_path / "codes.pt"
    torch.save({"format": "sem2nerf codes", "decoder_sha256": "0"}, path)
    with pytest.raises(UserError, match=r"--codes .*another decoder"):
        edit3d(model, tmp_path / "out", "--codes", str(path), "--render_map")
