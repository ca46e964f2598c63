"""Every command of the official release's README, its first version and its newest, word for word (smaller sizes are
put behind): with checkpoints in the official layout whose options hold the official names, old ones among them."""

import importlib
import json
import re
import shlex
import shutil

import cv2
import numpy as np
import pytest
import torch
from conftest import GOLDEN
from launching import train
from PIL import Image
from tiny import tiny_model
from tiny_training import SMALL, make_cat_data, make_data, make_decoder, make_steps

from models.checkpoints import to_official

FIRST_INFERENCE = [
    "scripts/inference3d.py --use_merged_labels --exp_dir out/sem2nerf_samples",
    """scripts/inference3d.py --exp_dir=out/sem2nerf_celebahq
       --checkpoint_path=pretrained_models/sem2nerf_celebahq_pretrained.pt --data_path=data/CelebAMask-HQ/mask
       --infer_paths_conf=data/CelebAMask-HQ/vis_paths.txt --test_output_size=512 --pigan_infer_ray_step=72
       --use_merged_labels --use_original_pose --mask_overlay_weight=0.15 --latent_mask=8 --inject_code_seed=92
       --render_videos""",
    """scripts/inference3d.py --exp_dir=out/sem2nerf_catmask
       --checkpoint_path=pretrained_models/sem2nerf_catmask_pretrained.pt --pigan_curriculum_type=PseudoCats
       --data_path=data/CatMask/mask_samples --test_output_size=512 --pigan_infer_ray_step=72 --use_merged_labels
       --latent_mask=7,8 --inject_code_seed=390234 --render_videos""",
]
NEWEST_INFERENCE = [
    "scripts/inference3d.py --use_merged_labels --infer_paths_conf=data/CelebAMask-HQ/val_paths.txt",
    """scripts/inference3d.py --exp_dir=out/sem2nerf_celebahq_test
       --checkpoint_path=pretrained_models/sem2nerf_celebahq_pretrained.pt --data_path=data/CelebAMask-HQ/mask_samples
       --test_output_size=512 --pigan_infer_ray_step=72 --use_merged_labels --use_original_pose --latent_mask=8
       --inject_code_seed=92 --render_videos""",
    """scripts/inference3d.py --exp_dir=out/sem2nerf_catmask_test --dataset_type=catmask_seg_to_3dface
       --pigan_curriculum_type=CatMask --checkpoint_path=pretrained_models/sem2nerf_catmask_pretrained.pt
       --data_path=data/CatMask/mask_samples --test_output_size=512 --pigan_infer_ray_step=72 --use_merged_labels
       --use_original_pose --latent_mask=7,8 --inject_code_seed=390234 --render_videos""",
]
SAID_IN_PASSING = [
    "scripts/inference3d.py --use_merged_labels --latent_mask=6,7,8 --inject_code_seed=711 --exp_dir out/styles",
    """scripts/inference3d.py --dataset_type=pseudocats_seg_to_3dface --pigan_curriculum_type=PseudoCats
       --exp_dir=out/old --checkpoint_path=pretrained_models/sem2nerf_catmask_pretrained.pt
       --data_path=data/CatMask/mask_samples""",
]
TRAINING = {
    "faces": """--exp_dir=out/sem2nerf_celebahq --workers=2 --batch_size=2 --test_output_size=128
        --train_paths_conf=data/CelebAMask-HQ/train_paths.txt --test_paths_conf=data/CelebAMask-HQ/val_paths.txt
        --pigan_steps_conf=configs/pigan_steps/sem2nerf.yaml --val_latent_mask=8 --train_rand_pose_prob=0.2
        --use_contour --use_merged_labels --patch_train --start_from_latent_avg""",
    "cats": """--exp_dir=out/sem2nerf_catmask --dataset_type=catmask_seg_to_3dface --pigan_curriculum_type=CatMask
        --train_paths_conf=data/CatMask/train_paths.txt --test_paths_conf=data/CatMask/val_paths.txt --label_nc=8
        --input_nc=10 --workers=2 --batch_size=2 --dis_lambda=0.1 --w_norm_lambda=0.008 --val_latent_mask=8
        --train_rand_pose_prob=0.5 --use_contour --use_merged_labels --patch_train --ray_min_scale=0.08
        --start_from_latent_avg""",
}
SMALLER = ["--test_output_size=16", "--pigan_infer_ray_step=4", "--num_frames=2", "--n_images=2", "--device=cpu"]
FACE_IDS, CAT_IDS = (12999, 15179, 21464), (10593, 12560)


