"""Every command and every Python example of README.md and docs/: its flags exist, and it runs at a tiny size.

A new command is found by itself. A script that is new among them needs a line in SHRUNK (options that make it tiny, put
behind its own) or a test that calls its `main`.
"""

import argparse
import ast
import importlib
import shutil

import numpy as np
import pytest
from conftest import ROOT
from documented import PAGES, all_commands, commands_of, python_examples
from launching import train
from PIL import Image
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint
from tiny_training import SMALL, make_cat_data, make_data, make_decoder, make_steps

from models.sem2nerf import Sem2NeRF
from models.semantic_files import save_semantic_head

SHRUNK = {
    "inference3d.py": ["--test_output_size=16", "--pigan_infer_ray_step=4", "--num_frames=2", "--n_images=1",
                       "--n_outputs_to_generate=1"],
    "export_mesh.py": ["--resolution=16", "--n_images=1"],
    "build_celeba_mask.py": ["--workers=1"],
    "build_synth_heads.py": ["--num_heads=2", "--views=1", "--size=128", "--workers=1"],
    "convert_checkpoint.py": [],
    "benchmark.py": ["--size=4", "--samples=4", "--repeats=1", "--width=16"],
    "train3d.py": [*SMALL, "--src_input_size=224", "--pigan_weights=pretrained_models/pigan-celeba-pretrained.pth",
                   "--pigan_steps_conf=steps.yaml", "--max_steps=3", "--val_interval=0", "--batch_size=1",
                   "--grad_accum=1"],
}
SLOW = {("benchmark.py", "growth"), ("benchmark.py", "train")}  # and their first argument
DRAWS_FOR_MINUTES = {"draw_synth_gallery.py"}  # test_mask_samples.py draws one of its images
COMMANDS = all_commands()


class Understood(Exception):
    """The command line was parsed; nothing more is wanted of the script."""


def understood(module, arguments, monkeypatch):
    """Whether a script's own parser takes the arguments; the script ends there."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_only(self, *args, **kwargs):
        parse_args(self, *args, **kwargs)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(Understood):
        importlib.import_module(module).main(list(arguments))


def test_commands_are_found():
    """The pages hold the calls that a reader sees, whatever the way they are written."""
    readme = [command.script for command in commands_of(ROOT / "README.md")]
    assert readme.count("inference3d.py") >= 4
    assert readme.count("train3d.py") >= 4
    training = commands_of(ROOT / "docs/training.md")
    assert all("--patch_train" in call.arguments for call in training if "--batch_size=2" in call.arguments)
    assert any("--exp_dir=out/sem2nerf_celebahq" in call.arguments for call in training)
    assert [call.arguments for call in commands_of(ROOT / "docs/performance.md")][:2] == [
        ("render",), ("render", "--width", "256")]
    assert len(COMMANDS) > 20


def test_an_unknown_flag_is_noticed(monkeypatch):
    from utils.errors import UserError

    with pytest.raises(UserError, match="no_such_flag"):
        understood("scripts.inference3d", ["--no_such_flag"], monkeypatch)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_flags_are_known(command, monkeypatch):
    importlib.import_module(command.module)
    understood(command.module, command.arguments, monkeypatch)


def calls_of(path):
    """The functions that a file calls, by their full names where it imports them by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name, dot, rest = ast.unparse(node.func).partition(".")
            yield imported.get(name, name) + dot + rest


def test_every_script_is_run_by_a_test():
    called = {name for path in (ROOT / "tests").rglob("test_*.py") for name in calls_of(path)}
    for command in COMMANDS:
        assert command.script in {*SHRUNK, *DRAWS_FOR_MINUTES} or f"{command.module}.main" in called, (
            f"{command.script}: give options that shrink it, or a test that calls its main")


@pytest.fixture(scope="module")
def semantic_head(tmp_path_factory):
    """The bundled weights' head in a file of its own, as a training of it leaves it."""
    net, path = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt"), tmp_path_factory.mktemp("head")
    save_semantic_head(path / "semantic_head.pt", net.semantic_head, net.siren)
    return path / "semantic_head.pt"


