"""Details of the released training that its recorded steps do not show."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.config import ModelConfig
from models.pigan.sampling import RayNoise
from models.sem2nerf import Sem2NeRF
from training.patches import patch_grid
from training.step import (
    Batch,
    DiscriminatorLoss,
    LossWeights,
    PatchGenerator,
    Rendering,
    StepNoise,
    TrainStep,
)


class Linear(nn.Module):
    """A discriminator whose answer and gradients can be worked out: a weighted sum of what it sees."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.weight = nn.Parameter(torch.randn(channels, 8, 8))

    def forward(self, patch, condition=None):
        seen = patch if condition is None else torch.cat([patch, condition], 1)
        self.seen = seen.detach()
        return (seen * self.weight).flatten(1).sum(1) / 10


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Sem2NeRF(ModelConfig.from_opts({"use_merged_labels": True, "use_contour": True, "pigan_hidden_dim": 16,
                                           "pigan_zdim": 8, "encoder_type": "SwinEncoderNano", "src_input_size": 64}))


def small_step(net, **settings):
    return TrainStep(PatchGenerator(net.eval(), Rendering(samples=4)), net, **settings)


def batch_and_noise(samples: int, **poses):
    torch.manual_seed(samples)
    batch = Batch(torch.rand(samples, 18, 64, 64), torch.rand(samples, 3, 32, 32) * 2 - 1,
                  1.5 + 0.1 * torch.rand(samples, 2))
    scale, shift = torch.full((samples,), 0.5), torch.linspace(-0.4, 0.4, samples)
    return batch, StepNoise(patch_grid(8, scale, shift, -shift), RayNoise(torch.rand(samples, 64, 4)), **poses)


def test_a_conditional_discriminator_sees_the_whole_mask(net):
    """Nearest resampled, whatever the patch shows; and R1 counts the mask's channels too."""
    judge = Linear(21)
    step = small_step(net, weights=LossWeights(lpips=0), discriminator=judge,
                      discriminator_pass=DiscriminatorLoss(judge), conditional=True)
    batch, noise = batch_and_noise(2)
    generated = step.generator_losses(batch, noise, 32)
    assert torch.equal(judge.seen[:, 3:], F.interpolate(batch.masks, size=8, mode="nearest"))
    losses = step.discriminator_losses(generated)
    assert losses.terms["d_loss_reg"].item() == pytest.approx(10 * (judge.weight / 10).square().sum().item(), rel=1e-5)


def test_samples_at_extreme_poses_in_one_batch(net):
    """Each sample's loss is what it would be in a step of its own, where an extreme pose has no terms of images."""
    step = small_step(net, weights=LossWeights(lpips=0, dis=0.1), discriminator=Linear(3))
    far = torch.tensor([[1.0, 1.5], [2.0, 1.57], [1.57, 1.9]])
    batch, noise = batch_and_noise(3, extreme_poses=far, own_pose=torch.tensor([1]))
    together = step.generator_losses(batch, noise, 32)
    alone = []
    for index in range(3):
        one = Batch(*(part[[index]] for part in (batch.masks, batch.images, batch.poses)))
        alone.append(step.generator_losses(one, StepNoise(
            noise.grid[[index]], RayNoise(noise.noise.perturbation[[index]]),
            extreme_poses=None if index == 1 else far[[index]]), 32))
    torch.testing.assert_close(together.rendered, torch.cat([step.rendered for step in alone]))
    assert ["loss_l2" in step.terms for step in alone] == [False, True, False]
    torch.testing.assert_close(together.terms["loss_l2"], alone[1].terms["loss_l2"])
    torch.testing.assert_close(together.total, torch.stack([step.total for step in alone]).mean())
