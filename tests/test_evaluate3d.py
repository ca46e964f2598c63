"""scripts/evaluate3d.py on painted heads and a tiny model: numbers, reuse, shares, and what is said when files lack."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from tiny import FACE_OPTS, tiny_checkpoint
from tiny_training import make_data

from configs.data_configs import data_config
from datasets.masks.maps import MaskTransform
from evaluation import metrics, rendering
from evaluation.face_segmentation.small_network import SegmenterConfig, SmallFaceSegmenter
from evaluation.metrics.registry import NEEDS, all_metrics, score_meanings
from evaluation.report import Report, number
from evaluation.run import check_data
from evaluation.test_set import EvaluationSet
from scripts import evaluate3d
from utils.errors import UserError
from utils.parallel import own_value, process_map

SIZE = 24
OPTS = {**FACE_OPTS, "src_input_size": 64, "image_load_size": 320, "image_crop_size": 256}


def two_views_a_head(root, heads=6):
    """Painted heads in the numbering of SynthHeads, with latents and depth: views 0 and 1 of each head."""
    make_data(root, heads)
    for folder, suffix in (("mask", ".png"), ("CelebA-HQ-img", ".jpg")):
        for head in range(heads - 1, -1, -1):
            image = root / folder / f"{head}{suffix}"
            for view in (1, 0):
                shutil.copy(image, root / folder / f"t{head * 100 + view}{suffix}")
            image.unlink()
        for file in list((root / folder).glob("t*")):
            file.rename(file.with_name(file.name[1:]))
    ids = np.array([[head * 100, head * 100 + 1] for head in range(heads)])
    np.savez(root / "latents.npz", z=np.zeros((heads, 4), np.float32), ids=ids,
             camera=np.full((heads, 2, 2), np.pi / 2, np.float32))
    lines = [f"{identity}.jpg {10 * view - 4 * head} 2 0" for head, pair in enumerate(ids)
             for view, identity in enumerate(pair)]
    (root / "CelebAMask-HQ-pose-anno.txt").write_text("\n".join([str(len(lines)), "yaw pitch roll", *lines]) + "\n")
    (root / "depth").mkdir()
    for identity in ids.ravel():
        mask = np.asarray(Image.open(root / "mask" / f"{identity}.png"))
        depth = np.where(mask > 0, 48_000 + np.arange(128)[:, None] * 20, 0).astype(np.uint16)
        cv2.imwrite(str(root / "depth" / f"{identity}.png"), depth)
    (root / "test_paths.txt").write_text("".join(f"{head * 100}.png\n" for head in range(heads)))
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with data, checkpoint and face segmenter, and the command that evaluates them."""
    folder = tmp_path_factory.mktemp("world")
    two_views_a_head(folder / "data")
    tiny_checkpoint(folder / "net.pt", OPTS)
    torch.manual_seed(0)
    SmallFaceSegmenter(SegmenterConfig(16, 32, (4, 4, 4, 4))).save(folder / "segmenter.pt")
    return folder


def command(world, out, *more):
    return ["--checkpoint_path", str(world / "net.pt"), "--data_path", str(world / "data"), "--exp_dir", str(out),
            "--segmenter_weights", str(world / "segmenter.pt"), f"--test_output_size={SIZE}",
            "--pigan_infer_ray_step=4", "--style_masks=2", "--workers=1", "--device=cpu", *more]


@pytest.fixture(scope="module")
def first(world):
    """One whole evaluation."""
    evaluate3d.main(command(world, world / "first", "--json", str(world / "numbers.json")))
    return json.loads((world / "numbers.json").read_text())


