"""What people run into around a training: two starts, bad files, no memory, mpirun, a broken TensorBoard."""

import os
import signal
import sys

import cv2
import numpy as np
import pytest
import torch
from launching import Run, free_port, train
from tiny_training import make_all

from training.runtime.folder_lock import LOCK, folder_locked
from training.runtime.logs import RunLog
from training.runtime.processes import Launch, read_launch
from training.runtime.rendezvous import own_rendezvous
from utils.errors import UserError

QUIET = ("--val_interval=0", "--image_interval=1000", "--board_interval=1")


@pytest.fixture
def options(tmp_path):
    return [*make_all(tmp_path), *QUIET, f"--exp_dir={tmp_path / 'run'}"]


def checkpoint(folder):
    return torch.load(folder / "run" / "checkpoints" / "latest_model.pt", weights_only=True)


# --- one run per folder

class Slow:
    """A training that is still looking at its data when the second one starts."""

    def __call__(self):
        import time

        import training.build as module

        check = module.check_masks

        def slowly(data, sides, *others):
            while not (go := sides[0][0].parents[2] / "go").exists():
                time.sleep(0.02)
            go.unlink()
            return check(data, sides, *others)

        module.check_masks = slowly


def test_a_second_start_is_refused_before_the_first_step(options, tmp_path):
    first = Run([*options, "--max_steps=2"], tmp_path, damage=Slow())
    first.wait_for(lambda: (tmp_path / "run" / LOCK).exists() and (tmp_path / "run" / LOCK).read_text())
    for flag in ("--seed=7", "--auto_resume", "--overwrite"):
        other = Run([*options, "--max_steps=9", flag], tmp_path, name=flag)
        assert other.wait() == 2
        lines = other.output.splitlines()
        assert len(lines) == 1
        assert f"a run is going on in it (process {first.process.pid} on " in lines[0]
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    (tmp_path / "go").touch()
    assert first.wait() == 0, first.output
    assert not (tmp_path / "run" / LOCK).exists()
    assert checkpoint(tmp_path)["opts"]["max_steps"] == 2
    assert (tmp_path / "run" / "train.bash").read_text().count("\n") == 1


def test_the_lock_dies_with_its_process(options, tmp_path):
    """Killed, with loader processes that live a little longer."""
    run = Run([*options, "--max_steps=1000", "--latest_interval=1", "--workers=1"], tmp_path)
    run.wait_for(lambda: "step 2/" in run.output)
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()
    assert (tmp_path / "run" / LOCK).exists()
    train([*options, "--max_steps=1", "--overwrite"], tmp_path, name="again")


def test_folders_that_hold_nothing_go_again(tmp_path):
    with folder_locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK).is_file()
    assert not list(tmp_path.iterdir())
    (tmp_path / "c").mkdir()
    with folder_locked(tmp_path / "c" / "d"):
        (tmp_path / "c" / "d" / "kept").touch()
    assert [path.name for path in (tmp_path / "c" / "d").iterdir()] == ["kept"]


# --- bad files

