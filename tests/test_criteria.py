"""The losses: official numbers, hand-made cases, and what is said when LPIPS has no backbone."""

import math

import numpy as np
import pytest
import torch

from criteria import perceptual
from criteria.adversarial import fake_loss, r1_penalty, real_loss
from criteria.perceptual import ALEXNET_CONVOLUTIONS, ALEXNET_FILE, Perceptual, find_alexnet
from criteria.w_norm import w_norm
from models.pigan.codes import Codes
from utils.errors import UserError

SHAPES = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}


def random_backbone() -> dict[str, torch.Tensor]:
    """The convolutions of a torchvision AlexNet state dict, with random weights."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for i, shape in SHAPES.items():
        state[f"features.{i}.weight"] = torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
        state[f"features.{i}.bias"] = torch.randn(shape[0], generator=generator) * 0.02
    return state


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("alexnet") / "backbone.pth"
    torch.save(random_backbone(), path)
    return path


@pytest.fixture(scope="module")
def random_lpips(backbone_file):
    return Perceptual(backbone_file)


def seeded_lpips(folder) -> Perceptual:
    """The seeded AlexNet of the reference data, with the package's own heads."""
    import golden_values

    state = {}
    for i, shape in SHAPES.items():
        scale = math.sqrt(2 / math.prod(shape[1:]))
        for kind, values in (("weight", (shape, scale)), ("bias", (shape[:1], 0.02))):
            seeded = golden_values.normal(f"lpips.net.layers.{i}.{kind}", *values)
            state[f"features.{i}.{kind}"] = torch.from_numpy(seeded)
    torch.save(state, folder / "seeded.pth")
    return Perceptual(folder / "seeded.pth")


def test_official_lpips(golden, tmp_path):
    """Value with the real heads; with seeded heads each layer's share, value and gradient.

    float32 sums of positive terms: 1e-5.
    """
    import golden_values

    reference = golden("losses")
    image, target = (torch.from_numpy(golden_values.uniform(n, (2, 3, 64, 64))) * 2 - 1 for n in ("loss.a", "loss.b"))
    metric = seeded_lpips(tmp_path)
    assert metric(image, target).item() == pytest.approx(reference["lpips_alex_seeded_reallin"].item(), rel=1e-5)

    for k, i in enumerate(ALEXNET_CONVOLUTIONS):
        shape = (1, SHAPES[i][0], 1, 1)
        head = np.abs(golden_values.normal(f"lpips.lin.{k}.1.weight", shape)) * np.float32(0.1)
        metric.metric.lins[k].model[1].weight.copy_(torch.from_numpy(head))
    with torch.no_grad():
        _, layers = metric.metric(image, target, retPerLayer=True)
    np.testing.assert_allclose([layer.mean() for layer in layers], reference["lpips_layers"], rtol=1e-5)
    image.requires_grad_()
    value = metric(image, target)
    assert value.item() == pytest.approx(reference["lpips_alex_seeded"].item(), rel=1e-5)
    value.backward()
    expected = reference["lpips_grad_slice"]
    np.testing.assert_allclose(image.grad[:, :, ::8, ::8], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_lpips_is_frozen(random_lpips):
    assert not any(p.requires_grad for p in random_lpips.parameters())
    random_lpips.train()
    assert not any(module.training for module in random_lpips.modules())


def test_lpips_leaves_the_random_numbers_alone(backbone_file):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    Perceptual(backbone_file)
    assert torch.rand(1) == expected


def test_lpips_of_equal_and_flat_images(random_lpips):
    """Nothing to tell apart gives 0; flat images, whose features may vanish, still give finite gradients."""
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    assert random_lpips(image, image).item() == 0
    assert random_lpips(image, -image).item() > 0.01
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)
    random_lpips(flat, image[:1]).backward()
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(16, 16), (8, 40), (30, 31)])
def test_lpips_of_small_images(random_lpips, size):
    image = (torch.rand(1, 3, *size) * 2 - 1).requires_grad_()
    value = random_lpips(image, torch.zeros(1, 3, *size))
    value.backward()
    assert value.item() > 0
    assert (image.grad != 0).float().mean() > 0.5, "the gradient reaches the pixels"


