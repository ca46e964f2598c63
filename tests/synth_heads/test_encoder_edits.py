"""What an encoder learns from heads in pairs, before and after an edit of one part."""

import re

import cv2
import launching
import numpy as np
import pytest
import torch
from known_heads import SCRIPT, Run, train
from tiny import FACE_OPTS, tiny_model
from tiny_training import make_all, paint_head

from configs.data_configs import DATA_CONFIGS
from datasets.masks.maps import MaskTransform
from datasets.sample_stream import BatchShard
from datasets.split import find_masks
from datasets.training_set import ImagesDataset3D, ImagesOptions
from models.pigan.sampling import RayNoise
from synth_heads.data.edit_pairs import PairStream, find_pairs, pairs_of
from synth_heads.losses.known_z import EditLoss, KnownZLoss
from training.step import Batch, LossWeights, PatchGenerator, Rendering, StepNoise, TrainStep

FACES = DATA_CONFIGS["celebahq_seg_to_3dface"]
Z_DIM = 8
QUICK = ("--encoder_not_zplus", "--dis_lambda=0", "--w_norm_lambda=0", "--val_interval=0", "--max_steps=2",
         "--board_interval=1", "--batch_size=2")


def make_pairs(root, heads=6):
    """In place of the painted heads 0 .. 5: heads in pairs, whose ids are head * 100; codes differ in one entry."""
    for file in [*(root / "mask").iterdir(), *(root / "CelebA-HQ-img").iterdir()]:
        file.unlink()
    z = np.random.default_rng(0).standard_normal((heads, Z_DIM), dtype=np.float32)
    poses = [f"{heads}", "name yaw pitch roll"]
    for head in range(heads):
        before = head - head % 2
        mask, image = paint_head(before)
        if head > before:
            z[head] = z[before]
            z[head, 3] += 1
            cv2.circle(mask, (64, 83), 9, 10, -1)
            cv2.circle(image, (64, 83), 9, (180, 60, 70), -1)
        cv2.imwrite(str(root / "mask" / f"{head * 100}.png"), mask)
        cv2.imwrite(str(root / "CelebA-HQ-img" / f"{head * 100}.jpg"), image[..., ::-1])
        poses.append(f"{head * 100}.jpg {4.0 * before - 8} 0.0 0.0")
    (root / "CelebAMask-HQ-pose-anno.txt").write_text("\n".join(poses) + "\n")
    (root / "train_paths.txt").write_text("\n".join(f"{head * 100}.png" for head in range(heads)) + "\n")
    (root / "val_paths.txt").write_text("0.png\n")
    ids = 100 * np.arange(heads)[:, None]
    np.savez(root / "latents.npz", z=z, ids=ids, camera=np.zeros((heads, 1, 2)), names=np.array(["a"] * Z_DIM))


def options(folder):
    argv = [option for option in make_all(folder) if option != "--start_from_latent_avg"]
    make_pairs(folder / "data")
    return [*argv, *QUICK, "--edit_lambda=2", f"--exp_dir={folder / 'run'}"]


def test_pairs_by_number_and_camera():
    ids = [0, 100, 200, 300, 1, 101, 401, 501]
    poses = ["a", "a", "b", "c", "d", "d", "e", "e"]
    assert find_pairs(ids, poses) == [(0, 1), (4, 5), (6, 7)], "heads 2 and 3 have other cameras"
    assert find_pairs([100, 200], ["a", "a"]) == [], "head 2 is no edit of head 1"


def test_pairs_stand_together_in_every_share():
    pairs = [(0, 1), (5, 4), (2, 3)]
    streams = [iter(PairStream(pairs, 0, BatchShard(2, rank, world=2))) for rank in (0, 1)]
    drawn = [tuple(next(stream)) for _ in range(3) for stream in streams]
    assert sorted(drawn) == sorted(pairs * 2), "each once an epoch"


def test_mirrored_pairs(tmp_path):
    make_all(tmp_path)
    make_pairs(tmp_path / "data", heads=4)
    masks, _, _ = find_masks(tmp_path / "data", FACES)
    data = ImagesDataset3D(tmp_path / "data", FACES, masks, ImagesOptions(MaskTransform(80, 64, 64), 64, mirror=True))
    assert pairs_of(data) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    before, after = (data[index] for index in pairs_of(data)[2])
    assert "mirrored" in before["name"]
    assert torch.equal(before["pose"], after["pose"])
    assert not torch.equal(before["label"], after["label"])


