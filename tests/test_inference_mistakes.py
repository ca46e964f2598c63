"""Mistakes at the command line of scripts/inference3d.py: one line that helps, exit code 2, nothing half-written."""

import shutil

import numpy as np
import pytest
import torch
from inferring import FACES, SMALL, names_list
from PIL import Image

from scripts.inference3d import main
from utils import progress
from utils.cli import run
from utils.errors import UserError


@pytest.fixture(autouse=True)
def no_line_of_progress(monkeypatch):
    """A slow machine writes one before the mistake is found."""
    monkeypatch.setattr(progress, "FIRST", 1e9)


class Bad:
    """A mask folder to spoil: each function below makes the mistake that it is named after."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.mask = np.array(Image.open(FACES / "90001.png"))

    def save(self, array, name="90001.png", **how):
        Image.fromarray(array, **how).save(self.folder / name)


def truncated(bad):
    shutil.copy(FACES / "90001.png", bad.folder / "90001.png")
    data = (bad.folder / "90001.png").read_bytes()
    (bad.folder / "90001.png").write_bytes(data[: len(data) // 2])


def photo(bad):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    bad.save(np.kron(noise, np.ones((8, 8, 1), np.uint8)))


def jpeg(bad):
    bad.save(bad.mask, "90001.jpg")


def out_of_range(bad):
    bad.save(np.where(bad.mask == 1, 77, bad.mask).astype(np.uint8))


def sixteen_bit(bad):
    bad.save(bad.mask.astype(np.uint16))


def rgba(bad):
    bad.save(np.dstack([bad.mask] * 4))


def empty_mask(bad):
    bad.save(np.zeros_like(bad.mask))


def no_face(bad):
    bad.save(np.where(bad.mask == 13, 13, 0).astype(np.uint8))


def no_masks(bad):
    (bad.folder / "readme.txt").write_text("nothing here")


def text_file(bad):
    (bad.folder / "90001.png").write_text("hello")


def dangling_link(bad):
    (bad.folder / "90001.png").symlink_to(bad.folder / "moved.png")


def folder_named_like_a_mask(bad):
    (bad.folder / "90001.png").mkdir()


def same_name_twice(bad):
    bad.save(bad.mask)
    bad.save(bad.mask, "90001.bmp")


def same_name_in_two_folders(bad):
    (bad.folder / "more").mkdir()
    bad.save(bad.mask)
    bad.save(bad.mask, "more/90001.png")


BAD_MASKS = [truncated, photo, jpeg, out_of_range, sixteen_bit, rgba, empty_mask, no_face, no_masks, text_file,
             dangling_link, folder_named_like_a_mask, same_name_twice,
             same_name_in_two_folders]


@pytest.mark.parametrize("make", BAD_MASKS, ids=lambda make: make.__name__)
def test_unusable_masks(tmp_path, weights, capsys, make):
    make(Bad(tmp_path / "mask"))
    fails(capsys, tmp_path, weights, tmp_path / "mask")


def fails(capsys, tmp_path, weights, masks, *options, names=None):
    """Exit code 2, one line on stderr, no traceback, no result written."""
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        run(main, ["--exp_dir", str(out), "--checkpoint_path", str(weights), "--data_path", str(masks), *SMALL,
                   *options])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert names is None or names in err, err
    assert names or str(tmp_path) in err, err
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file() and path.name != "inference.bash"]


@pytest.mark.parametrize("options, names", [
    (["--latent_mask=9"], "--latent_mask"), (["--latent_mask=a,b"], "--latent_mask"),
    (["--latent_mask=-1"], "--latent_mask"),
    (["--test_output_size=-5"], "--test_output_size"), (["--test_output_size=big"], "--test_output_size"),
    (["--pigan_infer_ray_step=2"], "--pigan_infer_ray_step"), (["--num_frames=0"], "--num_frames"),
    (["--n_images=0"], "--n_images"), (["--mask_overlay_weight=2"], "--mask_overlay_weight"),
    (["--mix_alpha=-1"], "--mix_alpha"), (["--inject_code_seed=-4"], "--inject_code_seed"),
    (["--device=gpu"], "--device"), (["--device=cuda:99"], "--device"),
    (["--gpu_ids=x"], "--gpu_ids"), (["--trajectory=spiral", "--render_videos"], "--trajectory"),
    (["--pigan_curriculum_type=Dogs"], "--pigan_curriculum_type"), (["--dataset_type=dogs"], "--dataset_type"),
    (["--dataset_type=catmask_seg_to_3dface"], "--dataset_type"),
    (["--pigan_curriculum_type=PseudoCats"], "leave out --pigan_curriculum_type"),
    (["--use_merged_labels", "no"], "leave out --use_merged_labels"),
    (["--image_load_size=10"], "--image_load_size"), (["--no_such_option"], "--no_such_option"),
    (["--render_videos=maybe"], "--render_videos"), (["--style_mix_seq_num=3", "--latent_mask="], "--latent_mask"),
    (["--src_input_size=100"], "--src_input_size"), (["--label_order=random"], "--label_order"),
    (["--inject_code_seed=99999999999999999999"], "--inject_code_seed"), (["--seed=1e3"], "--seed"),
    (["--stochastic_sampling", "--sampler=grid"], "--stochastic_sampling"), (["--mix_alpha=nan"], "--mix_alpha"),
    (["--encoder_not_zplus"], "encoder.head"), (["--test_output=16"], "--test_output"), (["face.png"], "face.png"),
    (["--mask_encoding=colour"], "--mask_encoding"), (["--checkpoint_path="], "--checkpoint_path")])
def test_unusable_options(tmp_path, weights, faces, capsys, options, names):
    fails(capsys, tmp_path, weights, faces, *options, names=names)


def test_missing_files(tmp_path, weights, faces, capsys):
    fails(capsys, tmp_path, tmp_path / "none.pt", faces, names="none.pt")
    fails(capsys, tmp_path, tmp_path, faces, names="no file")
    fails(capsys, tmp_path, weights, tmp_path / "nowhere", names="nowhere")
    fails(capsys, tmp_path, weights, faces, "--infer_paths_conf", str(tmp_path / "no.txt"), names="no.txt")
    named = names_list(tmp_path, "90001", "123")
    fails(capsys, tmp_path, weights, faces, "--infer_paths_conf", str(named), names="123")


def test_poses_missing_or_malformed(tmp_path, weights, faces, capsys):
    folder = tmp_path / "a" / "mask"
    folder.mkdir(parents=True)
    shutil.copy(faces / "90001.png", folder)
    fails(capsys, tmp_path, weights, folder, "--use_original_pose", names="pose")
    (folder / "CelebAMask-HQ-pose-anno.txt").write_text("1\nname yaw pitch roll\n77.jpg 1 2 3\n")
    fails(capsys, tmp_path, weights, folder, "--use_original_pose", names="90001")
    (folder / "CelebAMask-HQ-pose-anno.txt").write_text("1\nname yaw pitch roll\n90001.jpg 1 two 3\n")
    fails(capsys, tmp_path, weights, folder, "--use_original_pose", names="line 3")


def test_unwritable_output(tmp_path, weights, faces, capsys):
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(SystemExit) as stop:
        run(main, ["--exp_dir", str(tmp_path / "out"), "--checkpoint_path", str(weights), "--data_path", str(faces),
                   *SMALL])
    assert stop.value.code == 2
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_unusable_checkpoints_at_the_command_line(tmp_path, weights, faces, capsys):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(weights.read_bytes()[:5000])
    fails(capsys, tmp_path, cut, faces, names="cut.pt")
    contents = torch.load(weights, weights_only=True)
    for option, value in (("dataset_type", "dogs"), ("input_nc", 20), ("encoder_type", "ResNet")):
        torch.save({**contents, "opts": {**contents["opts"], option: value}}, tmp_path / "odd.pt")
        fails(capsys, tmp_path, tmp_path / "odd.pt", faces, names="odd.pt: ")


def test_masks_that_are_nowhere_are_named_before_the_weights_are_read(tmp_path, weights, faces, capsys):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(weights.read_bytes()[:5000])
    fails(capsys, tmp_path, cut, tmp_path / "no.png", names="no.png")
    fails(capsys, tmp_path, cut, faces, "--infer_paths_conf", str(tmp_path / "no.txt"), names="no.txt")


def test_debug_shows_the_traceback(tmp_path, weights):
    with pytest.raises(UserError):
        run(main, ["--checkpoint_path", str(weights), "--data_path", str(tmp_path / "no"), "--exp_dir", str(tmp_path),
                   "--debug"])
