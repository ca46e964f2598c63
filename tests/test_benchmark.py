"""The benchmark compares like with like, and its command line works."""

import json

import pytest
import torch
from tiny import tiny_model

from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.generator import RayNoise, render_rays
from models.pigan.siren import style_code
from scripts import benchmark
from scripts.benchmark_reference import reference_training_rays, reference_view
from utils.errors import UserError


def test_same_view():
    net = tiny_model()
    codes = style_code(net.siren, 1)
    difference = reference_view(net, codes, Camera(), 16, 12) - net.scene_of(codes).render(Camera(), 16, 12).rgb
    assert difference.abs().mean() < 1e-4


def test_same_training_step():
    net = tiny_model()
    geometry = net.config.geometry
    origin, directions = camera_rays(Camera(), 12, geometry.fov_deg)
    origins, directions = origin.expand(2, -1), directions.expand(2, -1, -1)
    perturbation = torch.rand(2, 144, 10, generator=torch.Generator().manual_seed(0))
    styles = [style_code(net.siren, seed) for seed in (1, 2)]
    codes = Codes(torch.cat([style.frequencies for style in styles]).requires_grad_(),
                  torch.cat([style.phase_shifts for style in styles]).requires_grad_())
    official = reference_training_rays(net, codes, origins, directions, perturbation)
    ours = render_rays(net.siren, codes, origins, directions, near=geometry.ray_start, far=geometry.ray_end, samples=10,
                       hierarchical=False, lock_view_dependence=False, last_back=geometry.last_back,
                       noise=RayNoise(perturbation)).rgb
    assert (ours - official).abs().mean() < 1e-5
    gradients = [torch.autograd.grad(rgb.square().mean(), (codes.frequencies, codes.phase_shifts))
                 for rgb in (ours, official)]
    for mine, reference in zip(*gradients):
        assert (mine - reference).norm() < 1e-3 * reference.norm()


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