def test_everything_that_needs_no_files(world, first):
    results = first["results"]
    for name in ("miou", "pixel_accuracy", "novel_miou", "psnr", "ssim", "psnr_matched", "depth_error", "novel_psnr",
                 "novel_depth_error", "diversity_l2", "view_error", "view_share"):
        assert isinstance(results[name], float), name
    assert results["psnr_matched"] > results["psnr"]
    assert first["protocol"]["images"] == 6
    assert first["protocol"]["image_size"] == SIZE
    assert len(first["protocol"]["checkpoint_sha256"]) == 64
    assert any("pose: too few masks" in note for note in first["notes"])
    table = (world / "first/results.md").read_text()
    assert f"| {score_meanings()['psnr'][0]} | {number(results['psnr'])} | higher |" in table
    assert "checkpoint sha256" in table
    sheet = np.asarray(Image.open(world / "first/sheet.png"))
    assert sheet.shape[1] > 10 * 96, "mask, image, three views, segmented, six styles"


def test_the_same_numbers_after_a_kill(world, first, tmp_path, monkeypatch):
    """Stopped in the middle of rendering, continued with two processes: the same bytes, and nothing rendered twice."""
    done = []

    def stopping(renders, *arguments):
        for name in real(renders, *arguments):
            done.append(name)
            if len(done) == 2:
                raise KeyboardInterrupt
            yield name

    real = rendering.Renders.render_missing
    monkeypatch.setattr(rendering.Renders, "render_missing", stopping)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        evaluate3d.main(command(world, out))
    monkeypatch.undo()
    assert not (out / "results.json").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("renders/*/*.npz")}
    assert before
    evaluate3d.main([*command(world, out), "--workers=2"])
    assert all(path.stat().st_mtime_ns == moment for path, moment in before.items())
    assert (out / "results.json").read_bytes() == (world / "numbers.json").read_bytes()


def test_more_metrics_render_only_what_is_missing(world, tmp_path, capsys):
    """Parts of two machines with one disk, then all of the numbers."""
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert evaluate3d.main(command(world, out, "--metrics=psnr", f"--shard={part}")) is None
    assert len(list(out.glob("renders/own/*.npz"))) == 6
    assert "6 of them to render" in capsys.readouterr().out
    assert not (out / "results.json").exists()
    report = evaluate3d.main(command(world, out, "--metrics=psnr,view_consistency"))
    assert "6 of them to render" in capsys.readouterr().out, "the neighbouring views"
    assert {"psnr", "view_error"} <= set(report.results)
    with pytest.raises(UserError, match="holds renders with image_size 24, not 16; give another folder"):
        evaluate3d.main(command(world, out, "--metrics=psnr", "--test_output_size=16"))


def test_truth_is_framed_as_the_camera_sees_it(world):
    """128 pixels on disk, 160 : 128 of the framing: the crop takes the middle, depth and labels alike."""
    data = EvaluationSet.find(world / "data", data_config("celebahq_seg_to_3dface"))
    transform = MaskTransform(320, 256, 64)
    item, mask = data.truth(transform, 102)[0], data.masks[0]
    depth = data.depth(mask.path, transform, 102)
    assert item["label"].shape == depth.shape == (102, 102)
    assert (depth.isfinite() == (item["label"] > 0)).float().mean() > 0.99
    assert depth[51, 51].item() == pytest.approx((48_000 + 64 * 20) / 50_000, abs=0.001)
    assert mask.novel[0].path.name == "1.png"
    assert mask.novel[0].pose[0] == pytest.approx(np.radians(80))
    assert data.source == "own split (test_paths.txt)"


