"""The patch discriminator: official numbers, keys, and whole discriminator steps."""

import json

import numpy as np
import pytest
import torch

from criteria.adversarial import fake_loss, r1_penalty, real_loss
from models.discriminators.patch_discriminator import PatchDiscriminator
from models.pigan.cameras import sample_image
from training.patches import PatchConfig, draw_patches
from training.ranger import Ranger
from utils.errors import UserError


def seeded_discriminator(size: int, condition_channels: int, prefix: str, skip: int = 0) -> PatchDiscriminator:
    """Weights seeded by `prefix` + key, the key without its first `skip` characters."""
    import golden_values

    net = PatchDiscriminator(size, condition_channels)
    state = {key[skip:]: value for key, value in net.state_dict().items()}
    state = {
        key: golden_values.weight(prefix + key, value.shape) if key.endswith("weight_orig") else value
        for key, value in state.items()
    }
    golden_values.power_iterate(state, prefix)
    net.load_state_dict({key: state[key[skip:]] for key in net.state_dict()})
    return net


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [3, 21])
def test_official_numbers(golden, size, channels):
    """Logits of order 1 after up to six convolutions in float32: 1e-5 leaves room for another order of the sums.

    R1: 2e-4, since a unit near the kink of its LeakyReLU may fall on the other side (seen: 9e-5 in one of 12 values).
    """
    import golden_values

    reference = golden("losses")
    net = seeded_discriminator(size, channels - 3, f"pd{size}.{channels}.", skip=len("model."))
    name = f"dis{size}_{channels}"
    inputs = torch.from_numpy(golden_values.uniform(f"pd.in.{size}.{channels}", (2, channels, size, size))) * 2 - 1

    def judge(x):
        return net(x[:, :3], x[:, 3:] if channels > 3 else None)

    net.eval()
    with torch.no_grad():
        np.testing.assert_allclose(judge(inputs), reference[f"{name}_eval"].ravel(), rtol=0, atol=1e-5)
    net.train()
    inputs.requires_grad_()
    logits = judge(inputs)
    np.testing.assert_allclose(logits.detach(), reference[f"{name}_train1"].ravel(), rtol=0, atol=1e-5)
    penalty = r1_penalty(logits, inputs)
    np.testing.assert_allclose(penalty.detach(), reference[f"{name}_grad2"], rtol=2e-4)
    if channels == 3:  # the rest was recorded for the unconditional ones
        first = net.model["main"][0]
        (real_loss(logits) + 10 * penalty.mean()).backward()
        expected = reference[f"dis{size}_gradw0"]
        np.testing.assert_allclose(first.weight_orig.grad[:4], expected, rtol=0, atol=2e-4 * np.abs(expected).max())
        with torch.no_grad():
            np.testing.assert_allclose(judge(inputs), reference[f"dis{size}_train2"].ravel(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(first.weight_u, reference[f"dis{size}_u_after"], rtol=0, atol=1e-6)
        keys = [[key.removeprefix("model."), list(value.shape)] for key, value in net.state_dict().items()]
        assert keys == json.loads(str(reference[f"dis{size}_keys"]))


def test_checkpoint_keys(golden):
    from conftest import GOLDEN

    layout = json.loads((GOLDEN / "keys_celebahq.json").read_text())["dis_state_dict"]
    state = PatchDiscriminator(128).state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == [entry[:2] for entry in layout]


@pytest.mark.parametrize("tag", ["celebahq", "catmask"])
def test_three_official_discriminator_steps(golden, tag):
    """The discriminator's half of three training steps, given the official code's rendered patches.

    Losses to 1e-5 of their value and the first convolution's gradients to 1e-4 of the largest (double backward through
    instance norms in float32); parameters, which move by about 2e-6, to 5e-8 (a bit or two of the larger ones).
    """
    import golden_values

    reference = golden(f"train_step_{tag}")
    prefix = "" if tag == "celebahq" else "cat."
    patches = PatchConfig(0.125 if tag == "celebahq" else 0.08, 1.0, 0.0019, shift="diagonal")
    weight = 0.08 if tag == "celebahq" else 0.1
    net = seeded_discriminator(32, 0, prefix + "dis.").train()
    first = net.model["main"][0]
    optimizer = Ranger(net.parameters(), lr=2e-5)
    target = torch.from_numpy(golden_values.uniform(f"{tag}.train.y", (1, 3, 64, 64))) * 2 - 1
    for s, iteration in enumerate((0, 50000, 400000)):
        grid = draw_patches(patches, 32, iteration, 1, torch.Generator().manual_seed(100 + s))
        real = sample_image(target, grid).requires_grad_()
        fake = torch.from_numpy(reference[f"s{s}_y_hat"])

        with torch.no_grad():
            assert real_loss(net(fake)).item() == pytest.approx(reference[f"s{s}_loss_g"].item(), rel=1e-5)
        logits = net(real)
        loss_real = real_loss(logits)
        regulariser = 10 * r1_penalty(logits, real).mean()
        loss_fake = fake_loss(net(fake))
        optimizer.zero_grad()
        (weight * (loss_real + loss_fake + regulariser)).backward()
        assert loss_real.item() == pytest.approx(reference[f"s{s}_d_loss_real"].item(), rel=1e-5)
        assert regulariser.item() == pytest.approx(reference[f"s{s}_d_loss_reg"].item(), rel=1e-5)
        assert loss_fake.item() == pytest.approx(reference[f"s{s}_d_loss_fake"].item(), rel=1e-5)
        optimizer.step()

        gradient = first.weight_orig.grad
        gradient = gradient - gradient.mean(dim=(1, 2, 3), keepdim=True)  # recorded after the official optimiser's step
        expected = reference[f"s{s}_dis_grad"]
        tolerance = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(gradient.flatten()[:256], expected, rtol=0, atol=tolerance, err_msg=f"step {s}")
    # the recorded parameters of all three steps are those after the third
    np.testing.assert_allclose(first.weight_orig.detach().flatten()[:256], reference["s2_dis_param"], rtol=0, atol=5e-8)


def test_condition():
    net = PatchDiscriminator(32, condition_channels=2)
    assert net(torch.zeros(3, 3, 32, 32), torch.zeros(3, 2, 32, 32)).shape == (3,)
    with pytest.raises(ValueError, match="2 condition channels, not 0"):
        net(torch.zeros(3, 3, 32, 32))
    with pytest.raises(ValueError, match="0 condition channels, not 2"):
        PatchDiscriminator(32)(torch.zeros(3, 3, 32, 32), torch.zeros(3, 2, 32, 32))


def test_unknown_size():
    with pytest.raises(UserError, match="not 48"):
        PatchDiscriminator(48)
