"""The examination of a face model: its arithmetic on cases made by hand, and the script on a tiny model."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT

from configs.label_spaces import LABEL_SPACES
from evaluation.face_segmentation.small_network import FaceParser, ParserConfig
from models.checkpoints import for_release, save_checkpoint
from models.config import ModelConfig
from models.sem2nerf import Sem2NeRF
from synth_heads.evaluation.examination import Tally, change_inside, code_spread, edited_region, summary
from synth_heads.evaluation.trials import TURN, make_trial
from synth_heads.generator.latent import COLOUR, LATENT_DIM, SHAPE
from synth_heads.scripts.eval_demo import main

OPTS = {"encoder_type": "SwinEncoderNano", "input_nc": 18, "src_input_size": 64, "pigan_hidden_dim": 8,
        "pigan_zdim": LATENT_DIM, "encoder_not_zplus": True, "start_from_latent_avg": False, "use_contour": True,
        "use_merged_labels": True, "pigan_curriculum_type": "CelebAMask_HQ", "exp_dir": "/somewhere"}


def test_the_change_is_counted_where_it_lies():
    before, after = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    after[:, 0, 0], after[:, 3, 3] = 0.9, -0.1
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[:2, :2] = True
    assert change_inside(before, after, region) == pytest.approx(0.9)
    assert change_inside(before, before, region) == 0


def test_an_edited_region_grows_by_its_margin():
    before, after = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    after[4, 4] = 3
    region = edited_region(before, after, margin=2)
    assert region[4].tolist() == [False, False, True, True, True, True, True, False, False]
    assert region[:, 4].tolist() == region[4].tolist()
    assert not region[2, 2], "a disc, not a square"
    assert not edited_region(before, before, margin=2).any()


def test_spread_of_codes():
    true = [np.array([0.0, 10.0]), np.array([2.0, 30.0])]  # standard deviations 1 and 10
    assert code_spread(true, true) == 1
    assert code_spread([np.array([0.0, 10.0]), np.array([1.0, 20.0])], true) == pytest.approx(0.5)
    assert code_spread([true[0], true[0]], true) == 0, "a collapsed encoder"


def test_summary_adds_up_over_processes():
    parts = []
    for psnr, label in ((20.0, 0), (22.0, 1)):
        tally = Tally()
        for name in ("own_psnr", "shuffled_psnr", "own_psnr_matched", "novel_psnr_matched"):
            tally.add(name, psnr - 4 * (name == "shuffled_psnr"))
        tally.parsed("own", torch.full((2, 2), label, dtype=torch.uint8), np.zeros((2, 2), np.uint8))
        tally.predicted_codes.append(np.array([psnr]))
        tally.true_codes.append(np.array([psnr]))
        parts.append(tally)
    parts[0].merge(parts[1])
    figures = summary(parts[0], {"a": 0.5, "b": 0.9})
    assert figures["own_psnr"] == 21
    assert figures["shuffled_loss"] == 4
    assert figures["novel_loss"] == 0
    assert figures["own_accuracy"] == 0.5
    assert figures["code_spread"] == 1
    assert (figures["edit_share_least"], figures["edit_share_mean"]) == (0.5, pytest.approx(0.7))


def test_trials_are_what_they_say():
    trial = make_trial(3, seed=1001, size=32)
    assert (trial.plain_z[COLOUR] == 0).all()
    np.testing.assert_array_equal(trial.plain_z[SHAPE], trial.z[SHAPE])
    np.testing.assert_allclose(trial.angles[1:, 0] - trial.angles[0, 0], [-TURN, TURN])
    np.testing.assert_array_equal(trial.free.labels, trial.views[0].labels)
    assert (trial.free.rgb != trial.views[0].rgb).any()
    # what the camera sees is the central four fifths of the mask on disk
    central = trial.mask[51:-51, 51:-51][6::13, 6::13][:32, :32]
    assert (central == trial.views[0].labels).mean() > 0.85
    assert set(np.unique(trial.mask)) <= set(range(len(LABEL_SPACES["CelebAMask_HQ"])))


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    net = Sem2NeRF(ModelConfig.from_opts(OPTS))
    with torch.no_grad():
        net.siren.final_layer.weight.mul_(300)
    torch.nn.init.normal_(net.encoder.head.weight)
    contents = {"format": "sem2nerf", "state_dict": net.state_dict(), "opts": OPTS, "global_step": 1,
                "latent_avg": (net.latent_avg.frequencies, net.latent_avg.phase_shifts)}
    save_checkpoint(tmp_path / "model.pt", for_release(contents))
    parser = FaceParser(ParserConfig(widths=(4, 4, 4, 4)))
    parser.save(tmp_path / "parser.pt")
    return tmp_path


def test_script(model, capsys):
    main(["--checkpoint_path", str(model / "model.pt"), "--parser_weights", str(model / "parser.pt"),
          "--num_heads", "2", "--style_heads", "1", "--size", "16", "--workers", "1", "--sampler", "exact",
          "--json", str(model / "figures.json"), "--sheet", str(model / "sheet.png")])
    shown = capsys.readouterr().out
    assert "| decoder alone, its own codes, 64 px: PSNR, dB |" in shown
    content = json.loads((model / "figures.json").read_text())
    assert set(content["goals_met"]) <= set(content["figures"])
    assert len(content["goals_met"]) == 13
    assert all(0 <= share <= 1 for share in content["edits"].values())
    assert len(content["edits"]) == len(list((ROOT / "data/CelebAMask-HQ/mask_samples").glob("*_*.png")))
    assert (model / "sheet.png").stat().st_size > 1000