def test_missing_files_are_named_before_anything_is_rendered(world, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("criteria.perceptual.PRETRAINED_MODELS", tmp_path)
    for names, expected in (
        ("fid", "weights-inception-2015-12-05-6726825d.pth"),
        ("is,psnr", "weights-inception-2015-12-05-6726825d.pth"),
        ("lpips_diversity", "alexnet-owt-7be5be79.pth.*leave lpips_diversity out of --metrics"),
    ):
        with pytest.raises(UserError, match=expected) as caught:
            evaluate3d.main(command(world, tmp_path / "out", f"--metrics={names}"))
        assert "\n" not in str(caught.value)
    arguments = command(world, tmp_path / "out", "--metrics=miou", "--face_segmenter=bisnet")
    arguments[arguments.index(str(world / "segmenter.pt"))] = str(tmp_path / "79999_iter.pth")
    with pytest.raises(UserError, match=r"79999_iter\.pth: there is no such file; get 79999_iter\.pth from https"):
        evaluate3d.main(arguments)
    assert not (tmp_path / "out").exists()


def test_unusable_options(world, tmp_path):
    for more, expected in (
        (["--metrics=fud"], "'fud' is not among fid,kid"),
        (["--metrics=,"], "',' is not among fid,kid"),
        (["--shard=3/2"], "is no shard"),
        (["--latent_mask="], "--latent_mask ''"),
        (["--face_segmenter=unet"], "none of synthheads, bisenet, segformer, farl"),
        (["--data_path", str(tmp_path / "absent")], "there is no such data set"),
    ):
        with pytest.raises(UserError, match=expected):
            evaluate3d.main(command(world, tmp_path / "out", *more))
    cats = EvaluationSet(tmp_path, data_config("catmask_seg_to_3dface"), (), "")
    with pytest.raises(UserError, match="the face segmenters know faces only"):
        check_data(("pose",), cats)


def test_report_is_stable_and_without_nan():
    report = Report({"images": 2}, {"psnr": 12.3456, "novel_view_error": float("nan"), "iou_skin": 0.5}, ["a note"])
    assert json.loads(report.to_json())["results"] == {"psnr": 12.3456, "novel_view_error": None, "iou_skin": 0.5}
    text = report.to_markdown("Title")
    assert text.startswith("# Title\n")
    assert "| other views: reprojection error of colours" in text
    assert "| skin |" in text
    assert "- a note" in text


def test_goals_stand_beside_their_scores():
    report = Report({}, {"psnr": 19.0, "novel_depth_error": 0.02, "ssim": 0.5},
                    goals={"psnr": 20, "novel_depth_error": 0.05})
    assert json.loads(report.to_json())["goals_met"] == {"psnr": False, "novel_depth_error": True}
    lines = report.to_markdown().splitlines()
    assert "| PSNR to the true image, dB | 19.00 | higher | 20 | missed |" in lines
    assert "| other views: depth, median error as a fraction of the head's depth | 0.02000 | lower | 0.05 |  |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {6}


def test_adding_a_metric_touches_one_file(world, tmp_path, monkeypatch):
    """The example of docs/evaluation.md, as a file that the registry finds."""
    page = (ROOT / "docs/evaluation.md").read_text()
    (code,) = [block.split("```")[0] for block in page.split("```python\n")[1:] if "METRIC =" in block]
    (tmp_path / "brightness.py").write_text(code)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    assert "brightness" in all_metrics()
    report = evaluate3d.main(command(world, tmp_path / "out", "--metrics=brightness"))
    assert list(report.results) == ["brightness"]
    assert -1 < report.results["brightness"] < 1
    assert "mean colour of the renders in [-1, 1]" in (tmp_path / "out/results.md").read_text()
    monkeypatch.undo()
    assert "brightness" not in all_metrics()
    with pytest.raises(UserError, match="'brightness' is not among fid,kid,is,prc,diversity"):
        evaluate3d.main(command(world, tmp_path / "out", "--metrics=brightness"))


def test_every_metric_says_what_it_needs():
    for name, metric in all_metrics().items():
        assert set(metric.needs[name]) <= set(NEEDS), name
        assert set(metric.views) <= set(rendering.KINDS), name
        assert metric.scores
        assert all(better in ("higher", "lower", "") for _, better in metric.scores.values()), name


def test_devices_are_dealt_out_to_the_processes():
    """Every process has one of the devices, the same one all the time."""
    seen = set(process_map(device_here, range(40), 2, ["first", "second"]))
    assert {device for _, device in seen} <= {"first", "second"}
    assert len({process for process, _ in seen}) == len(seen), "a process never changes its device"
    assert own_value() is None


def device_here(number):
    return os.getpid(), own_value()
