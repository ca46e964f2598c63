"""What the README promises: set-up, links, official weights. tests/test_documented_commands.py runs its commands."""

import re
import shutil

import pytest
import torch
from conftest import ROOT
from documented import PAGES, commands_of

from scripts import inference3d

README = (ROOT / "README.md").read_text()
SMALL = ["--test_output_size=16", "--pigan_infer_ray_step=4", "--num_frames=3", "--n_outputs_to_generate=2"]


def test_readme_names_the_two_setup_commands():
    assert ("pip install -r environment/requirements.txt && python scripts/inference3d.py --use_merged_labels "
            "--exp_dir out/sem2nerf_samples") in README
    assert "pip install -r environment/requirements-dev.txt && python -m pytest" in README


def test_links_exist():
    """Files, and the headings that are named behind a #."""
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
            if not target.startswith(("http", "mailto")):
                linked = page.parent / target if target else page
                assert linked.exists(), f"{page.name} links to {target}"
                assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"


def anchors(page):
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_tests_named_in_the_ledger_exist():
    ledger = (ROOT / "docs/fidelity.md").read_text()
    named = re.findall(r"`(?:tests/)?(test_\w+\.py)(?:::(test_\w+))?`", ledger)
    assert len(named) > 20
    for file, function in named:
        text = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function}(" in text, f"{file}::{function}"


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """A working folder with the files that the README tells its reader to put in place."""
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
    faces, cats = [call.arguments for call in commands_of(ROOT / "README.md") if "--render_videos" in call.arguments]
    inference3d.main([*faces, *SMALL])
    inference3d.main([*cats, *SMALL, "--n_images=1"])
    written = {str(path.relative_to(user_folder / "out")) for path in (user_folder / "out").rglob("*.*")}
    for folder, stem in (("sem2nerf_celebahq", "90001_mask8_seed92"), ("sem2nerf_catmask", "90001_mask78_seed390234")):
        assert f"{folder}/iter_pretrained_infer_results_16/{stem}.png" in written
        assert f"{folder}/iter_pretrained_infer_videos_16/{stem}.mp4" in written
    assert "sem2nerf_celebahq/iter_pretrained_infer_results_16/90001_mask8_seed92_overlay.png" in written


def test_training_commands_are_the_published_recipes():
    from options.train_options import parse

    opts = [parse(call.arguments) for call in commands_of(ROOT / "README.md") if call.script == "train3d.py"]
    assert [o.dataset_type.partition("_")[0] for o in opts] == ["celebahq", "catmask", "celebahq", "celebahq"]
    assert [o.dis_lambda for o in opts] == [0.08, 0.1, 0.0, 0.08]
    assert README.count("--nproc_per_node=8") == 2
