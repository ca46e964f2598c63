"""Runs on a device beside the same runs on the CPU: every loss, pi-GAN's own training, validation, checkpoints."""

from pathlib import Path

import pytest
import torch
from decoder_runs import assert_same_run, assert_same_way, paint_images
from test_criteria import random_backbone
from tiny_training import make_all

from options import train_options
from pretraining import options as pigan_options
from pretraining.adversarial import AdversarialObjective
from training.loop import TrainingLoop
from training.objectives.sem2nerf import Sem2NeRFObjective
from training.runtime.checkpoints import CheckpointFolder
from training.runtime.logs import RunLog
from training.runtime.processes import World

CPU = torch.device("cpu")
GROWTH = """poses: {distribution: gaussian, yaw: 0.3, pitch: 0.155}
fade_steps: 4
0: {img_size: 8, batch_size: 2, batch_split: 1, samples: 4, gen_lr: 1.0e-4, disc_lr: 1.0e-3}
1: {img_size: 16, batch_size: 4, batch_split: 2, samples: 4, gen_lr: 1.0e-4, disc_lr: 1.0e-3}
"""


@pytest.fixture(scope="module")
def encoder_options(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("encoder")
    torch.save(random_backbone(), folder / "alexnet.pth")
    return [*make_all(folder), f"--lpips_weights={folder / 'alexnet.pth'}", "--ema=0.9", "--val_interval=0",
            "--image_interval=1000", "--val_images=1"]


def encoder_loop(options, folder, device) -> TrainingLoop:
    opts = train_options.parse([*options, f"--exp_dir={folder}"])
    newest = CheckpointFolder(Path(folder) / "checkpoints").load_newest()
    contents, source = newest[:2] if newest else (None, None)
    objective = Sem2NeRFObjective(opts, World(device), contents, source, resume=newest is not None,
                                  report=lambda text: None)
    return TrainingLoop(objective, World(device), contents)


def run(loop: TrainingLoop) -> dict:
    """To its end; its last checkpoint."""
    folder = Path(loop.opts.exp_dir)
    loop.train(RunLog(folder, loop.global_step, loop.opts.max_steps, active=False, progress=False))
    newest = CheckpointFolder(folder / "checkpoints").load_newest()
    assert newest is not None
    return newest[0]


@pytest.mark.parametrize("optimizer", ["ranger", "adam"])
def test_a_run_that_is_continued_is_the_same_run(encoder_options, tmp_path, pretend, optimizer):
    """One step and one more are two, bit for bit. In the file are tensors of the CPU."""
    options = [*encoder_options, f"--optim_name={optimizer}"]
    whole = run(encoder_loop([*options, "--max_steps=2"], tmp_path / "whole", pretend.device))
    run(encoder_loop([*options, "--max_steps=1"], tmp_path / "parts", pretend.device))
    loop = encoder_loop([*options, "--max_steps=2"], tmp_path / "parts", pretend.device)
    assert all(parameter.device == pretend.device for parameter in loop.objective.model.parameters())
    assert_same_run(whole, run(loop))
    assert all(value.device.type == "cpu" for value in whole["state_dict"].values())


def copied(state: dict) -> dict:
    return {key: value.cpu().clone() for key, value in state.items() if value.is_floating_point()}


def test_every_loss_and_the_validation(encoder_options, tmp_path, pretend):
    options = [*encoder_options, "--lpips_lambda=0.8", "--l1_lambda=0.5", "--max_steps=1", "--train_rand_pose_prob=0",
               "--use_cond_dis", "--train_decoder"]
    results = []
    for folder, device in (("device", pretend.device), ("cpu", CPU)):
        loop = encoder_loop(options, tmp_path / folder, device)
        (losses, _), = loop.objective.step(0, 0).losses
        results.append((losses, loop.objective.validate(lambda: False).metrics))
        loop.objective.close()
    (losses, metrics), (expected, expected_metrics) = results
    assert {"loss_l1", "loss_l2", "loss_lpips", "loss_w_norm", "loss_g", "d_loss_real", "d_loss_fake", "d_loss_reg"
            } < losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].cpu(), value, rtol=1e-4, atol=1e-6, msg=name)
    assert metrics == pytest.approx(expected_metrics, rel=1e-3)


@pytest.mark.filterwarnings("ignore:`precision` bf16")  # as of a GPU without it
def test_losses_in_bfloat16(encoder_options, tmp_path, pretend, monkeypatch):
    """Encoder, discriminator, LPIPS and field: digits are lost, not the losses."""
    options, found = [*encoder_options, "--lpips_lambda=0.8", "--max_steps=1", "--train_rand_pose_prob=0"], []
    for precision in (["--amp=bf16", "--field_precision=bf16"], []):
        loop = encoder_loop([*options, *precision], tmp_path / str(len(precision)), pretend.device)
        (losses, _), = loop.objective.step(0, 0).losses
        assert all(parameter.grad.dtype == torch.float32 for parameter in loop.objective.net.encoder.parameters())
        loop.objective.close()
        found.append({name: value.item() for name, value in losses.items()})
    half, full = found
    assert half == pytest.approx(full, rel=0.05, abs=0.01)
    assert all(half[name] != full[name] for name in ("loss_l2", "loss_lpips", "loss_g", "d_loss_reg"))


def test_pigan_adversarial_steps(tmp_path, pretend):
    (tmp_path / "steps.yaml").write_text(GROWTH)
    data, checkpoints, starts = paint_images(tmp_path / "images", 6), [], {}
    for folder, device in (("device", pretend.device), ("cpu", CPU)):
        opts = pigan_options.parse([
            "--objective=adversarial", f"--exp_dir={tmp_path / folder}", f"--data_root={data}", "--pigan_zdim=8",
            f"--pigan_steps_conf={tmp_path / 'steps.yaml'}", "--pigan_hidden_dim=16", "--dis_channels=16",
            "--val_images=2", "--test_output_size=8", "--workers=1", "--max_steps=2", "--val_interval=2"])
        loop = TrainingLoop(AdversarialObjective(opts, World(device), report=lambda text: None), World(device))
        starts = {name: copied(loop.contents()[name]) for name in ("state_dict", "dis_state_dict")}
        checkpoints.append(run(loop))
    for name, start in starts.items():
        assert_same_way(start, *(checkpoint[name] for checkpoint in checkpoints))
    assert checkpoints[0]["best_val_loss"] == pytest.approx(checkpoints[1]["best_val_loss"], rel=1e-3)