def official_checkpoint(path, tag, several_processes, **names):
    """Tiny weights with the options of an official file and its names of weights."""
    opts = {**json.loads((GOLDEN / f"keys_{tag}.json").read_text())["opts"], **names,
            "encoder_type": "SwinEncoderNano", "pigan_hidden_dim": 16, "pigan_zdim": 8}
    net = tiny_model(opts, contrast=20)
    contents = to_official({"format": "sem2nerf", "state_dict": dict(net.state_dict()), "opts": opts,
                            "global_step": 500000, "best_val_loss": np.float64(0.25),
                            "latent_avg": (net.latent_avg.frequencies, net.latent_avg.phase_shifts)})
    assert "input" not in contents
    if several_processes:
        contents["state_dict"] = {key.replace("coder.", "coder.module.", 1): value
                                  for key, value in contents["state_dict"].items()}
    torch.save(contents, path)


def add_ids(root, ids, images, edit):
    """Heads of a painted data set by the numbers of the official lists, and mask_samples/ with an edit of the last."""
    samples = root / "mask_samples"
    samples.mkdir()
    poses = next(root.glob("*pose*.txt"))
    lines = poses.read_text().splitlines()
    angles, suffix = lines[-1].split()[1:], ".jpg" if images == "CelebA-HQ-img" else ".png"
    for number, identity in enumerate(ids):
        shutil.copy(root / "mask" / f"{number}.png", root / "mask" / f"{identity}.png")
        shutil.copy(root / "mask" / f"{number}.png", samples / f"{identity}.png")
        shutil.copy(root / images / f"{number}{suffix}", root / images / f"{identity}{suffix}")
        lines.append(" ".join([f"{identity}{suffix.replace('.png', '')}", *angles]))
    shutil.copy(samples / f"{ids[-1]}.png", samples / f"{ids[-1]}_{edit}.png")
    poses.write_text("\n".join(lines) + "\n")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The official repository's folders, after its downloads."""
    weights = tmp_path / "pretrained_models"
    weights.mkdir()
    official_checkpoint(weights / "sem2nerf_celebahq_pretrained.pt", "celebahq", several_processes=True)
    official_checkpoint(weights / "sem2nerf_catmask_pretrained.pt", "catmask", several_processes=False,
                        dataset_type="pseudocats_seg_to_3dface", pigan_curriculum_type="PseudoCats")
    for name in ("celeba", "cats2"):
        make_decoder(weights / f"pigan-{name}-pretrained.pth")
    faces, cats = make_data(tmp_path / "data/CelebAMask-HQ"), make_cat_data(tmp_path / "data/CatMask")
    add_ids(faces, FACE_IDS, "CelebA-HQ-img", "eye")
    add_ids(cats, CAT_IDS, "images", "eye")
    (faces / "vis_paths.txt").write_text("12999\n15179")
    (faces / "val_paths.txt").write_text("12999\n15179\n21464\n21464_eye")
    (faces / "train_paths.txt").write_text("0\n1\n2\n3")
    (cats / "val_paths.txt").write_text("12560_eye\n12560\n")
    (cats / "train_paths.txt").write_text("0\n1\n2\n")
    part = faces / "CelebAMask-HQ-mask-anno/0/00007_skin.png"
    part.parent.mkdir(parents=True)
    Image.fromarray(np.pad(np.full((64, 64), 255, np.uint8), 32)).save(part)
    make_steps(tmp_path / "steps.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [*FIRST_INFERENCE, *NEWEST_INFERENCE, *SAID_IN_PASSING],
                         ids=lambda command: " ".join(command.split()[1:4]))
def test_inference(clone, command):
    script, *arguments = shlex.split(command)
    importlib.import_module(script.removesuffix(".py").replace("/", ".")).main([*arguments, *SMALLER])
    out = clone / (re.search(r"--exp_dir[= ](\S+)", command) or ["", "out/sem2nerf_qtest"])[1]
    images = sorted(out.glob("iter_pretrained_infer_results_16/*.png"))
    assert len([image for image in images if "overlay" not in image.name]) == 2, "one image per mask"
    for image in images:
        assert cv2.imread(str(image)).std() > 5
    videos = list(out.glob("iter_pretrained_infer_videos_16/*.mp4"))
    assert len(videos) == 2 * ("--render_videos" in arguments)


def test_preparation(clone):
    shutil.rmtree(clone / "data/CelebAMask-HQ/mask")
    importlib.import_module("scripts.build_celeba_mask").main([])
    assert [path.name for path in (clone / "data/CelebAMask-HQ").glob("mask*/7.png")] == ["7.png"]


@pytest.mark.parametrize("single", [[], ["--batch_size=1", "--dis_lambda=0."]], ids=["all", "limited"])
@pytest.mark.parametrize("kind", TRAINING)
def test_training(clone, kind, single):
    """As one process; tests/test_train_commands.py starts several with the launcher of these commands."""
    smaller = [*(word for word in SMALL if "src_input" not in word), "--pigan_steps_conf=steps.yaml", "--max_steps=1"]
    train([*TRAINING[kind].split(), *single, *smaller], clone)
    (folder,) = (clone / "out").iterdir()
    opts = torch.load(folder / "checkpoints/best_model.pt", weights_only=True)["opts"]
    assert (opts["label_nc"], opts["input_nc"]) == ((16, 18) if kind == "faces" else (8, 10))
