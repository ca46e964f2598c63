"""evaluate_edits.py: edits are true ones of the generator, and the table has their means."""

import json

import numpy as np
import pytest
from test_editing import random_head
from tiny import tiny_checkpoint, tiny_model

from models.checkpoints import read_checkpoint, save_checkpoint
from synth_heads.evaluation.view_edits import EDITS, Scores, make_trial, sheet_row, try_edit
from synth_heads.generator.labels import EYE_G, HAIR, MOUTH
from synth_heads.scripts.evaluate_edits import main
from utils.errors import UserError


def test_edits_change_the_part_that_they_are_named_after():
    for name, label, sign in (("hair", HAIR, 1), ("mouth", MOUTH, -1), ("glasses", EYE_G, 1)):
        trial = make_trial(2, name, seed=1001, size=64)
        for before, after in (trial.side, trial.other):
            assert sign * (int((after == label).sum()) - int((before == label).sum())) > 0, name
            assert 0 < (before != after).mean() < 0.5
    assert set(EDITS) == {"hair", "mouth", "glasses"}


def test_scores_are_means_by_edit_and_way():
    net = tiny_model(contrast=20)
    net.semantic_head = random_head()
    trial, scores = make_trial(2, "glasses", seed=1001, size=32), Scores()
    tried = dict(try_edit(net, trial, steps=1))
    assert list(tried) == ["delta", "refined"]
    row = tried["delta"]
    assert row.report.region == pytest.approx(np.mean(trial.side[0] != trial.side[1]))
    scores.add(0, "glasses", "delta", row)
    scores.add(1, "glasses", "delta", row._replace(seconds=row.seconds + 2))
    mean, = scores.means()
    assert mean["heads"] == 2
    assert mean["seconds"] == pytest.approx(row.seconds + 1)
    assert mean["wanted"] == pytest.approx(row.report.wanted)
    assert scores.table().splitlines()[2].startswith(f"| glasses | delta | 2 | {row.report.region:.3f} |")
    assert len(json.loads(scores.as_json())["rows"]) == 2
    assert len(sheet_row(tried, net.semantic_head.space)) == 4 + 2 * 3


def test_command(tmp_path, capsys):
    path = tiny_checkpoint(tmp_path / "tiny_model_1.pt")
    options = ["--checkpoint_path", str(path), "--num_heads", "1", "--size", "32", "--refine_steps", "0"]
    with pytest.raises(UserError, match="no semantic head"):
        main(options)
    save_checkpoint(path, {**read_checkpoint(path), "semantic": random_head().state()})
    main([*options, "--json", str(tmp_path / "scores.json"), "--sheet", str(tmp_path / "sheet.png")])
    assert len(json.loads((tmp_path / "scores.json").read_text())["rows"]) == len(EDITS)
    assert "| hair | delta | 1 |" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").is_file()
