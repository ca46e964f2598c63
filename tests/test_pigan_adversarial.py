"""Parts of pi-GAN's own training: the discriminator that grows, losses, renderings and their random draws."""

import math

import pytest
import torch
from torch.nn import functional as F

from configs.data_configs import get_camera_preset
from models.pigan.siren import FilmSiren
from pretraining.losses import discriminator_losses, draw_fakes, generator_losses, render_fakes
from pretraining.progressive_discriminator import CoordConv, ProgressiveDiscriminator
from pretraining.schedule import PoseDistribution

POSES = PoseDistribution("gaussian", 0.3, 0.155)


def discriminator(size=32, seed=0):
    torch.manual_seed(seed)
    return ProgressiveDiscriminator(size, max_channels=12)


def images(count, size, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ---- the discriminator -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [8, 16, 32])
def test_every_size_up_to_its_own(size):
    judged = discriminator()(images(3, size), alpha=0.5)
    assert (judged.logit.shape, judged.pose.shape) == ((3,), (3, 2))


def test_published_widths():
    net = ProgressiveDiscriminator(64)
    assert {size: net.from_rgb[size][0].out_channels for size in net.from_rgb} == {
        "4": 400, "8": 400, "16": 400, "32": 256, "64": 128}
    with pytest.raises(ValueError, match="48"):
        ProgressiveDiscriminator(48)


@torch.no_grad()
def test_a_new_resolution_fades_in():
    """At alpha 0 it is the smaller image's answer, at alpha 1 the old way in is not used any more."""
    net, x = discriminator(), images(2, 32)
    before = net(F.interpolate(x, scale_factor=0.5))  # nearest, as published
    torch.testing.assert_close(net(x, 0.0).logit, before.logit)
    torch.testing.assert_close(net(x, 0.0).pose, before.pose)
    torch.testing.assert_close(net(x, 1e-6).logit, before.logit, rtol=0, atol=1e-3)
    assert (net(x, 1.0).logit - before.logit).abs().min() > 1e-3
    grown = net(x, 1.0).logit
    net.from_rgb["16"][0].weight.zero_()
    assert torch.equal(net(x, 1.0).logit, grown)


@pytest.mark.parametrize("coordinates", [True, False])
def test_published_form(coordinates):
    """The answer of the published blocks, worked out with plain functions; their initial weights."""
    net = ProgressiveDiscriminator(64, coordinates=coordinates)
    block, x = net.blocks["64"], torch.rand(2, 128, 8, 8)
    line = torch.linspace(-1, 1, 8)
    places = torch.stack([line.expand(8, 8), line[:, None].expand(8, 8)]).expand(2, -1, -1, -1)
    y = x
    for index, stride in ((0, 1), (2, 2)):
        conv = block.main[index].conv if coordinates else block.main[index]
        y = F.conv2d(torch.cat([y, places], 1) if coordinates else y, conv.weight, conv.bias, stride, 1)
        y = F.leaky_relu(y, 0.2)
        spread = (2 / 1.04 / (9 * conv.in_channels)) ** 0.5
        assert conv.weight.std().item() == pytest.approx(spread, rel=0.02), "Kaiming's"
    shortcut = F.conv2d(x, block.shortcut.weight, block.shortcut.bias, stride=2)
    torch.testing.assert_close(block(x), (y + shortcut) / 2**0.5)
    for plain in (block.shortcut, net.from_rgb["64"][0], net.answer):
        bound = (plain.in_channels * plain.kernel_size[0] ** 2) ** -0.5
        assert bound * 0.9 < plain.weight.abs().max() <= bound, "PyTorch's"


@torch.no_grad()
def test_coordinates_run_from_left_to_right_and_from_top_to_bottom():
    conv = CoordConv(1, 2)
    conv.conv.weight.zero_()
    conv.conv.bias.zero_()
    conv.conv.weight[0, 1, 1, 1] = conv.conv.weight[1, 2, 1, 1] = 1  # x and y of the pixel itself
    out = conv(torch.zeros(1, 1, 3, 3))[0]
    assert out.tolist() == [[[-1, 0, 1]] * 3, [[-1] * 3, [0] * 3, [1] * 3]]


# ---- losses and draws --------------------------------------------------------------------------------------------