def test_terms_of_a_step():
    """The images' term is the error of the difference; z's counts times the weight of z, too."""
    torch.manual_seed(0)
    net = tiny_model({**FACE_OPTS, "encoder_not_zplus": True})
    net.siren.requires_grad_(False)
    z_dim, side = net.siren.z_dim, 4
    one = torch.rand(1, net.config.input_nc, net.config.input_size, net.config.input_size)
    batch = Batch(one.expand(2, -1, -1, -1), torch.rand(2, 3, side, side) * 2 - 1, torch.full((2, 2), np.pi / 2),
                  {"z": torch.tensor([[0.0], [0.5]]) * torch.eye(z_dim)[:1]})
    line = torch.linspace(-1, 1, side)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None].expand(2, -1, -1, -1)
    draws = StepNoise(grid, RayNoise(torch.zeros(2, side * side, 4), None))
    weights, edit = LossWeights(l2=1, lpips=0, w_norm=0, dis=0), EditLoss(2, 2 * 0.5)
    net.eval()
    step = TrainStep(PatchGenerator(net, Rendering(samples=4)), net, weights,
                     extra_losses=(edit.images, KnownZLoss(net.siren, 0, 0.5), edit.z))
    losses = step.generator_losses(batch, draws, side)
    terms = losses.terms
    wanted = losses.target[1] - losses.target[0]
    assert terms["loss_edit"].item() == pytest.approx(wanted.abs().mean().item(), rel=1e-4), "the same mask twice"
    assert terms["loss_edit_z"].item() == pytest.approx(0.5 / z_dim, rel=1e-4)
    total = terms["loss_l2"] + 0.5 * terms["loss_z"] + 2 * terms["loss_edit"] + 2 * 0.5 * terms["loss_edit_z"]
    assert terms["loss"].item() == pytest.approx(total.item(), rel=1e-5)


def test_a_run_draws_pairs_and_resumes(tmp_path):
    argv = options(tmp_path)
    output = train([*argv, "--z_lambda=1"], tmp_path)
    last = output.split("step 2/2")[-1]
    assert re.search(r"edit [.\d]+", last)
    assert re.search(r"edit_z [.\d]+", last)
    output = train([*argv, "--z_lambda=1", "--auto_resume", "--max_steps=3"], tmp_path, name="on")
    assert "step 3/3" in output
    output = train([*argv, "--z_lambda=1", "--l2_lambda=0", "--overwrite"], tmp_path, name="codes")
    assert re.search(r"edit_z [.\d]+", output)
    assert not re.search(r"edit [.\d]+", output), "nothing was rendered"


def test_two_processes_learn_from_known_z_as_one_does(tmp_path):
    """The added losses' gradients are averaged among processes, too. (Edits count by their weight in a batch.)"""
    argv = [option for option in options(tmp_path) if not option.startswith(("--exp_dir", "--edit_lambda"))]
    argv += ["--z_lambda=1", "--latent_lambda=1", "--optim_name=adam", "--learning_rate=1e-3", "--save_interval=0"]
    launching.train_together([*argv, f"--exp_dir={tmp_path / 'two'}"], tmp_path, processes=2, script=SCRIPT)
    train([*argv, "--batch_size=4", f"--exp_dir={tmp_path / 'one'}"], tmp_path)
    two, one = (torch.load(tmp_path / run / "checkpoints/latest_model.pt", weights_only=True) for run in ("two", "one"))
    moments = [state["optimizer"]["state"] for state in (two, one)]
    assert moments[0].keys() == moments[1].keys()
    for key, value in moments[1].items():  # of the gradients: Adam's steps would hide their size
        bound = 1e-3 * value["exp_avg"].abs().max().item() + 1e-9
        torch.testing.assert_close(moments[0][key]["exp_avg"], value["exp_avg"], rtol=0, atol=bound)


@pytest.mark.parametrize("flags, message", [
    (["--batch_size=3"], "--batch_size 3: with --edit_lambda heads come in pairs"),
    (["--l2_lambda=0", "--latent_lambda=1"], "--edit_lambda: it compares images, or z"),
    (["--train_paths_conf={root}/some.txt"], "--edit_lambda: it needs heads in pairs"),
])
def test_mistakes_are_one_line(tmp_path, flags, message):
    argv = options(tmp_path)
    (tmp_path / "data/some.txt").write_text("0.png\n200.png\n")
    run = Run([*argv, *(flag.format(root=tmp_path / "data") for flag in flags)], tmp_path)
    assert run.wait() == 2
    assert message in run.output
    assert "Traceback" not in run.output
