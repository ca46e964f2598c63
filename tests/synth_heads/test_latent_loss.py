"""Codes that a data set carries: read, compared, and learnt from without rendering anything."""

import re

import numpy as np
import pytest
import torch
from known_heads import Run, train
from tiny_training import make_all

from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren
from synth_heads.data.known_z import read_latents
from synth_heads.losses.known_z import SHAPE_LAYERS, code_distance
from utils.errors import UserError

Z_DIM = 8
ALONE = ("--latent_lambda=1", "--l2_lambda=0", "--dis_lambda=0", "--w_norm_lambda=0", "--val_interval=2",
         "--max_steps=4", "--batch_size=2", "--learning_rate=1e-3")


def write_latents(root, images=6):
    """Two images a head."""
    ids = np.arange(images).reshape(-1, 2)
    z = np.random.default_rng(0).standard_normal((len(ids), Z_DIM), dtype=np.float32)
    np.savez(root / "latents.npz", z=z, ids=ids, camera=np.zeros((*ids.shape, 2)), names=np.array(["a"] * Z_DIM))
    return z


def test_distance_looks_at_the_shape_layers():
    torch.manual_seed(0)
    siren, known = FilmSiren(width=4, z_dim=Z_DIM), torch.randn(2, Z_DIM)
    codes = siren.mapping_network(known).detach()
    assert code_distance(siren, codes, known) == 0
    frequencies = codes.frequencies.clone()
    frequencies[:, SHAPE_LAYERS * 4:] += 10  # colours: nothing is said of them
    assert code_distance(siren, Codes(frequencies, codes.phase_shifts), known) == 0
    frequencies[:, :SHAPE_LAYERS * 4] += 2  # off by 2 in one of two halves: (4 + 0) / 2
    assert code_distance(siren, Codes(frequencies, codes.phase_shifts), known).item() == pytest.approx(2, rel=1e-4)


def test_z_learns_from_its_codes():
    """The way back through the mapping network: the gradient of z points to the known z."""
    torch.manual_seed(0)
    siren, known = FilmSiren(width=4, z_dim=Z_DIM), torch.randn(2, Z_DIM)
    z = (known + 0.01 * torch.randn_like(known)).requires_grad_()
    code_distance(siren, siren.mapping_network(z), known).backward()
    assert ((z - known) * z.grad).sum() > 0


@pytest.mark.parametrize("kind", [["--encoder_not_zplus"], ["--start_from_latent_avg"]])
def test_training_on_codes_alone(tmp_path, kind):
    argv = [option for option in make_all(tmp_path) if option != "--start_from_latent_avg"]
    write_latents(tmp_path / "data")
    output = train([*argv, *kind, *ALONE, f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert "latent" in output
    assert "l2" not in output.split("validation")[0].split("step 4/4")[-1].split("s/step")[0]
    contents = torch.load(tmp_path / "run/checkpoints/latest_model.pt", weights_only=True)
    assert contents["state_dict"]["encoder.head.weight"].abs().max() > 0, "it starts at zero"
    assert contents["best_val_loss"] < 100
    assert not (tmp_path / "run/logs/images/train").exists(), "nothing was rendered"


def test_z_itself(tmp_path):
    """An encoder that predicts z learns from z, in training and in validation; its distance is that of z, unweighed."""
    argv = [option for option in make_all(tmp_path) if option != "--start_from_latent_avg"]
    z = write_latents(tmp_path / "data")
    output = train([*argv, "--encoder_not_zplus", *ALONE, "--latent_lambda=0", "--z_lambda=2",
                    "--learning_rate=1e-9", f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert "latent" not in output.split("step 4/4")[-1].split("s/step")[0]
    first = re.search(r"validation at step 2:.* z ([.\d]+)", output)
    assert float(first[1]) == pytest.approx(np.square(z[0]).mean(), rel=0.02), "mask 0 is held out, z starts at 0"


def test_z_of_an_encoder_that_predicts_codes(tmp_path):
    run = Run([*make_all(tmp_path), "--z_lambda=1", f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert run.wait() == 2
    assert "--z_lambda: only an encoder that predicts z" in run.output


def test_mistakes_are_one_line(tmp_path):
    argv = make_all(tmp_path)
    run = Run([*argv, *ALONE, f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert run.wait() == 2
    assert "it has no readable latents.npz, which --latent_lambda needs" in run.output
    write_latents(tmp_path / "data", images=4)
    run = Run([*argv, *ALONE, f"--exp_dir={tmp_path / 'run'}"], tmp_path, name="few")
    assert run.wait() == 2
    assert "no z for mask 4.png" in run.output
    (tmp_path / "data/latents.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"no readable latents\.npz"):
        read_latents(tmp_path / "data", "`latent_lambda`")


def test_a_decoder_beside_a_checkpoint_takes_its_decoders_place(tmp_path):
    argv = make_all(tmp_path)
    common = [*argv, "--max_steps=1", "--val_interval=0", "--dis_lambda=0"]
    train([*common, f"--exp_dir={tmp_path / 'first'}"], tmp_path, name="first")
    other = tmp_path / "other.pth"
    state = torch.load(tmp_path / "decoder.pth", weights_only=True)
    torch.save({key: value * 0.5 for key, value in state.items()}, other)
    replaced = [option for option in common if not option.startswith("--pigan_weights")]
    train([*replaced, f"--pigan_weights={other}", f"--exp_dir={tmp_path / 'second'}",
           f"--checkpoint_path={tmp_path / 'first/checkpoints/latest_model.pt'}"], tmp_path, name="second")
    after = torch.load(tmp_path / "second/checkpoints/latest_model.pt", weights_only=True)["state_dict"]
    key = "siren.network.3.layer.weight"
    torch.testing.assert_close(after[f"decoder.{key}"], state[key] * 0.5)

