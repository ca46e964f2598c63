"""scripts/calc_losses_on_images.py: L2, LPIPS, MS-SSIM and identity of two folders of images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.identity import Identity
from evaluation.image_losses import mean_and_spread
from evaluation.metrics.image_quality import ms_ssim, ssim
from scripts.calc_losses_on_images import main
from utils.errors import UserError


@pytest.fixture
def folders(tmp_path):
    """Two folders of two images, 256 px: one pair is equal, the other differs by 10 of 255 in every value."""
    rows = np.random.default_rng(0).integers(20, 200, (2, 256, 256, 3)).astype(np.uint8)
    for folder, shift in (("results", 0), ("truth", 10)):
        (tmp_path / folder).mkdir()
        Image.fromarray(rows[0]).save(tmp_path / folder / "1.png")
        Image.fromarray(rows[1] + np.uint8(shift)).save(tmp_path / folder / "2.png")
    return tmp_path / "results", tmp_path / "truth"


def measure(folders, *options):
    main([f"--data_path={folders[0]}", f"--gt_path={folders[1]}", *options])
    out = folders[0].parent / "inference_metrics"
    return {path.stem.removeprefix("scores_"): json.loads(path.read_text()) for path in out.glob("scores_*.json")}


def test_l2_and_ms_ssim(folders, capsys):
    scores = measure(folders)
    assert set(scores) == {"l2", "msssim"}
    assert scores["l2"]["1.png"] == 0
    assert scores["l2"]["2.png"] == pytest.approx((10 / 127.5) ** 2, rel=1e-5)
    assert scores["msssim"]["1.png"] == pytest.approx(1)
    assert 0.5 < scores["msssim"]["2.png"] < 1
    half = (10 / 127.5) ** 2 / 2
    words = f"Average l2 of 2 images is {half:.4f}+-{half:.4f}"
    assert words in capsys.readouterr().out
    assert (folders[0].parent / "inference_metrics/stat_l2.txt").read_text() == words + "\n"


def test_mean_and_spread():
    assert mean_and_spread({"a": 1.0, "b": 3.0}) == (2.0, 1.0)


def test_ms_ssim_is_ssim_at_five_scales():
    """Of an image and the same one with each 2 x 2 block's checkerboard added: only the finest scale sees it."""
    generator = torch.Generator().manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12, generator=generator), 192, mode="bicubic")[0] - 0.5
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(96, 96) * 0.1
    assert ms_ssim(image, image) == pytest.approx(1)
    assert ms_ssim(image, image + board) == pytest.approx(contrast(image, image + board) ** 0.0448, abs=1e-6)
    assert ssim(image, image + board) < 0.9
    with pytest.raises(ValueError, match="176 pixels"):
        ms_ssim(image[:, :100], image[:, :100])


def contrast(a, b):
    """Mean factor of contrast and structure, from SSIM's own definition at a window in plain loops."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c2, total, count = (0.03 * 2) ** 2, 0.0, 0
    for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True):
        view = np.lib.stride_tricks.sliding_window_view
        xs, ys = view(x, (11, 11)), view(y, (11, 11))
        mx, my = ((w * window).sum((2, 3)) for w in (xs, ys))
        vx, vy, xy = ((p * window).sum((2, 3)) for p in (xs * xs, ys * ys, xs * ys))
        factor = (2 * (xy - mx * my) + c2) / (vx - mx**2 + vy - my**2 + c2)
        total, count = total + factor.sum(), count + factor.size
    return total / count


def published_keys():
    """Keys of model_ir_se50.pth, in its order: 397."""
    def norm(name):
        return [f"{name}.{k}" for k in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    keys = ["input_layer.0.weight", *norm("input_layer.1"), "input_layer.2.weight"]
    output = [*norm("output_layer.0"), "output_layer.3.weight", "output_layer.3.bias", *norm("output_layer.4")]
    keys_of_blocks = []
    widths = [64] * 3 + [128] * 4 + [256] * 14 + [512] * 3
    for block, (before, width) in enumerate(zip([64, *widths], widths, strict=False)):
        at = f"body.{block}"
        if before != width:
            keys_of_blocks += [f"{at}.shortcut_layer.0.weight", *norm(f"{at}.shortcut_layer.1")]
        keys_of_blocks += [*norm(f"{at}.res_layer.0"), f"{at}.res_layer.1.weight", f"{at}.res_layer.2.weight",
                           f"{at}.res_layer.3.weight", *norm(f"{at}.res_layer.4"), f"{at}.res_layer.5.fc1.weight",
                           f"{at}.res_layer.5.fc2.weight"]
    return keys, output, keys_of_blocks


def test_identity_has_the_published_layout():
    net = Identity()
    keys, output, blocks = published_keys()
    assert set(net.state_dict()) == {*keys, *output, *blocks}
    assert len(net.state_dict()) == 397
    assert sum(parameter.numel() for parameter in net.parameters()) == 43_797_696
    assert net.state_dict()["output_layer.3.weight"].shape == (512, 25088)
    assert net.body[3].res_layer[3].stride == (2, 2)
    assert net.body[3].shortcut_layer[0].stride == (2, 2)


def test_identity_of_a_file(tmp_path, folders):
    torch.manual_seed(0)
    torch.save(Identity().state_dict(), tmp_path / "ir.pth")
    scores = measure(folders, "--mode=id", f"--identity_weights={tmp_path / 'ir.pth'}")["id"]
    assert scores["1.png"] == pytest.approx(1, abs=1e-5)
    assert scores["2.png"] < 1
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: these are not the weights of ArcFace's IR-SE50; get model_ir"):
        measure(folders, "--mode=id", f"--identity_weights={tmp_path / 'other.pth'}")


def test_lpips_is_the_projects_own(tmp_path, folders):
    from torchvision.models import alexnet

    torch.manual_seed(0)
    torch.save(alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    scores = measure(folders, "--mode=lpips", f"--lpips_weights={tmp_path / 'alexnet.pth'}")["lpips"]
    assert scores["1.png"] == 0 < scores["2.png"]


@pytest.mark.parametrize("change, options, words", [
    (lambda results, truth: (truth / "2.png").unlink(), [], "2.png: there is no image of this name in --gt_path"),
    (lambda results, truth: (truth / "2.png").write_bytes(b"x"), [], "2.png: this photograph cannot be read"),
    (lambda results, truth: None, ["--mode=psnr"], "'psnr' is not among l2,lpips,msssim,id"),
    (lambda results, truth: None, ["--mode=id"], "model_ir_se50.pth: there is no such file; get model_ir_se50.pth"),
    (lambda results, truth: None, ["--gt_path=absent"], "--gt_path absent: there is no such folder"),
])
def test_mistakes_are_one_line(folders, change, options, words):
    change(*folders)
    with pytest.raises(UserError) as caught:
        measure(folders, *options)
    assert words in str(caught.value)
    assert not (folders[0].parent / "inference_metrics").exists()
