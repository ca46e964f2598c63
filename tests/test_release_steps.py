"""Details of the released training that its recorded steps do not show."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.config import ModelConfig
from models.pigan.sampling import RayNoise
from models.sem2nerf import Sem2NeRF
from training.patches import patch_grid
from training.runtime.processes import World
from training.step import (
    Batch,
    DiscriminatorLoss,
    LossWeights,
    PatchGenerator,
    Rendering,
    StepNoise,
    TrainStep,
)
from utils.errors import UserError


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


def test_samples_per_ray_are_those_of_the_steps_file(tmp_path):
    """num_steps counts in training, --pigan_infer_ray_step in validation; what has no effect is said."""
    from tiny_training import make_all

    from options.train_options import parse
    from training.objectives.sem2nerf import Sem2NeRFObjective

    options, said = make_all(tmp_path), []
    (tmp_path / "steps.yaml").write_text(
        "0: {batch_size: 1, img_size: 64, resolution_vol: 32, num_steps: 6}\n1: {img_size: 64, resolution_vol: 32}\n")
    objective = Sem2NeRFObjective(parse([*options, "--exp_dir=x", "--seed=1"]), World(torch.device("cpu")),
                                  report=said.append)
    seen = []
    objective.train_step.generator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[3].perturbation))
    objective.step(0, 0)
    objective.step(1, 2)
    objective.close()
    assert [noise.shape for noise in seen] == [(2, 1024, 6), (2, 1024, 4)]
    assert objective.validation_settings.samples == 4
    assert any("training takes 6 samples per ray" in line for line in said)
    assert any("batch_size 1 has no effect, each process takes 2" in line for line in said)


def test_validation_counts_as_released(net):
    """Photographs are resampled nearest, and the norm of the codes is a part of the loss."""
    from training.validation import ValidationSettings, validate

    torch.manual_seed(2)
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    loaded = {"label": labels, "contour": labels, "distance": labels, "extra": {}, "name": ["a", "b"],
              "image": torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), "pose": torch.full((2, 2), 1.5)}
    shown = []

    def distance(image, target):
        shown.append(target)
        return (image - target).square().mean()

    weights = LossWeights(l2=1, lpips=0.5, w_norm=0.1, dis=0)
    result = validate(net, [loaded], net.input.network_space, ValidationSettings(8, 4), weights, distance,
                      World(torch.device("cpu")))
    assert torch.equal(torch.cat(shown), F.interpolate(loaded["image"] / 127.5 - 1, size=8, mode="nearest"))
    codes = net.encode(torch.cat([F.one_hot(labels.long(), 16).movedim(3, 1).float(), torch.zeros(2, 2, 64, 64)], 1))
    offset = codes - net.latent_avg
    norm = torch.cat([offset.frequencies, offset.phase_shifts], 1).norm(dim=1).mean()
    assert result.metrics["loss_w_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert result.loss == pytest.approx(1.5 * result.metrics["loss_l2"] + 0.1 * norm.item(), rel=1e-4)


def test_adamw_decays_as_released():
    from training.optimizers import build_optimizer

    (group,) = build_optimizer("adamw", [nn.Parameter(torch.ones(1))], lr=1e-4).param_groups
    assert (group["weight_decay"], group["eps"], group["betas"]) == (0.05, 1e-8, (0.9, 0.999))


def test_fine_tuning_takes_the_discriminator_over(tmp_path):
    """As released; one of another size starts anew, and says so."""
    from argparse import Namespace

    from models.discriminators.patch_discriminator import PatchDiscriminator
    from training.build import build_discriminator
    from training.size_schedule import Stage

    opts, said = Namespace(dis_lambda=0.1, use_cond_dis=False, input_nc=18, pigan_steps_conf="x", amp="none"), []
    contents = {"dis_state_dict": PatchDiscriminator(32).state_dict()}
    net = build_discriminator(opts, (Stage(0, 64, 32),), contents, report=said.append)
    for key, value in contents["dis_state_dict"].items():
        assert torch.equal(net.state_dict()[key], value)
    assert build_discriminator(opts, (Stage(0, 128, 64),), contents, report=said.append).training
    assert said == ["the checkpoint's discriminator is of another size: it starts anew"]
    with pytest.raises(UserError, match="of another size"):
        build_discriminator(opts, (Stage(0, 128, 64),), contents, resume=True)


def test_curves_have_the_names_of_the_release(tmp_path):
    """Of validation `test/...`, of its terms `loss_...`."""
    from tiny_training import make_all

    from options.train_options import parse
    from training.loop import TrainingLoop
    from training.objectives.sem2nerf import Sem2NeRFObjective
    from training.runtime.logs import RunLog
    from training.runtime.processes import StopRequest

    alone, seen = World(torch.device("cpu")), {}
    started = Sem2NeRFObjective(parse([*make_all(tmp_path), "--exp_dir=x", "--test_output_size=8"]), alone)

    class Log(RunLog):
        def scalars(self, side, step, values):
            seen[side] = set(values)

        def image(self, side, step, panel):
            assert side in seen

    loop = TrainingLoop(started, alone)
    loop.contents = dict  # nothing is saved
    loop.files.save_best = lambda contents: None
    loop._validate(Log(tmp_path, 0, 1, active=False, progress=False), StopRequest(alone))
    assert seen == {"test": {"loss", "loss_l2", "loss_w_norm", "code_spread"}}
