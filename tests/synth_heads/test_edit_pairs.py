"""Heads in pairs, before and after an edit of one part, and what a decoder learns from them."""

import re
import shutil

import numpy as np
import pytest
import torch

from configs.data_configs import get_camera_preset
from models.pigan.siren import FilmSiren
from synth_heads.data.dataset import build_dataset, draw_head, split_heads
from synth_heads.data.record import Settings
from synth_heads.data.view_bank import ViewBank
from synth_heads.decoder.reconstruction import Reconstruction, ReconstructionSettings, draw_batch
from synth_heads.generator.latent import COLOUR, EDIT_LIMIT, LATENT_DIM, PARTS, SHAPE, edit_latent, latent_index
from synth_heads.losses.edits import edit_error
from synth_heads.scripts.train_decoder import main
from utils.errors import UserError

EDITED = Settings(num_heads=6, views=1, size=128, seed=4, merged=True, depth=True, edits=True)
GEOMETRY = get_camera_preset("CelebAMask_HQ")
SMALL = ("--device=cpu", "--pigan_hidden_dim=16", "--rays=12", "--rendered_rays=4", "--val_images=1",
         "--test_output_size=8", "--board_interval=1", "--val_interval=0")


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "heads"
    build_dataset(out, EDITED, workers=1)
    return out


@pytest.fixture(scope="module")
def bank(heads):
    return ViewBank.load(heads, "train")


# ---- data --------------------------------------------------------------------------------------------------------

def test_every_shape_entry_belongs_to_one_part():
    assert sorted(entry for entries in PARTS.values() for entry in entries) == list(range(LATENT_DIM)[SHAPE])
    assert latent_index("face", "nose_width") in PARTS["nose"]
    assert latent_index("face", "upper_lip") in PARTS["mouth"]
    assert latent_index("glasses", "worn") in PARTS["glasses"]


def test_an_edit_changes_one_part_as_far_as_the_limit():
    z, parts, values = np.zeros(LATENT_DIM, np.float32), set(), []
    for seed in range(400):
        changed = np.flatnonzero(edited := edit_latent(z, np.random.default_rng(seed)))
        (part,) = [name for name, entries in PARTS.items() if set(changed) <= set(entries)]
        parts.add(part)
        values += edited[changed].tolist()
    assert not z.any()
    assert parts == set(PARTS)
    assert np.abs(values).max() == pytest.approx(EDIT_LIMIT, rel=0.05)
    assert np.abs(values).max() <= EDIT_LIMIT
    assert np.std(values) == pytest.approx(EDIT_LIMIT / np.sqrt(3), rel=0.1), "evenly spread"


def test_every_second_head_is_the_one_before_edited():
    full = Settings(num_heads=6, views=1, size=128, seed=4)
    for number in (0, 2, 4):
        (before, poses), (after, same_poses) = draw_head(EDITED, number), draw_head(EDITED, number + 1)
        np.testing.assert_array_equal(before, draw_head(full, number)[0])
        np.testing.assert_array_equal(poses, same_poses)
        changed = np.flatnonzero(before != after)
        assert len(changed) > 0
        assert any(set(changed) <= set(entries) for entries in PARTS.values())