def test_lpips_takes_31_pixels_as_they_are(random_lpips):
    a, b = torch.rand(2, 1, 3, 31, 31) * 2 - 1
    assert random_lpips(a, b).item() == random_lpips.metric(a, b).item()


def test_backbone_lookup(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(perceptual, "PRETRAINED_MODELS", tmp_path / "pretrained_models")
    hub = tmp_path / "home" / "hub" / "checkpoints"
    with pytest.raises(UserError) as caught:
        find_alexnet()
    message = str(caught.value)
    assert "\n" not in message
    for part in (ALEXNET_FILE, "https://download.pytorch.org/models/", str(hub), "pretrained_models",
                 "`lpips_weights`", "`lpips_lambda` 0"):
        assert part in message

    for folder in (tmp_path / "pretrained_models", hub):  # the later one is looked at first
        folder.mkdir(parents=True)
        (folder / ALEXNET_FILE).touch()
        assert find_alexnet() == folder / ALEXNET_FILE
    (tmp_path / "mine.pth").touch()
    assert find_alexnet(tmp_path / "mine.pth") == tmp_path / "mine.pth"
    with pytest.raises(UserError, match="`lpips_weights`: there is no file"):
        find_alexnet(tmp_path / "absent.pth")


def test_backbone_file_with_something_else(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"weights\.pth is not torchvision's AlexNet"):
        Perceptual(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"weights\.pth is not torchvision's AlexNet"):
        Perceptual(path)
    state = random_backbone()
    state["features.3.weight"] = state["features.3.weight"][:, :8].clone()
    torch.save(state, path)
    with pytest.raises(UserError, match=r"weights\.pth is not torchvision's AlexNet"):
        Perceptual(path)


def test_official_w_norm(golden):
    import golden_values

    reference = golden("losses")
    codes, mean = (
        Codes(*torch.from_numpy(golden_values.normal(name, (3, 9, 512))).flatten(1).split(2304, dim=1))
        for name in ("wnorm", "wnorm.avg")
    )
    assert w_norm(codes, mean).item() == pytest.approx(reference["w_norm"].item(), rel=1e-6)
    assert w_norm(codes).item() == pytest.approx(reference["w_norm_noavg"].item(), rel=1e-6)


def test_w_norm_by_eye():
    """Lengths 5 (3, 4) and 0: mean 2.5; one mean code serves the batch."""
    codes = Codes(torch.tensor([[4.0], [1.0]]), torch.tensor([[6.0], [2.0]]))
    mean = Codes(torch.tensor([[1.0]]), torch.tensor([[2.0]]))
    assert w_norm(codes, mean).item() == 2.5


def test_w_norm_gradient_at_the_mean():
    frequencies = torch.zeros(1, 4, requires_grad=True)
    w_norm(Codes(frequencies, torch.zeros(1, 4))).backward()
    assert frequencies.grad.tolist() == [[0, 0, 0, 0]]


def test_official_cross_entropies(golden):
    import golden_values

    reference = golden("losses")
    logits = torch.from_numpy(golden_values.normal("bce", (4,), 2))
    assert real_loss(logits).item() == pytest.approx(reference["bce_1"].item(), rel=1e-6)
    assert fake_loss(logits).item() == pytest.approx(reference["bce_0"].item(), rel=1e-6)


def test_cross_entropies_by_eye():
    assert real_loss(torch.zeros(3)).item() == pytest.approx(math.log(2))
    assert fake_loss(torch.tensor([100.0, -100.0])).item() == pytest.approx(50)
    assert real_loss(torch.tensor([1e4])).item() == 0


def test_r1_by_eye():
    """logit = sum of w * x: the gradient is w for each sample, its squared norm 1 + 4 + 9."""
    weights = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    patches = torch.rand(2, 3, 1, 1, requires_grad=True)
    penalty = r1_penalty((patches.flatten(1) * weights).sum(1), patches)
    assert penalty.tolist() == [14, 14]
    penalty.mean().backward()
    assert weights.grad.tolist() == [2, 4, 6]  # 2 w: the penalty can be trained on
