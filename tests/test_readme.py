"""The commands of the README run as they stand (at small sizes), and its links lead somewhere."""

import re
import shlex
import shutil

import pytest
import torch
from conftest import GOLDEN, ROOT

from scripts import benchmark, convert_checkpoint, inference3d

README = (ROOT / "README.md").read_text()
SMALL = ["--test_output_size=16", "--pigan_infer_ray_step=4", "--num_frames=3", "--n_outputs_to_generate=2"]


def commands(script):
    """Argument lists of the README's calls of a script, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(part)[2:] for part in parts if part.startswith(f"python scripts/{script}")]


def test_readme_names_the_two_setup_commands():
    assert ("pip install -r environment/requirements.txt && python scripts/inference3d.py --use_merged_labels "
            "--exp_dir out/sem2nerf_samples") in README
    assert "pip install -r environment/requirements-dev.txt && python -m pytest" in README


def test_links_exist():
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "environment/README.md"]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http", "mailto")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_tests_named_in_the_ledger_exist():
    ledger = (ROOT / "docs/fidelity.md").read_text()
    named = re.findall(r"`(?:tests/)?(test_\w+\.py)(?:::(test_\w+))?`", ledger)
    assert len(named) > 20
    for file, function in named:
        text = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function}(" in text, f"{file}::{function}"


def test_quick_test(tmp_path, monkeypatch):
    arguments = commands("inference3d.py")[1]
    monkeypatch.chdir(ROOT)
    inference3d.main([*arguments, "--exp_dir", str(tmp_path), "--n_images=1", *SMALL])
    assert len(list(tmp_path.rglob("*.png"))) == 1


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """A working folder with the files that the README tells its reader to put in place."""
    if not GOLDEN.is_dir():
        pytest.skip("reference data not present")
    import make_checkpoint

    for tag in ("celebahq", "catmask"):
        path = tmp_path / f"pretrained_models/sem2nerf_{tag}_pretrained.pt"
        path.parent.mkdir(exist_ok=True)
        torch.save(make_checkpoint.build(tag), path)
    samples = ROOT / "data/CelebAMask-HQ/mask_samples"
    (tmp_path / "data/CelebAMask-HQ/mask").mkdir(parents=True)
    shutil.copy(samples / "90001.png", tmp_path / "data/CelebAMask-HQ/mask/90001.png")
    shutil.copy(samples / "CelebAMask-HQ-pose-anno.txt", tmp_path / "data/CelebAMask-HQ")
    (tmp_path / "data/CelebAMask-HQ/vis_paths.txt").write_text("90001.png\n")
    shutil.copytree(ROOT / "data/CatMask/mask_samples", tmp_path / "data/CatMask/mask_samples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_commands_for_the_official_weights(user_folder):
    faces, cats = [arguments for arguments in commands("inference3d.py") if "--render_videos" in arguments]
    inference3d.main([*faces, *SMALL])
    inference3d.main([*cats, *SMALL, "--n_images=1"])
    written = {str(path.relative_to(user_folder / "out")) for path in (user_folder / "out").rglob("*.*")}
    for folder, stem in (("sem2nerf_celebahq", "90001_mask8_seed92"), ("sem2nerf_catmask", "90001_mask78_seed390234")):
        assert f"{folder}/iter_pretrained_infer_results_16/{stem}.png" in written
        assert f"{folder}/iter_pretrained_infer_videos_16/{stem}.mp4" in written
    assert "sem2nerf_celebahq/iter_pretrained_infer_results_16/90001_mask8_seed92_overlay.png" in written


def test_training_commands_are_understood():
    """They are run in tests/test_train_commands.py; here: all four are there, and every option in them exists."""
    from options.train_options import parse

    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    calls = [shlex.split(block.replace("\\\n", " ").partition("scripts/train3d.py")[2]) for block in blocks
             if "scripts/train3d.py" in block]
    opts = [parse(call) for call in calls]
    assert [o.dataset_type.partition("_")[0] for o in opts] == ["celebahq", "catmask", "celebahq", "celebahq"]
    assert [o.dis_lambda for o in opts] == [0.08, 0.1, 0.0, 0.08]
    assert README.count("--nproc_per_node=8") == 2


def test_synth_heads_command(tmp_path):
    from scripts.build_synth_heads import main

    (arguments,) = commands("build_synth_heads.py")
    main([*arguments, "--out", str(tmp_path), "--num_heads=2", "--views=1", "--size=128", "--workers=1"])
    assert len(list((tmp_path / "mask").glob("*.png"))) == 2


def test_convert_command(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (arguments,) = commands("convert_checkpoint.py")
    convert_checkpoint.main([arguments[0], str(tmp_path / "official.pt"), *arguments[2:]])
    assert (tmp_path / "official.pt").is_file()


def test_benchmark_command(capsys):
    (arguments,) = commands("benchmark.py")
    benchmark.main([*arguments, "--size=8", "--samples=4", "--repeats=1"])
    out = capsys.readouterr().out
    assert "share of the sgemm of PyTorch" in out
    assert "seconds" in out


def test_python_example(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert "torch.Size([3, 64, 64])" in capsys.readouterr().out
