"""A training step on a device: the CPU's numbers, and no waiting for what is being computed."""

import pytest
import torch
from tiny_training import make_all

from options.train_options import parse
from training.loop import TrainingLoop
from training.objectives.sem2nerf import Sem2NeRFObjective
from training.runtime.logs import RunLog
from training.runtime.processes import World


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("tiny"))


def trained(options, folder, device, steps, counting=None):
    """A run of some steps; the waits of each, if they are counted."""
    opts = parse([*options, f"--exp_dir={folder}", "--board_interval=1000", "--image_interval=1000"])
    loop = TrainingLoop(Sem2NeRFObjective(opts, World(device), report=lambda text: None), World(device))
    log, waits = RunLog(folder, 0, steps, active=False, progress=False), []
    for _ in range(steps):
        if counting is None:
            loop._step(log)
            continue
        with counting() as counted:
            loop._step(log)
        waits.append(counted)
    loop.objective.close()
    return loop, waits


WAYS = {
    "paper": ["--train_rand_pose_prob=0.5"],
    "accumulated": ["--grad_accum=2", "--batch_size=1", "--ema=0.9", "--grad_clip=1"],
    "other": ["--pigan_train_hs", "--use_cond_dis", "--encoder_output=z", "--patch_shift=diagonal", "--l1_lambda=1"],
}


@pytest.mark.parametrize("way", WAYS)
def test_on_a_device_as_on_a_cpu(options, tmp_path, pretend, way):
    """Losses and weights after three steps, and how often each step waits: once, for how many samples can be seen, in
    each micro-batch.

    Weights move by 1e-4 a step, and rounding differs where blocks of points are larger.
    """
    options = [*options, *WAYS[way]]
    loop, waits = trained(options, tmp_path / "device", pretend.device, 3, pretend.counting)
    reference, _ = trained(options, tmp_path / "cpu", torch.device("cpu"), 3)
    assert all(sum(counted.values()) == loop.opts.grad_accum for counted in waits), waits
    for mine, expected in zip(loop.record._entries, reference.record._entries, strict=True):
        assert (mine.names, mine.samples) == (expected.names, expected.samples)
        torch.testing.assert_close(mine.values.cpu(), expected.values, rtol=1e-4, atol=1e-6)
    for part in ("state_dict", "dis_state_dict"):
        mine, expected = loop.contents()[part], reference.contents()[part]
        for key, value in expected.items():
            torch.testing.assert_close(mine[key].cpu(), value, rtol=0, atol=3e-6, msg=key)
