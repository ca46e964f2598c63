"""The documented commands, each in a folder that has what they expect."""

import os
import subprocess
import sys
import time

import child_processes
import psutil
import pytest
import torch
from conftest import ROOT
from launching import Run, free_port, train
from tiny_training import RECIPE, SMALL, make_all, make_cat_data, make_data, make_decoder, make_steps

SCRIPT = str(ROOT / "scripts" / "train3d.py")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A checkout with data sets and weights at their usual places."""
    make_data(tmp_path / "data" / "CelebAMask-HQ")
    make_cat_data(tmp_path / "data" / "CatMask")
    weights = tmp_path / "pretrained_models"
    weights.mkdir()
    for name in ("pigan-celeba-pretrained.pth", "pigan-cats2-pretrained.pth"):
        make_decoder(weights / name)
    make_steps(tmp_path / "steps.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SIZES = (*SMALL, "--pigan_steps_conf=steps.yaml", "--max_steps=2", "--board_interval=1", "--image_interval=2")


def checkpoint(folder, name="latest_model.pt"):
    return torch.load(folder / "checkpoints" / name, weights_only=True)


def test_plain(workplace):
    """No options of the recipe: whole images, unmerged labels, no contours, codes without the mean code."""
    output = train(["--exp_dir=out/plain", *SIZES], workplace)
    assert "step 2/2" in output
    folder = workplace / "out" / "plain"
    assert checkpoint(folder)["global_step"] == 2
    assert checkpoint(folder)["opts"]["input_nc"] == 19
    for name in ("opt.json", "train.bash", "timestamp.txt", "logs/images/train/faces/0002.jpg",
                 "logs/images/test/faces/0002.jpg", "checkpoints/best_model.pt", "checkpoints/iteration_2.pt"):
        assert (folder / name).is_file(), name
    assert list((folder / "logs").glob("events.*"))


def test_one_process_command(workplace):
    train(["--exp_dir=out/one", "--batch_size=1", "--dis_lambda=0.", *RECIPE, *SIZES],
          workplace)
    assert "dis_state_dict" not in checkpoint(workplace / "out" / "one")


def test_cats_command(workplace):
    train(["--exp_dir=out/cats", "--dataset_type=catmask_seg_to_3dface", "--pigan_curriculum_type=CatMask",
           "--label_nc=8", "--input_nc=10", "--ray_min_scale=0.08", "--dis_lambda=0.1", "--w_norm_lambda=0.008",
           *RECIPE, *SIZES], workplace)
    assert checkpoint(workplace / "out" / "cats")["opts"]["input_nc"] == 10


@pytest.mark.parametrize("extra", [
    ["--optim_name=adam", "--scheduler_name=cosine", "--grad_clip=1", "--grad_accum=2", "--l1_lambda=1"],
    ["--encoder_not_zplus", "--sample_chunk=500", "--pigan_train_hs", "--pigan_train_lvd", "--no_ray_random_shift",
     "--val_latent_mask=7,8", "--optim_name=adamw"],
    ["--use_cond_dis", "--train_decoder", "--ema=0.5", "--test_pigan_latent_avg", "--val_images=1", "--val_interval=1"],
])
def test_other_options(workplace, extra):
    train(["--exp_dir=out/run", *RECIPE, *SIZES, *extra], workplace)
    contents = checkpoint(workplace / "out" / "run")
    assert contents["global_step"] == 2

    from models.sem2nerf import Sem2NeRF

    net = Sem2NeRF.from_checkpoint(workplace / "out" / "run" / "checkpoints" / "best_model.pt")
    view = net.scene(torch.zeros(18, 64, 64)).render(size=4, samples=4)
    assert view.rgb.isfinite().all()


def test_chunks_change_nothing_but_memory(workplace):
    common = ["--lpips_lambda=0", *RECIPE, *SIZES, "--val_interval=0"]
    train(["--exp_dir=whole", *common], workplace)
    train(["--exp_dir=chunks", "--sample_chunk=700", *common], workplace)
    whole, chunks = checkpoint(workplace / "whole")["state_dict"], checkpoint(workplace / "chunks")["state_dict"]
    for key, value in whole.items():
        torch.testing.assert_close(chunks[key], value, rtol=0, atol=1e-6)


def test_errors_are_one_line(workplace):
    for flags, message in (
        (["--data_root=nowhere"], "--data_root nowhere: there is no such folder"),
        (["--lpips_lambda=1", "--lpips_weights=none.pth"], "--lpips_weights: there is no file none.pth"),
        (["--checkpoint_path=none.pt"], "none.pt: no such checkpoint file"),
        (["--amp=bf16"], "--amp bf16"),
        (["--world_size=2"], "start all of them with torchrun"),
        (["--dataset_type=dogs"], "--dataset_type dogs"),
    ):
        run = Run(["--exp_dir=out/run", *SIZES, *flags], workplace, name=flags[-1])
        assert run.wait() == 2
        assert message in run.output
        assert "Traceback" not in run.output
        assert len([line for line in run.output.splitlines() if line.startswith("error: ")]) == 1
        assert not (workplace / "out").exists(), "nothing half-made"


def test_damaged_data_ends_the_run(workplace):
    """With loader processes too, which Python would wait for at its exit."""
    for photograph in (workplace / "data" / "CelebAMask-HQ" / "CelebA-HQ-img").glob("*.jpg"):
        photograph.write_bytes(photograph.read_bytes()[:500])
    run = Run(["--exp_dir=out/run", *SIZES, "--workers=1", "--max_steps=9"], workplace)
    assert run.wait(timeout=60) == 2
    assert ".jpg: this photograph cannot be read" in run.output


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torch.distributed.launch", "torch.distributed.run"])
def test_two_process_command(workplace, launcher):
    argv = ["--exp_dir=out/two", "--batch_size=1", "--distributed_train", *RECIPE, *SIZES]
    command = [sys.executable, "-m", launcher, "--nproc_per_node=2", f"--master_port={free_port()}", SCRIPT, *argv]
    done = child_processes.run(command, timeout=400, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 2/2") == 1, "one process talks"
    (line,) = (workplace / "out" / "two" / "train.bash").read_text().splitlines()
    assert line.startswith(f"torchrun --nproc_per_node=2 scripts/train3d.py {argv[0]} "), "it starts both again"
    assert checkpoint(workplace / "out" / "two")["samples_seen"] == 4


@pytest.mark.slow
def test_two_nodes(workplace):
    """Two torchrun agents on the loopback device, one process each."""
    argv = ["--exp_dir=out/nodes", "--batch_size=1", "--use_multi_nodes", *RECIPE, *SIZES]
    port = free_port()
    agents = [child_processes.start(
        [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={rank}", "--nproc_per_node=1",
         "--master_addr=127.0.0.1", f"--master_port={port}", SCRIPT, *argv],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()) for rank in (0, 1)]
    outputs = [child_processes.finish(agent, timeout=400)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert "all processes are on one machine" not in outputs[0]
    assert checkpoint(workplace / "out" / "nodes")["samples_seen"] == 4


@pytest.mark.slow
def test_killed_rank_restarts_the_job(tmp_path):
    """torchrun starts both processes again, and they go on from the last checkpoint."""
    options = make_all(tmp_path)
    argv = [*options, f"--exp_dir={tmp_path / 'run'}", "--batch_size=1", "--max_steps=30", "--latest_interval=2",
            "--board_interval=5", "--val_interval=0", "--image_interval=1000"]
    latest = tmp_path / "run" / "checkpoints" / "latest_model.pt"
    agent = child_processes.start([sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
                                   "--max_restarts=2", f"--master_port={free_port()}", SCRIPT, *argv],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    end = time.monotonic() + 240
    while not latest.exists():
        assert time.monotonic() < end
        assert agent.poll() is None
        time.sleep(0.02)
    ranks = [process for process in psutil.Process(agent.pid).children() if SCRIPT in process.cmdline()]
    assert len(ranks) == 2
    ranks[-1].kill()
    output, _ = child_processes.finish(agent, timeout=400)
    assert agent.returncode == 0, output
    assert f"continuing {latest} after step" in output
    assert checkpoint(tmp_path / "run")["global_step"] == 30
    assert checkpoint(tmp_path / "run")["samples_seen"] == 60