def spoil(data):
    """Every kind of bad file among six samples; 1 and 5 are good."""
    (data / "mask" / "0.png").write_bytes(b"no image")
    photograph = data / "CelebA-HQ-img" / "2.jpg"
    photograph.write_bytes(photograph.read_bytes()[:-200])
    mask = cv2.imread(str(data / "mask" / "3.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(data / "mask" / "3.png"), np.where(mask == 1, 40, mask))
    mask = cv2.imread(str(data / "mask" / "4.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(data / "mask" / "4.png"), np.where(mask == 1, 0, mask))


def test_all_bad_files_are_named_before_the_first_step(options, tmp_path):
    spoil(tmp_path / "data")
    run = Run([*options, "--max_steps=9"], tmp_path)
    assert run.wait() == 2
    last = run.output.splitlines()[-1]
    assert last.startswith("error: ")
    for name in ("mask/0.png", "CelebA-HQ-img/2.jpg", "mask/3.png", "(3 files in all", "--train_paths_conf"):
        assert name in last
    assert "4.png" not in last, "it shows no face, which is no reason to stop"
    assert "step 1/" not in run.output
    assert not (tmp_path / "run").exists()


def test_masks_without_a_face_are_left_out(options, tmp_path):
    masks = tmp_path / "data" / "mask"
    for name in ("2.png", "4.png"):
        mask = cv2.imread(str(masks / name), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(masks / name), np.where(mask == 1, 0, mask))
    output = train([*options, "--max_steps=6"], tmp_path)
    assert "left out, since they show no face (or too little of one): 2.png, 4.png" in output


class GoneAfterThreeSteps:
    """A photograph is damaged while the training runs."""

    def __call__(self):
        import training.objectives.sem2nerf as module

        move, count = module.to_device, 0

        def moved(*arguments):
            nonlocal count
            count += 1
            if count > 3:
                raise UserError("5.jpg: this photograph cannot be read (gone)")
            return move(*arguments)

        module.to_device = moved


def test_what_was_trained_is_saved_when_a_file_goes_bad(options, tmp_path):
    argv = [*options, "--max_steps=6", "--latest_interval=100"]
    run = Run(argv, tmp_path, damage=GoneAfterThreeSteps())
    assert run.wait() == 2
    assert "error: 5.jpg: this photograph cannot be read (gone); what was trained up to step 3 is saved" in run.output
    assert checkpoint(tmp_path)["global_step"] == 3
    train([*argv, "--auto_resume"], tmp_path, name="again")
    resumed = checkpoint(tmp_path)
    train([*argv, "--overwrite"], tmp_path, name="whole")
    for key, value in checkpoint(tmp_path)["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][key])


# --- memory

class Full:
    def __call__(self):
        from models.encoders.swin import SwinEncoder

        def forward(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        SwinEncoder.forward = forward


def test_out_of_memory_in_training_is_one_line(options, tmp_path):
    run = Run([*options, "--max_steps=2"], tmp_path, damage=Full())
    assert run.wait() == 2
    errors = [line for line in run.output.splitlines() if line.startswith("error: ")]
    assert errors == ["error: the GPU is out of memory (2.00 GiB more were asked for); lower --batch_size, give "
                      "--sample_chunk 200000, or choose smaller sizes with --pigan_steps_conf"]
    assert "Traceback" not in run.output


# --- mpirun

def mpi(kind, rank, size=2):
    names = {"open": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                      "OMPI_COMM_WORLD_LOCAL_SIZE"),
             "hydra": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
             "mvapich": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
                         "MV2_COMM_WORLD_LOCAL_SIZE"),
             "bare": ("PMI_RANK", "PMI_SIZE")}[kind]
    return dict(zip(names, map(str, (rank, size, rank, size)), strict=False))


@pytest.mark.parametrize("kind", ["open", "hydra", "mvapich", "bare"])
def test_mpirun_is_understood(kind):
    assert read_launch(mpi(kind, 1)) == Launch(1, 2, 1, 2)
    # torchrun's own variables go first
    assert read_launch({**mpi(kind, 1), "RANK": "0", "WORLD_SIZE": "1"}).size == 1


def test_mpirun_in_a_batch_script():
    """Its helpers are srun's tasks, one per machine, and the processes inherit their variables."""
    slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    several = {**mpi("open", 5, 8), "OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "4", **slurm}
    assert read_launch(several) == Launch(5, 8, 1, 4)
    assert read_launch({**mpi("bare", 1), **slurm}).own_gpus, "srun --mpi=pmi2"
    with pytest.raises(UserError, match="MASTER_ADDR"):
        own_rendezvous({}, one_machine=False)
    one = own_rendezvous({"PMIX_NAMESPACE": "job7"}, one_machine=True)
    assert one == own_rendezvous({"PMIX_NAMESPACE": "job7"}, one_machine=True)
    assert one["MASTER_ADDR"] == "127.0.0.1"


def test_mpirun_trains_together(options, tmp_path):
    # a name of the job of its own, so that its port is free
    job = {"PMIX_NAMESPACE": f"test-{free_port()}"}
    runs = [Run([*options, "--max_steps=2", "--batch_size=1"], tmp_path, name=f"rank{rank}",
                environment={**mpi("open", rank), **job}) for rank in range(2)]
    assert [run.wait() for run in runs] == [0, 0], [run.output for run in runs]
    assert [run.output.count("step 2/2") for run in runs] == [1, 0]
    assert checkpoint(tmp_path)["samples_seen"] == 4


# --- TensorBoard

class BrokenCurves:
    """A TensorBoard that cannot be imported, or cannot write."""

    def __init__(self, at):
        self.at = at

    def __call__(self):
        import torch.utils.tensorboard as board

        if self.at == "import":
            sys.modules["torch.utils.tensorboard"] = None
            return

        def broken(*_, **__):
            raise OSError("No space left\non device")

        board.SummaryWriter.add_scalar = broken


@pytest.mark.parametrize("at", ["import", "scalar"])
def test_a_training_survives_tensorboard(options, tmp_path, at):
    output = train([*options, "--max_steps=3"], tmp_path, damage=BrokenCurves(at))
    assert output.count("TensorBoard fails") == 1
    assert "finished at step 3" in output
    assert "Traceback" not in output
    assert checkpoint(tmp_path)["global_step"] == 3


@pytest.mark.parametrize("method", ["__init__", "add_image", "close"])
def test_a_log_survives_tensorboard(tmp_path, monkeypatch, capsys, method):
    from torch.utils.tensorboard import SummaryWriter

    def broken(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(SummaryWriter, method, broken)
    log = RunLog(tmp_path, 0, 9, active=True, progress=False)
    for step in (1, 2):
        log.scalars("train", step, {"loss": 1.0})
        log.image("train", step, np.zeros((8, 8, 3), np.uint8))
    log.close()
    assert capsys.readouterr().out.count("TensorBoard fails") == 1
    assert len(list((tmp_path / "logs" / "images").rglob("*.jpg"))) == 2