def test_pairs_with_varied_norms():
    """Every second pair lies nearer to the mean head, but for the edit."""
    varied, full = (Settings(num_heads=8, views=1, size=128, seed=4, edits=True, norms=norms)
                    for norms in ("varied", "full"))
    for number in range(8):
        z, whole = draw_head(varied, number)[0], draw_head(full, number)[0]
        before = draw_head(varied, number - number % 2)[0]
        assert np.array_equal(z, whole) == (number // 2 % 2 == 0)
        assert np.linalg.norm(before[SHAPE]) <= np.linalg.norm(draw_head(full, number - number % 2)[0][SHAPE])
        if number % 2:
            np.testing.assert_array_equal(np.flatnonzero(z != before), np.flatnonzero(
                whole != draw_head(full, number - 1)[0]))


@pytest.mark.parametrize("count", [2, 6, 30, 46, 200])
def test_pairs_stay_in_one_list(count):
    splits = split_heads(count, together=2)
    for heads in splits.values():
        assert heads
        assert heads[::2] == [head - 1 for head in heads[1::2]]
        assert not any(head % 2 for head in heads[::2])


def test_an_odd_number_of_heads():
    with pytest.raises(UserError, match="`num_heads` 3: with `edits` heads come in pairs"):
        Settings(num_heads=3, views=1, size=128, edits=True)


# ---- training ----------------------------------------------------------------------------------------------------

def test_partners(bank, heads):
    assert bank.heads.tolist() == [0, 1]
    assert bank.partners.tolist() == [1, 0]
    assert ViewBank.load(heads, "train", limit=1).partners.tolist() == [-1], "its other half was not read"


def test_a_pair_differs_in_the_edit_alone(bank):
    settings = ReconstructionSettings(rays=50, rendered_rays=2, label_balance=0.3, edit_weight=1)
    batch = draw_batch([(bank, 0), (bank, 1)], settings, [np.random.default_rng(seed) for seed in (5, 6)])
    assert len(batch.z_shape) == 4
    for name in ("poses", "places", "uniform", "strata", "crossover"):
        value = getattr(batch, name)
        assert torch.equal(value[::2], value[1::2]), name
    edited = np.flatnonzero(bank.z[0] != bank.z[1])
    difference = (batch.z_shape[1] - batch.z_shape[0]).numpy()
    assert set(np.flatnonzero(np.abs(difference) > 1e-6)) == set(edited)
    assert torch.equal(batch.z_shape[0][COLOUR], batch.z_shape[1][COLOUR])
    assert torch.equal(batch.z_colour[0], batch.z_colour[1]), "colours do not know of the edit"


def test_what_is_wrong_before_and_after_is_no_error_of_the_edit():
    truth = torch.tensor([[[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]], [[0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]])
    assert edit_error(truth + torch.tensor([[0.1, 0.0, 0.0], [0.0, -0.3, 0.0]]), truth).item() == pytest.approx(0)
    unchanged = truth[[0, 0]]
    assert edit_error(unchanged, truth).item() == pytest.approx(0.2), "half of the rays should have changed by .4"


def test_small_edits_count_more():
    """One edit changes everything by .095, another nothing: of their errors the second's counts twenty times."""
    truth = torch.tensor([[0.0], [0.095], [0.0], [0.0]])
    assert edit_error(truth + torch.tensor([[0.0], [0.21], [0.0], [0.0]]), truth).item() == pytest.approx(0.01)
    assert edit_error(truth + torch.tensor([[0.0], [0.0], [0.0], [0.21]]), truth).item() == pytest.approx(0.20)


def test_the_term_has_its_weight(bank):
    batch = draw_batch([(bank, 0)], ReconstructionSettings(rays=20, edit_weight=1), [np.random.default_rng(0)])
    torch.manual_seed(0)
    siren = FilmSiren(16, LATENT_DIM)
    totals = {}
    for weight in (1.0, 3.0):
        settings = ReconstructionSettings(rays=20, edit_weight=weight)
        totals[weight], terms = Reconstruction(siren, GEOMETRY, settings)(batch)
    parts = [terms[name].item() for name in ("edit", "edit_occupancy", "edit_render")]
    assert min(parts) > 0
    wanted = parts[0] + settings.occupancy_weight * parts[1] + parts[2]
    assert (totals[3.0] - totals[1.0]).item() == pytest.approx(2 * wanted, rel=1e-3)


def test_a_run_with_edits_that_starts_from_another_decoder(heads, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    common = [*SMALL, f"--data_root={heads}", "--batch_size=2", "--edit_lambda=0.5"]
    main([*common, f"--exp_dir={first}", "--max_steps=2"])
    assert re.search(r"step 2/2  colour [.\d]+  edit [.\d]+", capsys.readouterr().out)
    weights = first / "checkpoints" / "generator.pth"
    main([*common, f"--exp_dir={second}", "--max_steps=1", "--learning_rate=1e-12", f"--pigan_weights={weights}"])
    one, two = (torch.load(run / "checkpoints" / "generator.pth", weights_only=True) for run in (first, second))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)
    weights.unlink()
    main([*common, f"--exp_dir={second}", "--auto_resume", "--max_steps=2"])


@pytest.mark.parametrize("flags, message", [
    (["--batch_size=3"], "--batch_size 3: with --edit_lambda heads come in pairs"),
    (["--pigan_weights=nowhere.pth"], "nowhere.pth"),
])
def test_impossible_options(flags, message, heads, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        main([*SMALL, f"--data_root={heads}", "--edit_lambda=1", f"--exp_dir={tmp_path / 'run'}", *flags])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_data_without_pairs(tmp_path):
    build_dataset(tmp_path / "heads", Settings(num_heads=3, views=1, size=128, merged=True, depth=True), workers=1)
    with pytest.raises(UserError, match="--edit_lambda: it needs heads in pairs"):
        main([*SMALL, f"--data_root={tmp_path / 'heads'}", "--edit_lambda=1", f"--exp_dir={tmp_path / 'run'}"])


def test_neither_depth_nor_rendering(heads, tmp_path):
    flat = tmp_path / "flat"
    shutil.copytree(heads, flat, ignore=shutil.ignore_patterns("depth"))
    with pytest.raises(UserError, match="--render_lambda 0: without depth"):
        main([*SMALL, f"--data_root={flat}", "--render_lambda=0", f"--exp_dir={tmp_path / 'run'}"])


def test_codes_of_another_length(heads, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(heads, other)
    with np.load(heads / "latents.npz") as file:
        np.savez(other / "latents.npz", **{**file, "z": file["z"][:, :50]})
    with pytest.raises(UserError, match="other: its z have 50 entries, those of --data_root 96"):
        main([*SMALL, f"--data_root={heads}", f"--more_data={other}", f"--exp_dir={tmp_path / 'run'}"])
