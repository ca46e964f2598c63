"""The choice of devices, with as many GPUs as a test says there are."""

import pytest
import torch

from training.runtime.processes import Launch, read_launch
from utils import device
from utils.device import pick_device, pick_devices, pick_local_device
from utils.errors import UserError


@pytest.fixture
def gpus(monkeypatch):
    """`gpus(n)`: from now on PyTorch finds n GPUs."""
    return lambda count: monkeypatch.setattr(device, "visible_gpus", lambda: count)


@pytest.mark.parametrize(("name", "gpu_ids", "expected"), [
    ("auto", "0", ["cuda:0"]),
    ("auto", "2", ["cuda:2"]),
    ("auto", "1, 3", ["cuda:1", "cuda:3"]),
    ("cuda", "0", ["cuda:0"]),
    ("cuda", "1", ["cuda:1"]),
    ("cuda", "1,3", ["cuda:1", "cuda:3"]),
    ("cuda:2", "0,1", ["cuda:2"]),
    ("cpu", "0,1", ["cpu"]),
    ("auto", "-1", ["cpu"]),
])
def test_devices_of_one_program(gpus, name, gpu_ids, expected):
    gpus(4)
    assert [str(found) for found in pick_devices(name, gpu_ids)] == expected
    assert str(pick_device(name, gpu_ids)) == expected[0]


def test_without_a_gpu(gpus):
    gpus(0)
    assert pick_devices("auto", "0,1") == [torch.device("cpu")]
    assert pick_local_device("auto", 1) == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match=f"`device` {name}: PyTorch finds no GPU"):
            pick_devices(name)


@pytest.mark.parametrize(("name", "gpu_ids", "message"), [
    ("gpu", "0", "`device` gpu: give auto"), ("cuda:", "0", "`device` cuda:: give"), ("cuda:x", "0", "`device` cuda:x"),
    ("cpu:0", "0", "`device` cpu:0"), ("cuda:2", "0", "`device` cuda:2: GPU 2 .* finds 2 here"),
    ("cuda", "0,2", "`gpu_ids` 0,2: GPU 2 .* finds 2 here"), ("auto", "x", "`gpu_ids` x: give GPU numbers"),
    ("auto", ",", "`gpu_ids` ,: give GPU numbers"),
])
def test_mistakes(gpus, name, gpu_ids, message):
    gpus(2)
    with pytest.raises(UserError, match=message):
        pick_devices(name, gpu_ids)


def launch_device(launch: Launch, name: str = "auto") -> str:
    return str(pick_local_device(name, launch.local_rank, launch.own_gpus))


def test_each_process_has_a_gpu(gpus):
    """torchrun shows every process all GPUs; srun all of them or, with --gpus-per-task=1, one as number 0."""
    torchrun = read_launch({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"})
    srun = read_launch({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1",
                        "SLURM_STEP_TASKS_PER_NODE": "2(x2)"})
    gpus(2)
    assert launch_device(torchrun) == launch_device(torchrun, "cuda") == launch_device(srun) == "cuda:1"
    assert launch_device(srun, "cpu") == "cpu"
    gpus(1)
    assert launch_device(srun) == "cuda:0"
    with pytest.raises(UserError, match=r"process 1 of this machine: GPU 1 .* finds 1 here"):
        launch_device(torchrun)
    with pytest.raises(UserError, match="`device` gpu"):
        launch_device(srun, "gpu")
