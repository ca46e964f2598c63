"""A category of one's own is one module of configs/categories and one folder of data: the dogs of docs/training.md."""

import shutil
import subprocess
import sys

import cv2
import pytest
from conftest import ROOT
from tiny_training import RECIPE, SMALL, make_decoder, make_steps, paint_head

from configs.categories import by_name
from configs.category import LabelSpace

SECTION = (ROOT / "docs/training.md").read_text().split("\n## A category of your own\n")[1]
DOGS = SECTION.split("```python\n")[1].split("```")[0]  # the module that the page shows
ROOMS = ("configs", "criteria", "datasets", "evaluation", "inference", "models", "options", "scripts", "synth_heads",
         "training", "utils")
DOG = {"skin": 1, "nose": 3, "l_eye": 2, "r_eye": 2, "mouth": 4, "hair": 5}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the new module, the data folder and the decoder's file; nothing else is changed."""
    folder = tmp_path_factory.mktemp("project")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "*.npz", "*.jpg"))
    (folder / "configs/categories/dogs.py").write_text(DOGS)
    data = folder / "data/Dogs"
    for name in ("mask", "images"):
        (data / name).mkdir(parents=True)
    lines = ["name yaw pitch"]
    for index in range(3):
        mask, image = paint_head(index, 64, DOG)
        cv2.imwrite(str(data / f"mask/{index}.png"), mask)
        cv2.imwrite(str(data / f"images/{index}.png"), image[..., ::-1])
        lines.append(f"{index} {1.5 + 0.05 * index} 1.6")
    (data / "poses.txt").write_text("\n".join(lines) + "\n")
    (folder / "pretrained_models").mkdir()
    make_decoder(folder / "pretrained_models/pigan-dogs.pth")
    make_steps(folder / "steps.yaml", img_size=32, resolution_vol=16)
    return folder


def run(project, script, *arguments):
    command = [sys.executable, f"scripts/{script}", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_is_trained_and_rendered(project):
    """A step of training finds data, masks, poses and decoder; inference reads the rest from the checkpoint."""
    arguments = [flag for flag in (*SMALL, *RECIPE) if flag != "--use_merged_labels"]
    said = run(project, "train3d.py", "--dataset_type=dogs_seg_to_3dface", "--pigan_curriculum_type=Dogs",
               "--exp_dir=out", "--pigan_steps_conf=steps.yaml", "--max_steps=1", "--batch_size=2", "--dis_lambda=0",
               *arguments)
    assert "decoder: pretrained_models/pigan-dogs.pth" in said
    checkpoint = next((project / "out").rglob("*.pt"))
    run(project, "inference3d.py", f"--checkpoint_path={checkpoint}", "--data_path=data/Dogs/mask/1.png",
        "--exp_dir=seen", "--test_output_size=16", "--device=cpu")
    strip = cv2.imread(str(next((project / "seen").rglob("1*.png"))))
    assert strip.std() > 5  # there is something to see


def test_two_entries_of_one_name_are_refused():
    space = LabelSpace(name="Dogs", labels=("background", "head"), palette=((0, 0, 0), (1, 1, 1)), face="head")
    with pytest.raises(ValueError, match=r"LabelSpace.*Dogs"):
        by_name([space, space])
