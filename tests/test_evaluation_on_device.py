"""A whole evaluation on a device beside the same evaluation on the CPU: renderings, networks and numbers."""

import pytest
import torch
from test_criteria import random_backbone
from tiny import FACE_OPTS, tiny_checkpoint
from tiny_training import make_data

from evaluation import rendering
from evaluation.face_segmentation.small_network import SegmenterConfig, SmallFaceSegmenter
from scripts import evaluate3d

OPTS = {**FACE_OPTS, "src_input_size": 64, "image_load_size": 320, "image_crop_size": 256}
METRICS = "miou,psnr,diversity,lpips_diversity,view_consistency"
SCORES = {"miou", "pixel_accuracy", "psnr", "lpips", "diversity_l2", "view_error", "view_share"}


def test_an_evaluation_is_that_of_the_cpu(tmp_path, pretend, monkeypatch):
    data = make_data(tmp_path / "data", 2)
    torch.save(random_backbone(), tmp_path / "alexnet.pth")
    torch.manual_seed(0)
    SmallFaceSegmenter(SegmenterConfig(16, 32, (4, 4, 4, 4))).save(tmp_path / "segmenter.pt")
    checkpoint, results = tiny_checkpoint(tmp_path / "net.pt", OPTS), []
    # in this process: another one would not know the device
    monkeypatch.setattr(rendering, "process_map", lambda function, jobs, *_: map(function, jobs))
    for device in (pretend.device, torch.device("cpu")):
        monkeypatch.setattr("utils.device.pick_devices", lambda *_, device=device: [device])
        monkeypatch.setattr(rendering, "own_value", lambda device=device: str(device))
        with pretend.counting() as waits:
            report = evaluate3d.main([
                f"--checkpoint_path={checkpoint}", f"--data_path={data}", f"--exp_dir={tmp_path / device.type}",
                f"--segmenter_weights={tmp_path / 'segmenter.pt'}", f"--lpips_weights={tmp_path / 'alexnet.pth'}",
                "--test_output_size=24", "--pigan_infer_ray_step=4", "--style_masks=1", f"--metrics={METRICS}"])
        assert bool(waits["download"]) == (device.type != "cpu")  # it is there that they were made
        results.append(report.results)
    assert SCORES <= results[0].keys() == results[1].keys()
    assert results[0] == pytest.approx(results[1], rel=1e-3, nan_ok=True)
