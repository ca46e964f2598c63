"""Several processes: the same training as one, and what launchers say."""

import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from launching import train, train_together
from tiny_training import make_all

from training.runtime.processes import Launch, choose_device, read_launch
from training.runtime.rendezvous import meet, slurm_rendezvous
from utils.errors import UserError


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("tiny"))


def checkpoint(exp_dir):
    return torch.load(exp_dir / "checkpoints" / "latest_model.pt", weights_only=True)


OTHER_WAY = ["--patch_shift=diagonal", "--use_cond_dis", "--train_decoder"]


@pytest.mark.parametrize("extra", [[], pytest.param(OTHER_WAY, marks=pytest.mark.slow)], ids=["default", "other way"])
def test_two_processes_are_one_with_twice_the_batch(options, tmp_path, extra):
    """Stochastic depth, patches, extreme poses and ray noise included; validation sums of uneven shares too.

    Parameters move by about 5e-4 in these five steps; rounding differs in the order of a sum of two: 1e-5.
    """
    common = [*options, *extra, "--max_steps=5", "--val_interval=5", "--learning_rate=1e-3", "--seed=4"]
    train_together([*common, "--batch_size=1", f"--exp_dir={tmp_path / 'two'}"], tmp_path, processes=2)
    train([*common, "--batch_size=2", f"--exp_dir={tmp_path / 'one'}"], tmp_path)
    two, one = checkpoint(tmp_path / "two"), checkpoint(tmp_path / "one")
    assert one["state_dict"]["encoder.head.weight"].abs().max() > 1e-4, "it starts at zero"
    for part in ("state_dict", "dis_state_dict"):
        for key, value in one[part].items():
            torch.testing.assert_close(two[part][key], value, rtol=0, atol=1e-5)
    assert two["samples_seen"] == one["samples_seen"] == 10
    assert two["best_val_loss"] == pytest.approx(one["best_val_loss"], abs=1e-5)
    assert len(two["rng"]) == 2


def test_accumulating_is_a_larger_batch(options, tmp_path):
    """Without a discriminator, whose spectral norm is refined with every micro-batch."""
    common = [*options, "--max_steps=3", "--val_interval=0", "--learning_rate=1e-3", "--dis_lambda=0"]
    train([*common, "--batch_size=1", "--grad_accum=4", f"--exp_dir={tmp_path / 'small'}"], tmp_path)
    train([*common, "--batch_size=4", f"--exp_dir={tmp_path / 'large'}"], tmp_path)
    small, large = checkpoint(tmp_path / "small"), checkpoint(tmp_path / "large")
    assert large["state_dict"]["encoder.head.weight"].abs().max() > 1e-4, "it starts at zero"
    for key, value in large["state_dict"].items():
        torch.testing.assert_close(small["state_dict"][key], value, rtol=0, atol=1e-5)


def test_launchers():
    assert read_launch({}) == Launch(0, 1)
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert read_launch(torchrun) == Launch(5, 8, 1, 4)
    assert read_launch({"RANK": "1", "WORLD_SIZE": "2"}, local_rank=1) == Launch(1, 2, 1, 1)
    srun = {"SLURM_PROCID": "9", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "41001",
            "SLURM_STEP_TASKS_PER_NODE": "8(x2)", "SLURM_STEP_NODELIST": "gpu-a[03-04],login"}
    assert read_launch(srun) == Launch(9, 16, 1, 8)
    assert slurm_rendezvous(srun) == {"MASTER_ADDR": "gpu-a03", "MASTER_PORT": "21001"}
    assert slurm_rendezvous({"SLURM_STEP_NODELIST": "node7"})["MASTER_ADDR"] == "node7"
    batch_script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"}
    assert read_launch(batch_script) == Launch(0, 1), "plain python in a batch script is alone"


def together(store, ranks, size):
    """Names that processes of these ranks, all alive at once, get from `meet`; None for those that wait in vain."""
    def one(rank):
        try:
            return meet(store, rank, size, datetime.timedelta(seconds=2 if len(ranks) == size else 0.4))
        except RuntimeError:
            return None

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, ranks))


def test_each_attempt_meets_under_a_name_of_its_own():
    """Whatever processes that are dead have left in the store: offers that were closed, or never."""
    store = dist.HashStore()
    names = []
    for size in (1, 3, 3, 2):
        found = together(store, list(range(size)), size)
        assert len(set(found)) == 1
        names.append(found[0])
        assert together(store, [1, 2], 3) == [None, None], "process 0 never came"
        assert together(store, [0, 2], 3) == [None, None], "process 1 never came"
        assert together(store, [2, 1, 0], 3)[0] is not None
    assert None not in names
    assert len(set(names)) == len(names)


def test_devices():
    assert choose_device("cpu", "0", Launch()) == torch.device("cpu")
    with pytest.raises(UserError, match="`device` gpu"):
        choose_device("gpu", "0", Launch())
    if torch.cuda.is_available():
        assert choose_device("auto", "0", Launch()) == torch.device("cuda", 0)
        with pytest.raises(UserError, match="--nproc_per_node"):
            choose_device("auto", "0", Launch(99, 100, 99, 100))
    else:
        assert choose_device("auto", "0", Launch()) == torch.device("cpu")
        with pytest.raises(UserError, match="finds no GPU"):
            choose_device("cuda", "0", Launch())
