"""Codes that a data set carries: read, compared, and learnt from without rendering anything."""

import numpy as np
import pytest
import torch
from launching import Run, train
from tiny_training import make_all

from criteria.latent import EDIT_FLOOR, SHAPE_LAYERS, edit_distance, latent_distance
from datasets.latents import edit_partners, read_latents
from models.pigan.codes import Codes
from models.pigan.siren import FilmSiren
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


def test_distance_looks_at_the_shape_layers():
    torch.manual_seed(0)
    siren, known = FilmSiren(width=4, z_dim=Z_DIM), torch.randn(2, Z_DIM)
    codes = siren.mapping_network(known).detach()
    assert latent_distance(siren, codes, known) == 0
    frequencies = codes.frequencies.clone()
    frequencies[:, SHAPE_LAYERS * 4:] += 10  # colours: nothing is said of them
    assert latent_distance(siren, Codes(frequencies, codes.phase_shifts), known) == 0
    frequencies[:, :SHAPE_LAYERS * 4] += 2  # off by 2 in one of two halves: (4 + 0) / 2
    assert latent_distance(siren, Codes(frequencies, codes.phase_shifts), known).item() == pytest.approx(2, rel=1e-4)


def test_z_learns_from_its_codes():
    """The way back through the mapping network: the gradient of z points to the known z."""
    torch.manual_seed(0)
    siren, known = FilmSiren(width=4, z_dim=Z_DIM), torch.randn(2, Z_DIM)
    z = (known + 0.01 * torch.randn_like(known)).requires_grad_()
    latent_distance(siren, siren.mapping_network(z), known).backward()
    assert ((z - known) * z.grad).sum() > 0


def test_what_is_wrong_before_and_after_is_no_error_of_an_edit():
    torch.manual_seed(0)
    siren, known = FilmSiren(width=4, z_dim=Z_DIM), torch.randn(4, Z_DIM)
    codes = siren.mapping_network(known).detach()
    off = torch.randn(2, 1, 9 * 4).expand(-1, 2, -1).reshape(4, -1)  # the same for both heads of a pair
    assert edit_distance(siren, Codes(codes.frequencies + off, codes.phase_shifts - off), known) < 1e-10
    assert edit_distance(siren, Codes(codes.frequencies + torch.randn(4, 36), codes.phase_shifts), known) > 0.1


def test_edits_count_alike():
    """An encoder that does nothing has error 1, however large the edits; twice the edit has the same error."""
    torch.manual_seed(0)
    siren, known = FilmSiren(width=4, z_dim=Z_DIM), torch.randn(4, Z_DIM)
    codes = siren.mapping_network(known).detach()
    same, twice = (Codes(*(value[[0, 0, 2, 2]] + factor * (value - value[[0, 0, 2, 2]])
                           for value in (codes.frequencies, codes.phase_shifts))) for factor in (0, 2))
    for predicted in (same, twice):
        assert edit_distance(siren, predicted, known).item() == pytest.approx(1, abs=0.02)
    known[1::2] = known[::2]  # no edit: only what the encoder changes counts, against the floor
    still = Codes(codes.frequencies[[0, 0, 2, 2]], codes.phase_shifts[[0, 0, 2, 2]])
    assert edit_distance(siren, still, known) == 0
    moved = Codes(still.frequencies + torch.tensor([0, 0.01, 0, 0.01])[:, None], still.phase_shifts)
    assert edit_distance(siren, moved, known).item() == pytest.approx(0.5 * 0.01 ** 2 / EDIT_FLOOR, rel=1e-3)


def test_heads_in_pairs():
    cameras = np.zeros((6, 1, 2))
    cameras[2:4] = 1
    cameras[5] = 2
    assert edit_partners(np.arange(6), cameras).tolist() == [1, 0, 3, 2, -1, -1], "4 and 5 are seen from other sides"
    assert edit_partners(np.array([1, 2, 3]), cameras[1:4]).tolist() == [-1, 2, 1]


def test_training_on_edits(tmp_path):
    """Batches are a head and its edit, mirrored ones too; data without pairs is refused in one line."""
    argv = [option for option in make_all(tmp_path) if option != "--start_from_latent_avg"]
    write_latents(tmp_path / "data")
    (tmp_path / "data" / "train_paths.txt").write_text("0\n1\n2\n3\n")
    (tmp_path / "data" / "val_paths.txt").write_text("4\n")
    argv += ["--encoder_not_zplus", *ALONE, "--edit_lambda=0.5"]
    output = train([*argv, f"--exp_dir={tmp_path / 'run'}"], tmp_path)
    assert "edit" in output
    (tmp_path / "data" / "train_paths.txt").write_text("0\n1\n2\n")
    run = Run([*argv, f"--exp_dir={tmp_path / 'two'}"], tmp_path, name="two")
    assert run.wait() == 2
    assert "1.png of" in run.output, "its partner 3 is not on the list"
    assert "--edits" in run.output


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

