"""The benchmark compares like with like, and its command line works."""

import json

import pytest
import torch
from tiny import tiny_model

from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.fast.render import render_rays
from models.pigan.sampling import RayNoise
from models.pigan.siren import style_code
from scripts import benchmark
from scripts.dev.benchmark_plot import draw_growth
from scripts.dev.benchmark_reference import reference_training_rays, reference_view
from utils.errors import UserError


def test_same_view():
    net = tiny_model()
    codes = style_code(net.siren, 1)
    difference = reference_view(net, codes, Camera(), 16, 12) - net.scene_of(codes).render(Camera(), 16, 12).rgb
    assert difference.abs().mean() < 1e-4


def test_same_training_step():
    net = tiny_model()
    preset = net.config.camera
    origin, directions = camera_rays(Camera(), 12, preset.fov_deg)
    origins, directions = origin.expand(2, -1), directions.expand(2, -1, -1)
    perturbation = torch.rand(2, 144, 10, generator=torch.Generator().manual_seed(0))
    styles = [style_code(net.siren, seed) for seed in (1, 2)]
    codes = Codes(torch.cat([style.frequencies for style in styles]).requires_grad_(),
                  torch.cat([style.phase_shifts for style in styles]).requires_grad_())
    official = reference_training_rays(net, codes, origins, directions, perturbation)
    ours = render_rays(net.siren, codes, origins, directions, near=preset.ray_start, far=preset.ray_end, samples=10,
                       hierarchical=False, lock_view_dependence=False, last_back=preset.last_back,
                       noise=RayNoise(perturbation)).rgb
    assert (ours - official).abs().mean() < 1e-5
    gradients = [torch.autograd.grad(rgb.square().mean(), (codes.frequencies, codes.phase_shifts))
                 for rgb in (ours, official)]
    for mine, reference in zip(*gradients):
        assert (mine - reference).norm() < 1e-3 * reference.norm()


def figures_of(tmp_path, *arguments):
    path = tmp_path / "figures.json"
    benchmark.main([*arguments, "--repeats", "1", "--threads", "1", "--json", str(path)])
    return json.loads(path.read_text())


def test_render_figures(tmp_path, capsys):
    figures = figures_of(tmp_path, "render", "--width", "16", "--size", "8", "--samples", "6", "--converged", "20")
    assert figures["view"] == "8 px, 6 + 6 samples, width 16"
    assert figures["exact: mean difference from the official layout"] < 1e-4
    assert 1 <= figures["grid: evaluations per ray"] < 21
    assert figures["exact: PSNR to the converged image, dB"] > 15
    rates = [figures[f"exact: share of the sgemm of {library}"] * figures[f"sgemm of {library}, GFLOP/s per core"]
             for library in ("PyTorch", "oneDNN")]
    assert rates[0] == pytest.approx(rates[1])  # the same rate, as a share of either
    assert "official layout / exact: processor time" in capsys.readouterr().out


def test_video_figures(tmp_path):
    figures = figures_of(tmp_path, "video", "--width", "16", "--size", "8", "--samples", "6", "--frames", "3",
                         "--converged", "20", "--trajectory", "orbit")
    assert figures["video"].startswith("3 frames (orbit), 8 px")
    ratio = (figures["official layout: processor seconds per frame"]
             / figures["this project: processor seconds per frame"])
    assert figures["official layout / this project: processor time"] == pytest.approx(ratio)
    assert figures["evaluations per ray, the grid's included"] > figures["evaluations per ray, without the grid's"] >= 1
    assert figures["grid: least PSNR, dB"] > 15


def test_encode_figures(tmp_path):
    figures = figures_of(tmp_path, "encode")  # the bundled weights
    assert figures["encoder"] == "SwinEncoderNano"
    assert figures["official layout / this project: processor time"] > 1


def test_growth_plot(tmp_path):
    pytest.importorskip("matplotlib")
    figures = {f"{what} {value}: processor seconds": value / 10 for what in ("size", "samples", "width")
               for value in (8, 16)}
    draw_growth(figures, tmp_path / "growth.svg")
    assert "coarse samples per ray" in (tmp_path / "growth.svg").read_text()


@pytest.mark.slow
def test_train_figures(tmp_path, capsys):
    path = tmp_path / "figures.json"
    benchmark.main(["train", "--width", "16", "--size", "8", "--samples", "6", "--repeats", "1", "--threads", "1",
                    "--empty", "0.5", "--json", str(path)])
    figures = json.loads(path.read_text())
    assert figures["step"] == "8 px, 6 samples, batch 1, field width 16"
    assert 0.3 < figures["share of the points with density"] < 0.7
    ratio = figures["official layout: seconds per step"] / figures["this project: seconds per step"]
    assert figures["official layout / this project: time"] == pytest.approx(ratio)
    assert figures["this project: peak memory, MB"] > figures["this project: memory before the first step, MB"] > 100
    assert "official layout / this project: time" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["1", "-0.1", "much"])
def test_share_of_empty_space(value):
    with pytest.raises(UserError, match="--empty"):
        benchmark.main(["train", "--empty", value])
