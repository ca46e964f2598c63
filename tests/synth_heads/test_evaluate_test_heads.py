"""synth_heads/scripts/evaluate_test_heads.py from an empty folder, with the bundled weights."""

import pytest
import torch

from synth_heads.scripts import evaluate_test_heads


@pytest.mark.slow
def test_it_needs_nothing_but_the_repository(tmp_path, monkeypatch, capsys):
    """Heads are made, the bundled weights evaluated; the second run gives the same bytes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("criteria.perceptual.PRETRAINED_MODELS", tmp_path / "pretrained_models")
    command = ["--num_heads=3", "--test_output_size=16", "--pigan_infer_ray_step=4", "--workers=1", "--device=cpu"]
    evaluate_test_heads.main(command)
    table = tmp_path / "out/reproduce_synthheads/table.md"
    before = table.read_bytes()
    assert b"# SynthHeads, computer-made heads" in before
    assert b"other views: mIoU" in before
    assert b"depth, median error" in before
    assert b"- images: 3" in before
    assert b"FID" not in before, "its network is not there"
    table.unlink()
    evaluate_test_heads.main(command)
    assert "0 of them to render" in capsys.readouterr().out
    assert table.read_bytes() == before
