"""Codes that a data set carries: read, compared, and learnt from without rendering anything."""

import numpy as np
import pytest
import torch
from launching import Run, train
from tiny_training import make_all

from criteria.latent import SHAPE_LAYERS, latent_distance
from datasets.latents import read_latents
from models.config import ModelConfig
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError

Z_DIM = 8
ALONE = ("--latent_lambda=1", "--l2_lambda=0", "--dis_lambda=0", "--w_norm_lambda=0", "--val_interval=2",
         "--max_steps=4", "--batch_size=2", "--learning_rate=1e-3")


def write_latents(root, pictures=6):
    """Two pictures a head."""
    ids = np.arange(pictures).reshape(-1, 2)
    z = np.random.default_rng(0).standard_normal((len(ids), Z_DIM), dtype=np.float32)
    np.savez(root / "latents.npz", z=z, ids=ids, camera=np.zeros((*ids.shape, 2)), names=np.array(["a"] * Z_DIM))
    return z


def small_net(predicts_z):
    opts = {"encoder_type": "SwinEncoderNano", "input_nc": 5, "src_input_size": 64, "pigan_hidden_dim": 4,
            "pigan_zdim": Z_DIM, "encoder_not_zplus": predicts_z, "start_from_latent_avg": not predicts_z}
    torch.manual_seed(0)
    return Sem2NeRF(ModelConfig.from_opts(opts))


def test_every_picture_has_its_heads_code(tmp_path):
    z = write_latents(tmp_path)
    codes = read_latents(tmp_path, "--latent_lambda").by_picture()
    assert sorted(codes) == list(range(6))
    np.testing.assert_array_equal(codes[3], z[1])
    np.testing.assert_array_equal(codes[2], codes[3])


def test_distance_of_z():
    net = small_net(predicts_z=True)
    known = torch.randn(2, Z_DIM)
    out = known + torch.tensor([[1.0], [3.0]])
    assert latent_distance(net, out, net.codes_of(out), known) == pytest.approx(5)  # (1 + 9) / 2


def test_distance_of_codes_looks_at_the_shape_layers():
    net = small_net(predicts_z=False)
    known, width = torch.randn(2, Z_DIM), net.config.width
    codes = net.siren.mapping_network(known)
    offset = codes - net.latent_avg.expand(2)
    out = torch.cat([offset.frequencies, offset.phase_shifts], 1)
    predicted = net.codes_of(out)
    assert latent_distance(net, out, predicted, known).item() < 1e-10
    frequencies = predicted.frequencies.clone()
    frequencies[:, SHAPE_LAYERS * width:] += 10  # colours: nothing is said of them
    assert latent_distance(net, out, type(codes)(frequencies, predicted.phase_shifts), known).item() < 1e-10
    frequencies[:, :SHAPE_LAYERS * width] += 2
    moved = type(codes)(frequencies, predicted.phase_shifts)
    assert latent_distance(net, out, moved, known).item() == pytest.approx(4 / 2, rel=1e-4)


@pytest.mark.parametrize("kind", [["--encoder_not_zplus"], ["--start_from_latent_avg"]])
def test_training_on_codes_alone(tmp_path, kind):
    argv = [option for option in make_all(tmp_path) if option != "--start_from_latent_avg"]
    write_latents(tmp_path / "data")
    output = train([*argv, *kind, *ALONE, f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert "latent" in output
    assert "l2" not in output.split("validation")[0].split("step 4/4")[-1].split("s/step")[0]
    contents = torch.load(tmp_path / "run/checkpoints/latest_model.pt", weights_only=True)
    assert contents["state_dict"]["encoder.head.fc.weight"].abs().max() > 0, "it starts at zero"
    assert contents["best_val_loss"] < 100
    assert not (tmp_path / "run/logs/images/train").exists(), "nothing was rendered"


def test_mistakes_are_one_line(tmp_path):
    argv = make_all(tmp_path)
    run = Run([*argv, *ALONE, f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert run.wait() == 2
    assert "it has no readable latents.npz, which --latent_lambda needs" in run.output
    write_latents(tmp_path / "data", pictures=4)
    run = Run([*argv, *ALONE, f"--exp_dir={tmp_path / 'run'}"], tmp_path, name="few")
    assert run.wait() == 2
    assert "no code for mask 4.png" in run.output
    (tmp_path / "data/latents.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"no readable latents\.npz"):
        read_latents(tmp_path / "data", "--latent_lambda")


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

