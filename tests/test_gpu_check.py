"""The command that does all the measuring on a GPU machine, at tiny sizes on a CPU."""

import json
import os
import sys
import tarfile
from pathlib import Path

import pytest
from child_processes import run
from tiny_training import make_data

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "dev" / "gpu_check.sh"
PARTS = ("machine", "render", "train_1", "training", "film")  # the demo takes minutes


@pytest.mark.slow
def test_its_parts_run(tmp_path):
    heads = str(make_data(tmp_path / "heads"))
    result = run(["bash", str(SCRIPT), str(tmp_path / "out"), "--tiny"], timeout=800,
                 env={**os.environ, "PYTHON": sys.executable, "HEADS": heads, "PARTS": " ".join(PARTS)})
    assert result.returncode == 0, result.stderr
    parts = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {name: part["outcome"] for name, part in parts.items()} == dict.fromkeys(PARTS, "done")
    assert parts["render"]["figures"]["exact, fp32: PSNR to the official layout, dB"] > 80
    assert parts["training"]["figures"]["steps"] == 4
    assert "| render | done |" in (tmp_path / "out" / "results.md").read_text()


def test_a_part_that_fails_is_named(tmp_path):
    """And the next one runs; one file holds all that they left."""
    result = run(["bash", str(SCRIPT), str(tmp_path), "--tiny"], timeout=120,
                 env={**os.environ, "PYTHON": sys.executable, "HEADS": "/nowhere", "PARTS": "training machine"})
    assert result.returncode == 0
    parts = json.loads((tmp_path / "results.json").read_text())
    assert parts["machine"]["outcome"] == "done"
    assert parts["training"]["outcome"] == "failed (status 2)"
    assert "/nowhere" in (tmp_path / "training.log").read_text()
    with tarfile.open(tmp_path / "results.tar.gz") as kept:
        assert {"./results.json", "./results.md", "./machine.log", "./training.log"} < set(kept.getnames())