@pytest.fixture
def user_folder(tmp_path, monkeypatch, semantic_head):
    """What a user has after following the README: weights (tiny ones here), data sets, lists."""
    weights, samples = tmp_path / "pretrained_models", ROOT / "data/CelebAMask-HQ/mask_samples"
    weights.mkdir()
    tiny_checkpoint(weights / "sem2nerf_celebahq_pretrained.pt", FACE_OPTS)
    tiny_checkpoint(weights / "sem2nerf_catmask_pretrained.pt", CAT_OPTS)
    shutil.copy(ROOT / "pretrained_models/sem2nerf_demo.pt", weights)
    for name in ("celeba", "cats2"):
        make_decoder(weights / f"pigan-{name}-pretrained.pth")
    make_steps(tmp_path / "steps.yaml")
    (tmp_path / "out/sem2nerf_train_celebahq/checkpoints").mkdir(parents=True)
    tiny_checkpoint(tmp_path / "out/sem2nerf_train_celebahq/checkpoints/best_model.pt")
    (tmp_path / "out/semantic_head/checkpoints").mkdir(parents=True)
    shutil.copy(semantic_head, tmp_path / "out/semantic_head/checkpoints")
    faces = make_data(tmp_path / "data/CelebAMask-HQ")
    make_cat_data(tmp_path / "data/CatMask")
    make_data(tmp_path / "data/SynthHeads")
    make_data(tmp_path / "data/mine")
    (faces / "vis_paths.txt").write_text("2.png\n")
    shutil.copytree(samples, faces / "mask_samples")
    shutil.copytree(ROOT / "data/CatMask/mask_samples", tmp_path / "data/CatMask/mask_samples")
    for root in (faces, tmp_path / "data/SynthHeads"):
        part = root / "CelebAMask-HQ-mask-anno/0/00007_skin.png"
        part.parent.mkdir(parents=True)
        Image.fromarray(np.pad(np.full((64, 64), 255, np.uint8), 32)).save(part)
    monkeypatch.chdir(tmp_path)
    return tmp_path


TO_RUN = [command for command in COMMANDS if command.script in SHRUNK]


def perhaps_slow(command):
    slow = (command.script, next(iter(command.arguments), "")) in SLOW
    return pytest.param(command, marks=[pytest.mark.slow] if slow else [], id=str(command))


@pytest.mark.parametrize("command", [perhaps_slow(command) for command in TO_RUN if command.script != "train3d.py"])
def test_commands_run(command, user_folder, capsys):
    """In the same process, with smaller sizes."""
    before = set(user_folder.rglob("*"))
    importlib.import_module(command.module).main([*command.arguments, *SHRUNK[command.script]])
    made = [path for path in set(user_folder.rglob("*")) - before if path.is_file()]
    if command.script == "benchmark.py":
        assert "second" in capsys.readouterr().out
    else:
        assert made
    if "--render_videos" in command.arguments:
        assert [path for path in made if path.suffix == ".mp4"]


def shrunk_trainings():
    """The distinct trainings, without what only tells several processes of one run apart."""
    launch = {"--distributed_train", "--use_multi_nodes"}
    runs = {}
    for command in TO_RUN:
        if command.script == "train3d.py":
            kept = [word for word in command.arguments if word not in launch]
            runs[tuple(word for word in kept if not word.startswith(("--exp_dir", "--batch_size")))] = kept
    return list(runs.values())


@pytest.mark.parametrize("arguments", shrunk_trainings(), ids=" ".join)
def test_trainings_run(arguments, user_folder):
    output = train([*arguments, *SHRUNK["train3d.py"]], user_folder)
    assert list(user_folder.rglob("checkpoints/latest_model.pt")), output


@pytest.mark.parametrize("page", [page for page in PAGES if python_examples(page)], ids=lambda page: page.name)
def test_python_examples(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for example in python_examples(page):
        exec(compile(example, page.name, "exec"), {})
