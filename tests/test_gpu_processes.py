"""Whole trainings on a real GPU: a resumed one, and two processes of which one fails. `pytest -m gpu`"""

import functools

import pytest
import torch
from launching import Run, free_port
from test_distributed import fail_or_wait
from tiny_training import make_all

from training.runtime.failure import EXIT_CODE

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("extra", [[], ["--amp=bf16", "--field_precision=tf32"]], ids=["fp32", "bf16"])
def test_a_resumed_run_is_the_same_run(options, tmp_path, extra):
    """Bit for bit, with discriminator, extreme poses and an average of the weights."""
    common = [*options, *extra, "--device=cuda", "--ema=0.9", "--val_interval=0", "--workers=1"]

    def run(folder, steps, *more):
        process = Run([*common, f"--exp_dir={tmp_path / folder}", f"--max_steps={steps}", *more], tmp_path, name=folder)
        assert process.wait() == 0, process.output
        return torch.load(tmp_path / folder / "checkpoints" / "latest_model.pt", weights_only=True)

    whole = run("whole", 6)
    run("parts", 3)
    resumed = run("parts", 6, "--continue_training")
    for part in ("state_dict", "train_state_dict", "dis_state_dict"):
        for key, value in whole[part].items():
            assert torch.equal(resumed[part][key], value), f"{part} {key}"


def share_one_gpu(damage):
    """In a process of a training: all processes compute on the first GPU, which NCCL refuses."""
    import torch.distributed as dist

    from training.runtime import processes

    join = dist.init_process_group
    dist.init_process_group = lambda backend, **settings: join("gloo", **{**settings, "device_id": None})
    processes.pick_local_device = lambda *_: GPU
    damage()


def test_two_processes_of_which_one_fails(options, tmp_path):
    """The failing one says why, and the other one, which waits, ends within 30 seconds."""
    port = str(free_port())
    runs = [Run([*options, "--device=cuda", f"--exp_dir={tmp_path / 'run'}", "--batch_size=1", "--max_steps=9"],
                tmp_path, name=f"rank{rank}",
                damage=functools.partial(share_one_gpu, functools.partial(fail_or_wait, 1)),
                environment={"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2",
                             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}) for rank in (0, 1)]
    assert runs[1].wait() == 2, runs[1].output
    assert runs[0].wait(timeout=30) == EXIT_CODE
    assert runs[1].output.splitlines()[-1].startswith("error: --data_root broken: this cannot be read")
