"""The demo model's whole chain, from nothing to its examination, at a tiny size."""

import json

import child_processes
import pytest
from conftest import ROOT

from models.sem2nerf import Sem2NeRF


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two whole chains, on cores that other tests use too
def test_the_chain_ends_with_a_model_and_its_figures(tmp_path):
    script = ROOT / "synth_heads/scripts/train_demo.sh"
    done = child_processes.run(["bash", script, "--smoke", tmp_path], timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    net = Sem2NeRF.from_checkpoint(tmp_path / "sem2nerf_demo.pt")
    assert net.config.encoder_predicts_z
    assert net.semantic_head is not None
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["protocol"]["images"] == 2
    assert len(figures["goals_met"]) == 13
    again = child_processes.run(["bash", script, "--smoke", tmp_path], timeout=900)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "after step 40" in again.stdout, "what was trained is kept"
