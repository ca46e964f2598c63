"""Evaluation on held-out heads: its arithmetic on cases made by hand, and the script on a tiny model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from configs.label_spaces import LABEL_SPACES
from evaluation.face_segmentation.small_network import SegmenterConfig, SmallFaceSegmenter
from evaluation.metrics.registry import Evaluation
from evaluation.networks import Networks
from evaluation.rendering import SavedViews
from evaluation.test_views import TrueView
from models.checkpoints import for_release, save_checkpoint
from models.config import ModelConfig
from models.sem2nerf import Sem2NeRF
from synth_heads.evaluation.edits import change_inside, edited_region
from synth_heads.evaluation.heads import TURN, HeldOutHeads, make_head
from synth_heads.evaluation.metrics import METRICS, code_spread
from synth_heads.evaluation.views import HeldOutViews
from synth_heads.generator.latent import COLOUR, LATENT_DIM, SHAPE
from synth_heads.scripts.eval_demo import GOALS, main

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


def test_masks_are_exchanged_within_small_groups(monkeypatch, tmp_path):
    """Twelve heads: three groups of four, in each of which every head gets the next one's mask."""
    heads = HeldOutHeads(tmp_path, 12, 0, 16)
    monkeypatch.setattr(HeldOutHeads, "head", lambda self, number: SimpleNamespace(angles=np.full((3, 2), number)))
    others = [int(mask.path.stem) for mask in heads.shuffled.masks]
    assert others == [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8]
    assert [mask.pose[0] for mask in heads.shuffled.masks] == list(range(12)), "at its own pose"
    assert [mask.path.stem for mask in HeldOutHeads(tmp_path, 1, 0, 16).shuffled.masks] == ["1"]


class PaintedViews(HeldOutViews):
    """One head of one label, which the model paints in grey; another mask makes it white."""

    def __init__(self):
        self.codes = []

    def __len__(self):
        return 1

    def numbers(self, what, count=None):
        return range(1 if count is None else count)

    def truth(self, kind, index):
        return [TrueView(torch.full((3, 4, 4), 128, dtype=torch.uint8), torch.ones(4, 4, dtype=torch.uint8), None)]

    def labels(self, kind, index, merged=True):
        return torch.ones(6 if kind == "styles" else 1, 4, 4, dtype=torch.uint8)

    def views(self, kind, index):
        rgb = torch.full((6 if kind == "styles" else 1, 3, 4, 4), 0.1)
        if kind == "styles":
            rgb[:3] = 0.9
        return SavedViews(rgb, rgb[:, 0], rgb[:, 0])

    def shuffled(self, index):
        rgb = torch.full((1, 3, 4, 4), 0.9)
        return SavedViews(rgb, rgb[:, 0], rgb[:, 0])


class Threshold:
    """White is label 2, all else label 1."""

    def segment(self, images):
        return torch.where(images[:, 0] > 0.5, 2, 1).to(torch.uint8)


def test_metrics_of_held_out_heads_by_hand():
    networks = Networks(torch.device("cpu"), face_segmenter=Threshold())
    evaluation = Evaluation(PaintedViews(), networks, 12.0, style_masks=1,
                            results={"psnr_matched": 22.0, "novel_psnr_matched": 21.0})
    evaluation.shared["edits"] = {"a": 0.5, "b": 0.9}
    chosen = {name: metric for metric in METRICS for name in metric.needs}
    scores = {}
    for name in ("shuffled", "novel_drop", "truth", "style_alignment", "edits"):
        scores |= chosen[name].compute(evaluation, (name,))
        assert set(scores) >= set(chosen[name].scores)
    # the truth is 128 of 255, 1/255 in [-1, 1]
    assert scores["shuffled_psnr_drop"] == pytest.approx(20 * np.log10((0.9 - 1 / 255) / (0.1 - 1 / 255)), rel=1e-6)
    assert scores["shuffled_miou"] == 0
    assert scores["novel_psnr_drop"] == 1
    assert scores["truth_miou"] == scores["unstyled_miou"] == 1
    assert scores["styled_pixel_accuracy"] == scores["style_miou_drop"] == 0.5
    assert (scores["edit_fraction_least"], scores["edit_fraction_mean"]) == (0.5, pytest.approx(0.7))


def test_held_out_heads_are_what_they_say():
    head = make_head(3, seed=1001, size=32)
    assert (head.plain_z[COLOUR] == 0).all()
    np.testing.assert_array_equal(head.plain_z[SHAPE], head.z[SHAPE])
    np.testing.assert_allclose(head.angles[1:, 0] - head.angles[0, 0], [-TURN, TURN])
    np.testing.assert_array_equal(head.free.labels, head.views[0].labels)
    assert (head.free.rgb != head.views[0].rgb).any()
    # what the camera sees is the central four fifths of the mask on disk
    central = head.mask[51:-51, 51:-51][6::13, 6::13][:32, :32]
    assert (central == head.views[0].labels).mean() > 0.85
    assert set(np.unique(head.mask)) <= set(range(len(LABEL_SPACES["CelebAMask_HQ"])))


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
    SmallFaceSegmenter(SegmenterConfig(widths=(4, 4, 4, 4))).save(tmp_path / "segmenter.pt")
    return tmp_path


def test_script(model, capsys):
    main(["--checkpoint_path", str(model / "model.pt"), "--segmenter_weights", str(model / "segmenter.pt"),
          "--num_heads", "2", "--style_heads", "1", "--size", "16", "--workers", "0", "--sampler", "exact",
          "--json", str(model / "figures.json"), "--sheet", str(model / "sheet.png")])
    shown = capsys.readouterr().out
    assert "| decoder alone, from the heads' own codes, 64 px: PSNR, dB |" in shown
    assert "edit 90004_nose: " in shown
    content = json.loads((model / "figures.json").read_text())
    assert set(content["goals_met"]) == set(GOALS)
    assert set(GOALS) < set(content["results"])
    assert content["protocol"]["images"] == 2
    assert content["protocol"]["masks"] == "computer-made heads that no training drew, seed 1001, in one palette"
    edits = content["protocol"]["edits"]
    assert all(0 <= fraction <= 1 for fraction in edits.values())
    assert len(edits) == len(list((ROOT / "data/CelebAMask-HQ/mask_samples").glob("*_*.png")))
    sheet = np.asarray(Image.open(model / "sheet.png"))
    # below the captions two heads, then the edits: mask, true image, own, two novel views, segmented, six styles
    assert sheet.shape[0] > (2 + len(edits)) * 96
    assert sheet.shape[1] > 12 * 96
