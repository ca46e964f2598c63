"""A training whose networks are recorded as CUDA graphs: the same numbers as without. `pytest -m gpu`"""

import warnings
from collections import Counter

import pytest
import torch
from test_criteria import random_backbone
from test_gpu_training import exact_convolutions, options  # noqa: F401 - fixtures

from options.train_options import parse
from training.loop import TrainingLoop
from training.objectives.sem2nerf import Sem2NeRFObjective
from training.runtime.logs import RunLog
from training.runtime.processes import World

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)


@pytest.mark.parametrize("way", [[], ["--train_rand_pose_prob=0.5"], ["--amp=bf16"], ["--use_cond_dis"]],
                         ids=["own poses", "extreme", "bf16", "conditional"])
def test_cuda_graphs(options, tmp_path, monkeypatch, way):  # noqa: F811
    """Losses and weights of four steps as without them, with a validation in between; recording warns of nothing."""
    played, replay = Counter(), torch.cuda.CUDAGraph.replay

    def counted(graph):
        played["graphs"] += 1
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    torch.save(random_backbone(), tmp_path / "alexnet.pth")
    options = [*options, "--lpips_lambda=0.8", f"--lpips_weights={tmp_path / 'alexnet.pth'}", "--ema=0.9",
               "--train_rand_pose_prob=0", *way]

    def run(graphs):
        played.clear()
        opts = parse([*options, f"--cuda_graphs={graphs}", f"--exp_dir={tmp_path / graphs}", "--board_interval=1000"])
        loop = TrainingLoop(Sem2NeRFObjective(opts, World(GPU), report=lambda text: None), World(GPU))
        log = RunLog(tmp_path / graphs, 0, 4, active=False, progress=False)
        for _ in range(4):
            loop._step(log)
            with loop._averaged():
                result = loop.objective.validate(lambda: False)
        loop.objective.close()
        assert result is not None
        return loop, result.loss

    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*cannot be recorded.*")
        mine, my_validation = run("true")
    # encoder, LPIPS, and the discriminator twice, in both directions; LPIPS where all samples have a photograph
    assert played["graphs"] in (range(24, 33) if "--train_rand_pose_prob=0.5" in way else [32])
    expected, validation = run("false")
    assert not played
    bound = 2e-2 if "--amp=bf16" in way else 1e-5
    for one, other in zip(mine.record._entries, expected.record._entries, strict=True):
        assert one.names == other.names
        torch.testing.assert_close(one.values, other.values, rtol=bound, atol=bound)
    assert my_validation == pytest.approx(validation, rel=bound)
    for part in ("state_dict", "train_state_dict", "dis_state_dict"):
        one, other = mine.contents()[part], expected.contents()[part]
        for key, value in other.items():
            torch.testing.assert_close(one[key], value, rtol=0, atol=1e-3 if "--amp=bf16" in way else 1e-5, msg=key)
