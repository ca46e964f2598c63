"""Training makes the model better: the error on a tiny painted set falls by a stated factor."""

import torch
from conftest import ROOT
from tiny_training import make_all, make_steps

from options.train_options import parse
from training.objectives.sem2nerf import Sem2NeRFObjective
from training.runtime.processes import World

STEPS, FACTOR = 30, 0.33  # it falls to about a quarter


def test_the_error_falls(tmp_path):
    """Of whole images, on the masks that are trained on. The bundled decoder is frozen, so all of it is the encoder's
    work: if no gradient reached the encoder, the error would stay as it is."""
    options, masks = make_all(tmp_path), tmp_path / "masks.txt"
    make_steps(tmp_path / "steps.yaml", img_size=16, resolution_vol=8)
    masks.write_text("0.png\n1.png\n2.png\n3.png\n")
    opts = parse([*options, f"--exp_dir={tmp_path}/run", f"--train_paths_conf={masks}", f"--test_paths_conf={masks}",
                  f"--pigan_weights={ROOT / 'pretrained_models/sem2nerf_demo.pt'}", "--decoder_width=128",
                  "--pigan_zdim=96", "--lock_view_direction", "--samples_per_ray=8", "--test_output_size=12",
                  "--ray_min_scale=1", "--batch_size=4", "--optim_name=adam", "--learning_rate=1e-3", "--dis_lambda=0"])
    objective = Sem2NeRFObjective(opts, World(torch.device("cpu")))

    def error():
        return objective.validate(lambda: False).metrics["loss_l2"]

    def weights(module):
        return torch.cat([value.flatten() for value in module.parameters()]).clone()

    start, seen = error(), 0
    encoder, decoder = weights(objective.net.encoder), weights(objective.net.decoder)
    for step in range(STEPS):
        seen += objective.step(step, seen).samples
    assert error() < FACTOR * start
    assert (weights(objective.net.encoder) != encoder).float().mean() > 0.9, "all of it learns, not the head alone"
    assert torch.equal(weights(objective.net.decoder), decoder)