def test_losses_by_hand():
    net, real, fake = discriminator(), images(3, 16, 1), images(3, 16, 2)
    poses = math.pi / 2 + torch.tensor([[0.1, 0.0], [-0.3, 0.2], [0.0, 0.0]])
    losses = discriminator_losses(net, real, fake, poses, 0.3, r1_weight=0.2, pose_weight=15.0)
    real_judged, fake_judged = net(real, 0.3), net(fake, 0.3)
    squares = []
    for index in range(3):  # one image at a time: no other image's logit can interfere
        one = real[index:index + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net(one, 0.3).logit[0], one)
        squares.append(gradient.square().sum())
    expected = {
        "d_loss_real": -torch.log(torch.sigmoid(real_judged.logit)).mean(),
        "d_loss_fake": -torch.log(1 - torch.sigmoid(fake_judged.logit)).mean(),
        "d_loss_reg": 0.1 * torch.stack(squares).mean(),
        "d_pose": ((fake_judged.pose - (poses - math.pi / 2)) ** 2).mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses.terms[name], value.detach(), rtol=1e-4, atol=1e-6)
    total = sum(value for name, value in losses.terms.items() if name != "d_pose") + 15 * losses.terms["d_pose"]
    torch.testing.assert_close(losses.total.detach(), total)
    losses = generator_losses(net, fake, poses, 0.3, pose_weight=15.0)
    torch.testing.assert_close(losses.terms["g_loss"], -torch.log(torch.sigmoid(fake_judged.logit)).mean().detach())
    torch.testing.assert_close(losses.total.detach(), losses.terms["g_loss"] + 15 * expected["d_pose"].detach())


def test_the_generator_learns_from_its_best():
    net, fake = discriminator(), images(4, 16, 2)
    poses = torch.full((4, 2), math.pi / 2)
    best = net(fake, 0.3).logit.sort().values[1:]  # ceil(.6 * 4) = 3
    losses = generator_losses(net, fake, poses, 0.3, pose_weight=0.0, kept=0.6)
    torch.testing.assert_close(losses.terms["g_loss"], F.softplus(-best).mean().detach())


def test_the_penalty_trains_the_discriminator():
    """Its gradient is the difference quotient of the loss along itself."""
    net, real = discriminator().double(), images(2, 8).double()
    poses = torch.full((2, 2), math.pi / 2, dtype=torch.float64)
    weight = net.from_rgb["8"][0].weight

    def total():
        return discriminator_losses(net, real, real, poses, 1.0, r1_weight=50.0, pose_weight=0.0).total

    (gradient,) = torch.autograd.grad(total(), weight)
    with torch.no_grad():
        weight += 1e-7 * gradient
    high = total().item()
    with torch.no_grad():
        weight -= 2e-7 * gradient
    assert (high - total().item()) / 2e-7 == pytest.approx(gradient.square().sum().item(), rel=1e-4)


def test_a_rendering_draws_the_same_in_any_company():
    together = draw_fakes(1, [8, 9, 10], 4, POSES, 8, 3)
    for index, position in enumerate((8, 9, 10)):
        alone = draw_fakes(1, [position], 4, POSES, 8, 3)
        for whole, one in ((together.z, alone.z), (together.poses, alone.poses), *zip(together.noise, alone.noise)):
            assert torch.equal(whole[index], one[0])
    assert together.noise.importance.shape == (3, 64, 3)
    assert not torch.equal(together.z, draw_fakes(2, [8, 9, 10], 4, POSES, 8, 3).z)
    assert not torch.equal(together.z[0], together.z[1])


def test_poses_follow_their_distribution():
    """Of 2000 the mean lies within .03 (4 standard errors of yaw), the spread within 7%."""
    gaussian = draw_fakes(0, range(2000), 1, POSES, 1, 1).poses - math.pi / 2
    assert gaussian.mean(0).abs().max() < 0.03
    torch.testing.assert_close(gaussian.std(0), torch.tensor([0.3, 0.155]), rtol=0.07, atol=0)
    uniform = draw_fakes(0, range(2000), 1, PoseDistribution("uniform", 0.5, 0.4), 1, 1).poses - math.pi / 2
    assert (uniform.abs().amax(0) <= torch.tensor([0.5, 0.4])).all()
    torch.testing.assert_close(uniform.std(0), torch.tensor([0.5, 0.4]) / 3**0.5, rtol=0.07, atol=0)


def test_renderings_depend_on_code_pose_and_view():
    torch.manual_seed(0)
    siren, preset = FilmSiren(16, 4), get_camera_preset("CelebAMask_HQ")
    draws = draw_fakes(0, [0, 1], 4, POSES, 8, 4)
    fakes = render_fakes(siren, draws, 8, preset)
    assert fakes.shape == (2, 3, 8, 8)
    assert fakes.abs().max() <= 1 + 1e-5
    with torch.no_grad():
        siren.final_layer.bias.fill_(-1e4)
    assert (render_fakes(siren, draws, 8, preset) == -1).all(), "nothing there: black, not the last sample's colour"
    assert (fakes[0] - fakes[1]).abs().max() > 1e-3
    fakes.square().sum().backward()
    assert all(p.grad is not None for p in siren.parameters())
    assert siren.color_layer_sine.layer.weight.grad[:, :3].abs().max() > 0, "the direction is not locked"
