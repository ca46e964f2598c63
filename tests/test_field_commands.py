"""Command lines, consoles, folders and programs as people have them."""

import importlib
import os
import stat
import sys
from pathlib import Path

import child_processes
import numpy as np
import pytest
from conftest import ROOT
from inferring import CATS, FACES, SMALL, infer
from PIL import Image
from tiny import CAT_OPTS, tiny_checkpoint

from options.arguments import Parser
from options.inference_options import parse_options
from scripts.inference3d import main
from utils.cli import run
from utils.video import write_video

QUICK = ["--n_outputs_to_generate=1", *SMALL]


def test_the_home_folder(monkeypatch, tmp_path):
    """Shells leave ~ alone in --option=~/path; every option of every command expands it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    opts, _ = parse_options(["--exp_dir=~/runs/one", "--checkpoint_path", "~/model.pt", "--latent_mask=8"])
    assert (opts.exp_dir, opts.checkpoint_path) == (str(tmp_path / "runs/one"), str(tmp_path / "model.pt"))
    parser = Parser()
    parser.add_argument("folder", type=Path)
    assert parser.parse_args(["~/data"]).folder == tmp_path / "data"
    assert parser.parse_args(["x~y"]).folder == Path("x~y")


def test_a_list_of_windows(tmp_path, weights, faces):
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "list.txt").write_text("90001\r\n", encoding=encoding, newline="")
        found = infer(tmp_path / encoding, weights, faces, "--infer_paths_conf", str(tmp_path / "list.txt"), *QUICK)
        assert [Path(path).stem for path in found if path.endswith(".png")] == ["90001_mask8_seed0"]


@pytest.mark.parametrize("environment", [
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}])
def test_letters_that_the_console_lacks(tmp_path, weights, faces, environment):
    out = tmp_path / "日本"
    done = child_processes.run(
        [sys.executable, "scripts/inference3d.py", "--exp_dir", out, "--checkpoint_path", weights, "--data_path",
         faces / "90001.png", *QUICK], cwd=ROOT, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    assert list(out.rglob("*.png"))
    assert "日本" in (out / "inference.bash").read_text(encoding="utf-8")


def test_the_line_of_inference_bash_runs(tmp_path, weights, faces):
    infer(tmp_path / "out", weights, faces / "90001.png", *QUICK)
    (line,) = (tmp_path / "out/inference.bash").read_text().splitlines()
    assert line.startswith("python scripts/inference3d.py --exp_dir ")
    assert (ROOT / line.split()[1]).is_file()


def test_layers_name_files_in_the_order_given(tmp_path, weights, faces):
    found = infer(tmp_path, weights, faces / "90001.png", "--latent_mask=8,7", *QUICK)
    assert any(path.endswith("90001_mask87_seed0.png") for path in found)


def test_from_another_folder(tmp_path, weights, monkeypatch, capsys):
    """The bundled masks are found; of a folder that is named and not there, the message says where paths start."""
    monkeypatch.chdir(tmp_path)
    main(["--exp_dir=out", f"--checkpoint_path={weights}", "--n_images=1", *QUICK])
    assert list(Path("out").rglob("90001*.png"))
    with pytest.raises(SystemExit):
        run(main, ["--exp_dir=out", f"--checkpoint_path={weights}", "--data_path=data/CelebAMask-HQ/mask_samples"])
    assert f"(paths start at the folder you are in, {tmp_path})" in capsys.readouterr().err


def test_masks_in_folders_inside_and_of_a_data_root(tmp_path, weights, faces):
    labels = Image.open(faces / "90001.png")
    for place in ("mask/a", "mask/b", "CelebA-HQ-img"):
        (tmp_path / place).mkdir(parents=True)
    labels.save(tmp_path / "mask/a/2.png")
    labels.save(tmp_path / "mask/b/1.bmp")
    labels.convert("RGB").save(tmp_path / "CelebA-HQ-img/1.jpg")
    for data in ("mask", "."):
        found = infer(tmp_path / f"out_{data}", weights, tmp_path / data, *QUICK)
        assert sorted(Path(path).stem for path in found if path.endswith("png")) == ["1_mask8_seed0", "2_mask8_seed0"]


def test_many_masks_show_their_progress(tmp_path, weights, faces, monkeypatch, capsys):
    monkeypatch.setattr("scripts.inference3d.MANY", 3)
    infer(tmp_path, weights, faces, *QUICK)
    assert "reading 3 masks once" in capsys.readouterr().out


def test_ffmpegs_own_last_words(tmp_path, monkeypatch, capsys):
    """Of a program that ends at once, and of one that ends later."""
    fake = tmp_path / "ffmpeg"
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    frames = [np.zeros((64, 64, 3), np.uint8)] * 200
    for body in ("exit 1", "cat > /dev/null; exit 1"):
        fake.write_text(f"#!/bin/sh\n{body.replace('exit', 'echo Unknown encoder libx264 for $LAST >&2; exit')}\n"
                        .replace("$LAST", '"$(eval echo \\${$#})"'))
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

        def start(argv):
            write_video(tmp_path / "1_mask8.mp4", frames, 64)

        with pytest.raises(SystemExit):
            run(start, [])
        err = capsys.readouterr().err
        assert err.startswith("error: 1_mask8.mp4: ffmpeg could not write the video (Unknown encoder libx264 for ")
        assert "1_mask8.mp4); try --video_format gif" in err
        assert ".tmp" not in err
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        run(start, [])
    assert "1_mask8.mp4: there is no ffmpeg that can be started" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mp4"))
    assert not list(tmp_path.glob(".*"))


def test_a_package_that_is_missing(capsys):
    """One line; a module of the project's own that is missing is a mistake of the project."""
    def start(argv):
        importlib.import_module(*argv)

    with pytest.raises(SystemExit) as ended:
        run(start, ["some_package.part"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: some_package is not installed: pip install -r environment/requirements.txt\n")
    with pytest.raises(ModuleNotFoundError):
        run(start, ["models.no_such_module"])


def test_the_tile_of_a_row_is_what_the_network_reads(tmp_path, weights):
    from models.sem2nerf import Sem2NeRF

    infer(tmp_path, weights, FACES / "90001.png", *QUICK, "--test_output_size=64")
    (row,) = [np.array(Image.open(path)) for path in tmp_path.rglob("*.png")]
    reader = Sem2NeRF.from_checkpoint(weights).input
    seen = reader.read(FACES / "90001.png")[:16].argmax(0).numpy()
    places = np.arange(64) * 224 // 64
    expected = np.array(reader.network_space.palette, np.uint8)[seen[np.ix_(places, places)]]
    np.testing.assert_array_equal(row[:64, :64], expected)


def test_the_authors_cats_of_the_old_name(tmp_path):
    """A checkpoint whose options hold the first release's names, with the newest README's or the old command line."""
    old = {"dataset_type": "pseudocats_seg_to_3dface", "pigan_curriculum_type": "PseudoCats"}
    weights = tiny_checkpoint(tmp_path / "sem2nerf_catmask_500.pt", {**CAT_OPTS, **old})
    for number, names in enumerate(([], [f"--{name}={value}" for name, value in old.items()],
                                    ["--dataset_type=catmask_seg_to_3dface", "--pigan_curriculum_type=CatMask"])):
        found = infer(tmp_path / str(number), weights, CATS, *names, "--use_merged_labels", "--use_original_pose",
                      "--n_images=1", *QUICK)
        assert any(path.endswith("90001_mask8_seed0.png") for path in found)
