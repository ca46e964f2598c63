"""The losses of known heads on a device made of Python: the CPU's numbers, and no waiting."""

import torch
from tiny import tiny_model

from models.pigan.siren import style_code
from synth_heads.losses.known_z import EditLoss, KnownZLoss
from training.step import Batch, StepOutput


def test_losses_of_known_heads(pretend):
    def draw(*shape):
        return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))

    found = []
    for device in (pretend.device, torch.device("cpu")):
        siren = tiny_model().siren
        codes = style_code(siren, 1).expand(4).to(device)
        z, masks, images, poses, out, rendered, target = (value.to(device, non_blocking=True) for value in (
            draw(4, 8), draw(4, 18, 8, 8), draw(4, 3, 8, 8), draw(4, 2), draw(4, 8) * 2, draw(4, 3, 6, 6),
            draw(4, 3, 6, 6) ** 2))
        output = StepOutput(Batch(masks, images, poses, {"z": z}), out, codes, rendered, target)
        known, edit = KnownZLoss(siren.to(device), 1.0, 1.0), EditLoss(1.0, 1.0)
        with pretend.counting() as waits:
            terms = {**known(output), **edit.images(output), **edit.z(output)}
        assert not waits
        found.append({name: value.cpu() for name, (_, value) in terms.items()})
    assert found[0].keys() == {"latent", "z", "edit", "edit_z"}
    for name, value in found[1].items():
        assert value > 0
        torch.testing.assert_close(found[0][name], value, msg=name)
