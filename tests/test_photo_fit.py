"""Heads refined to look like their own photographs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from inferring import infer
from PIL import Image

from configs.data_configs import data_config
from datasets.inference_set import InferenceDataset
from datasets.masks.maps import MaskTransform
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from photos import photo_fit
from photos.photo_fit import PhotoFit, PhotoFitSettings, fit_photo
from photos.reference import framed_photo, photo_beside
from utils.errors import UserError

MASKS = ROOT / "data/CelebAMask-HQ/mask_samples"
FEW = PhotoFitSettings(colour_steps=5, steps=8, rays=128, even=8, around=6)


@pytest.fixture(scope="module")
def head():
    """The bundled model, a head of it, its labels, and a photograph of it in other colours."""
    net = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")
    planes = net.input.prepare(net.input.labels(MASKS / "90001.png"))
    codes = net.encode(net.input.tensor(planes)[None]).detach()
    rows = np.arange(32) * len(planes.label) // 32
    view = net.scene_of(net.styled(codes, 5, (6, 7, 8), 0.5)).render(Camera(), 32, 12, sampler="exact")
    return net, codes, planes.label[np.ix_(rows, rows)], (view.rgb.permute(1, 2, 0).numpy().astype(float) + 1) / 2


def test_a_view_comes_nearer_to_its_photograph(head):
    net, codes, labels, photo = head
    fitted = fit_photo(net, codes, Camera(), photo, labels, settings=FEW)
    assert fitted.after > fitted.before + 2
    view = net.scene_of(fitted.codes).render(Camera(), 32, 24, sampler="grid").rgb
    error = (view.clamp(-1, 1) - torch.from_numpy(photo).permute(2, 0, 1) * 2 + 1).square().mean().item()
    assert 10 * np.log10(4 / error) == pytest.approx(fitted.after, abs=0.05)


def test_what_is_right_already_is_kept(head):
    """A photograph that is the view itself: no step makes it better, and the codes are given back."""
    net, codes, labels, _ = head
    view = net.scene_of(codes).render(Camera(), 32, 24, sampler="grid").rgb
    photo = (view.permute(1, 2, 0).numpy().astype(float) + 1) / 2
    fitted = fit_photo(net, codes, Camera(), photo, labels, settings=replace(FEW, steps=1))
    assert fitted.after == fitted.before > 60
    assert (fitted.codes.frequencies == codes.frequencies).all()


def test_lpips_looks_at_an_image_of_the_view(head):
    net, codes, labels, photo = head
    seen = []

    def perceptual(image, target):
        seen.append((image.shape, target))
        return (image - target).abs().mean()

    fit_photo(net, codes, Camera(), photo, labels, perceptual, replace(FEW, steps=2))
    assert [shape for shape, _ in seen] == [(1, 3, 32, 32)] * 2
    torch.testing.assert_close(seen[0][1][0], torch.from_numpy(photo).permute(2, 0, 1).float() * 2 - 1)


def test_photographs_are_framed_as_masks(tmp_path):
    labels = np.add.outer(np.arange(320), np.zeros(320)).astype(np.uint8) // 2
    Image.fromarray(np.repeat(labels[..., None], 3, 2)).save(tmp_path / "a.png")
    framed = framed_photo(tmp_path / "a.png", MaskTransform(), 64)
    np.testing.assert_allclose(framed[:, 5, 0] * 255, MaskTransform().at(64).apply(labels)[:, 5], atol=1.5)


@pytest.fixture
def data(tmp_path):
    """A data set of one mask, with its photograph and its pose."""
    for name in ("images", "mask"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    with Image.open(MASKS / "90002.png") as mask:
        mask.save(tmp_path / "mine/mask/3.png")
    Image.new("RGB", (64, 64), (200, 120, 90)).save(tmp_path / "mine/images/3.png")
    (tmp_path / "mine/CelebAMask-HQ-pose-anno.txt").write_text("1\nYaw Pitch Roll\n3.png 4.00 -2.00 0.00\n")
    return tmp_path / "mine"


def test_inference_fits_photographs(tmp_path, weights, data, capsys, monkeypatch):
    monkeypatch.setattr(photo_fit, "SIZE", 32)
    monkeypatch.setattr(photo_fit, "fit_photo", lambda *args: fit_photo(*args[:-1], FEW))
    monkeypatch.setattr("criteria.perceptual.find_alexnet", no_alexnet)
    written = infer(tmp_path / "out", weights, data / "mask", "--fit_photo", "--n_outputs_to_generate=1")
    assert written[1:] == ["iter_500_infer_results_16/3_fitted.png", "iter_500_infer_results_16/fit_photo.json"]
    (numbers,) = json.loads((tmp_path / "out" / written[2]).read_text()).values()
    assert numbers["psnr_after"] > numbers["psnr_before"]
    out = capsys.readouterr().out
    assert f"3: PSNR {numbers['psnr_before']:.2f} -> {numbers['psnr_after']:.2f} dB" in out
    assert "--fit_photo without LPIPS: its weights are not there" in out


def no_alexnet(weights=None, without=""):
    raise UserError("`lpips_weights`: there is no file")


@pytest.mark.parametrize("options, words", [
    (["--fit_photo", "--style_image=a.png"], "--fit_photo and --style_image: colours come from the head's own"),
    (["--lpips_weights=a.pth"], "--lpips_weights is for --fit_photo"),
    (["--fit_photo", "--lpips_weights=absent.pth"], "--lpips_weights: there is no file absent.pth"),
    (["--fit_photo"], "90001.png has no photograph of its name in images/ beside its folder"),
])
def test_mistakes_are_one_line(tmp_path, weights, options, words):
    with pytest.raises(UserError) as caught:
        infer(tmp_path / "out", weights, MASKS / "90001.png", *options)
    assert words in str(caught.value)


def test_a_pose_is_needed(data, head):
    (data / "CelebAMask-HQ-pose-anno.txt").unlink()
    net, codes, _, _ = head
    config = data_config("celebahq_seg_to_3dface")
    item = InferenceDataset(data / "mask/3.png", config, net.input)[0]
    assert photo_beside(item.path) == data / "images/3.png"
    with pytest.raises(UserError, match=r"the pose of .*3\.png is not known; give its data set a pose file"):
        PhotoFit(net, config)(item, codes)
