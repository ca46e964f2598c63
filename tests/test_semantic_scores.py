"""Scores of rendered label maps: what evaluate3d.py says of weights with a semantic head, and of others."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_evaluate3d import OPTS, SIZE, two_views_a_head
from tiny import tiny_checkpoint

from configs.data_configs import data_config
from configs.label_spaces import LABEL_SPACES
from datasets.masks.maps import MaskTransform
from evaluation.metrics.registry import Evaluation
from evaluation.metrics.semantic import METRIC, agreement
from evaluation.networks import Networks
from evaluation.rendering import Renders, RenderSettings, SavedViews
from evaluation.test_set import EvaluationSet
from evaluation.test_views import TestViews
from models.checkpoints import read_checkpoint
from models.config import ModelConfig
from models.pigan.cameras import Camera, camera_rays
from models.pigan.semantic_head import SemanticHead
from models.sem2nerf import Sem2NeRF
from models.semantic_files import save_semantic_head
from scripts import evaluate3d
from utils.errors import UserError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with data and a checkpoint."""
    folder = tmp_path_factory.mktemp("world")
    two_views_a_head(folder / "data", 3)
    tiny_checkpoint(folder / "net.pt", OPTS)
    return folder


def command(world, out, *more):
    """`more` may name other metrics."""
    return ["--checkpoint_path", str(world / "net.pt"), "--data_path", str(world / "data"), "--exp_dir", str(out),
            f"--test_output_size={SIZE}", "--pigan_infer_ray_step=4", "--workers=1", "--device=cpu", "--metrics=psnr",
            *more]


def test_label_maps_are_scored_where_the_weights_have_a_head(world, tmp_path):
    """Own and other views, all pixels together; the scores of the images stay as they are."""
    first = evaluate3d.main(command(world, tmp_path / "without"))
    assert not any("semantic" in name for name in first.results)
    net = Sem2NeRF.from_checkpoint(world / "net.pt")
    torch.manual_seed(1)
    save_semantic_head(tmp_path / "head.pt", SemanticHead((1, 5), "CelebAMask_HQ_merged", torch.randn(16, 32),
                                                          torch.zeros(16)), net.siren)
    given = f"--semantic_head={tmp_path / 'head.pt'}"
    report = evaluate3d.main(command(world, tmp_path / "out", "--metrics=semantic,psnr", given))
    scores = {name: value for name, value in report.results.items() if "semantic" in name}
    assert {"semantic_miou", "semantic_accuracy", "novel_semantic_miou", "semantic_iou_skin",
            "semantic_consistency"} <= set(scores)
    assert all(0 <= value <= 1 for value in scores.values())
    for kind, prefix in (("own", ""), ("novel", "novel_")):
        right = count = 0
        for path in (tmp_path / "out/renders" / kind).glob("*.npz"):
            with np.load(path) as file:
                found = file["labels"]
            number = int(path.stem) + (kind == "novel")
            labels = np.asarray(Image.open(world / "data/mask" / f"{number}.png"))
            frame = MaskTransform(320, 256, 64).at(SIZE)
            true = frame.apply(np.array(LABEL_SPACES["CelebAMask_HQ"].merge, np.uint8)[labels])
            right, count = right + (found == true).sum(), count + true.size
        assert scores[f"{prefix}semantic_accuracy"] == pytest.approx(right / count)
    assert report.results["psnr"] == pytest.approx(first.results["psnr"], abs=1e-9)
    table = (tmp_path / "out/results.md").read_text()
    assert "IoU of each class in the rendered label maps:" in table
    assert "mIoU of the rendered label map" in table
    assert "semantic_head_sha256" in report.protocol
    with pytest.raises(UserError, match=r"--metrics semantic: .*net.pt has no semantic head.*--semantic_head"):
        evaluate3d.main(command(world, tmp_path / "other", "--metrics=semantic"))


def test_weights_without_a_head_leave_a_note(world, tmp_path):
    """Where the metric was not asked for by name, as among the default ones."""
    model = ModelConfig.from_contents(read_checkpoint(world / "net.pt"))
    data = EvaluationSet.find(str(world / "data"), data_config("celebahq_seg_to_3dface"))
    settings = RenderSettings(world / "net.pt", model, "celebahq_seg_to_3dface", SIZE, 4, "exact", (8,), 1)
    tests = TestViews(data, Renders(tmp_path / "out/renders", settings))
    evaluation = Evaluation(tests, Networks(torch.device("cpu")), model.camera.fov_deg, 1)
    assert METRIC.compute(evaluation, ("semantic",)) == {}
    assert "no semantic head" in evaluation.notes[0]


def test_neighbouring_label_maps_agree_where_they_show_one_surface():
    """A sphere of two labels, split by the plane x = 0: all agrees; in swapped colours nothing does."""
    camera, other, size = Camera(1.5), Camera(1.6), 48

    def seen(camera, swap=False):
        origin, directions = camera_rays(camera, size, 12.0)
        along = directions @ origin
        inside = along**2 - (origin @ origin - 0.09**2)
        depth = (-along - inside.clamp(min=0).sqrt()).reshape(1, size, size)
        points = origin + directions * depth.reshape(-1, 1)
        labels = ((points[:, 0] > 0) ^ swap).to(torch.uint8).reshape(1, size, size)
        opacity = (inside > 0).float().reshape(1, size, size)
        return SavedViews(torch.zeros(1, 3, size, size), depth, opacity, labels)

    assert agreement(seen(camera), seen(other), camera, other, 12.0) > 0.98
    assert agreement(seen(camera), seen(other, swap=True), camera, other, 12.0) < 0.02
    nothing = seen(other)
    assert np.isnan(agreement(seen(camera), SavedViews(nothing.rgb, nothing.depth, nothing.opacity * 0, nothing.labels),
                              camera, other, 12.0))
