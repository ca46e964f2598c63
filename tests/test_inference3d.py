"""scripts/inference3d.py as a user runs it: files, names, sizes, reproducibility."""

import re
import sys

import child_processes
import numpy as np
import pytest
import torch
from conftest import ROOT
from inferring import CATS, FACES, SMALL, images, infer, names_list
from PIL import Image
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint

from scripts.inference3d import main
from utils.cli import run


def test_files_names_and_sizes(tmp_path, weights, faces):
    assert infer(tmp_path, weights, faces) == [
        "inference.bash",
        *(f"iter_500_infer_results_16/{name}_mask8_seed0.png" for name in ("90001_hair", "90001", "90002"))]
    for image in images(tmp_path).values():
        assert image.shape == (16, 6 * 16, 3)  # mask and five yaws
        assert len({image[:, k * 16 : k * 16 + 16].tobytes() for k in range(1, 6)}) == 5
    assert "--test_output_size 16" in (tmp_path / "inference.bash").read_text()


def test_files_are_named_by_the_layers_as_given(tmp_path, weights, faces):
    one_view = ["--n_outputs_to_generate=1", "--inject_code_seed=3"]
    infer(tmp_path, weights, faces / "90001.png", "--latent_mask=8,7", *one_view)
    other_order = images(tmp_path)["90001_mask87_seed3.png"]
    infer(tmp_path, weights, faces / "90001.png", "--latent_mask=7,8", *one_view)
    np.testing.assert_array_equal(images(tmp_path)["90001_mask78_seed3.png"], other_order)


def test_every_kind_of_output(tmp_path, weights, faces):
    written = infer(tmp_path, weights, faces / "90001.png", "--latent_mask=6,7,8", "--inject_code_seed=711",
                    "--use_original_pose", "--mask_overlay_weight=.15", "--couple_outputs", "--style_mix_seq_num=3",
                    "--n_outputs_to_generate=2", "--render_mode=v")
    stem = "iter_500_infer_results_16/90001_mask678_seed711"
    assert written[1:] == [f"{stem}-256_styles.png", f"{stem}.png", f"{stem}_coupled.png", f"{stem}_overlay.png"]
    shown = {name.removeprefix("90001_mask678_seed711"): image for name, image in images(tmp_path).items()}
    widths = {name: image.shape[1] // 16 for name, image in shown.items()}
    assert widths == {".png": 4, "_overlay.png": 3, "_coupled.png": 2, "-256_styles.png": 4}
    mask, view, blend = np.split(shown["_overlay.png"].astype(float), 3, axis=1)
    np.testing.assert_allclose(blend, 0.85 * view + 0.15 * mask, atol=0.51)
    np.testing.assert_array_equal(view, shown[".png"][:, 16:32])  # the own pose comes first
    np.testing.assert_array_equal(view, shown["-256_styles.png"][:, 16:32])  # the strip starts at the first style


def test_no_style_and_mean_head(tmp_path, weights, faces):
    assert any(name.endswith("/90001.png") for name in infer(tmp_path / "a", weights, faces, "--latent_mask", ""))
    infer(tmp_path / "b", weights, faces, "--latent_mask", "", "--test_pigan_latent_avg")
    plain, mean = images(tmp_path / "a"), images(tmp_path / "b")
    views = [image[:, 16:].tobytes() for image in mean.values()]
    assert len(set(views)) == 1  # one head for all masks
    assert len({image[:, 16:].tobytes() for image in plain.values()}) == 3


def test_blending_lies_between_style_and_mask(tmp_path, weights, faces):
    one = faces / "90001.png"
    infer(tmp_path / "none", weights, one, "--latent_mask", "")
    infer(tmp_path / "zero", weights, one, "--mix_alpha", "0")
    infer(tmp_path / "full", weights, one, "--mix_alpha", "1")
    infer(tmp_path / "plain", weights, one)
    shown_images = {name: next(iter(images(tmp_path / name).values())) for name in ("none", "zero", "full", "plain")}
    np.testing.assert_array_equal(shown_images["none"], shown_images["zero"])
    np.testing.assert_array_equal(shown_images["plain"], shown_images["full"])


def test_resized_outputs(tmp_path, weights, faces):
    infer(tmp_path, weights, faces / "90001.png", "--resize_outputs", "--n_outputs_to_generate=1")
    assert next(iter(images(tmp_path).values())).shape == (256, 512, 3)


def test_two_runs_are_equal_bit_by_bit(tmp_path, weights, faces):
    for jitter in ([], ["--stochastic_sampling", "--seed", "5"]):
        for run_name in ("a", "b"):
            infer(tmp_path / run_name, weights, faces, *jitter)
        first, second = images(tmp_path / "a"), images(tmp_path / "b")
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_a_batch_equals_single_runs(tmp_path, weights, faces):
    infer(tmp_path / "batch", weights, faces, "--test_batch_size=3", "--test_workers=2", "--stochastic_sampling")
    for path in faces.glob("*.png"):
        infer(tmp_path / "single", weights, path, "--test_workers=0", "--stochastic_sampling")
    batch, single = images(tmp_path / "batch"), images(tmp_path / "single")
    assert len(batch) == len(single) == 3
    for name in batch:
        np.testing.assert_array_equal(batch[name], single[name])


def test_selecting_masks(tmp_path, weights, faces):
    (tmp_path / "list.txt").write_text("90002.png\n90001_hair\n")
    names = infer(tmp_path / "a", weights, faces, "--infer_paths_conf", str(tmp_path / "list.txt"), "--n_images=1")
    assert [name for name in names if "90" in name] == ["iter_500_infer_results_16/90002_mask8_seed0.png"]


def test_cats_by_their_old_name(tmp_path):
    weights = tiny_checkpoint(tmp_path / "sem2nerf_catmask_pretrained.pt", CAT_OPTS)
    names = infer(tmp_path / "out", weights, CATS, "--pigan_curriculum_type=PseudoCats", "--use_merged_labels",
                  "--latent_mask=7,8", "--inject_code_seed=390234", "--n_images=1")
    assert names[1] == "iter_pretrained_infer_results_16/90001_mask78_seed390234.png"


def test_model_options_come_from_the_checkpoint(tmp_path, faces):
    opts = {**FACE_OPTS, "use_merged_labels": False, "input_nc": 21, "label_nc": 19}
    weights = tiny_checkpoint(tmp_path / "unmerged.pt", opts)
    assert len(infer(tmp_path / "out", weights, faces / "90001.png")) == 2


def test_bundled_weights_show_different_heads(tmp_path):
    """Without any weights given, the demo model runs, and long hair looks unlike short hair."""
    main(["--use_merged_labels", "--exp_dir", str(tmp_path), "--test_output_size=24", "--pigan_infer_ray_step=6",
          "--n_outputs_to_generate=1", "--infer_paths_conf", str(names_list(tmp_path, "90001", "90001_hair"))])
    rows = list(images(tmp_path / "iter_demo_infer_results_24").values())
    assert len(rows) == 2
    short, long = (row[:, 24:].astype(float) for row in rows)
    assert np.abs(short - long).mean() > 4
    assert short.std() > 20


def test_real_process_reports_and_exits_cleanly(tmp_path, weights, faces):
    """A separate process, from another folder: exit code 0, a summary, and nothing on stderr but the bar."""
    command = [sys.executable, str(ROOT / "scripts/inference3d.py"), "--checkpoint_path", str(weights), "--data_path",
               str(faces / "90001.png"), "--exp_dir", str(tmp_path / "out"), *SMALL]
    done = child_processes.run(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^wrote 1 file to .*_results_16/$", done.stdout, re.MULTILINE), done.stdout
    assert "s per view" in done.stdout
    assert done.stderr == ""
    (line,) = (tmp_path / "out" / "inference.bash").read_text().splitlines()
    assert line == " ".join(["python", *command[1:]]), "the line runs again"
    done = child_processes.run([*command, "--latent_mask=99"], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_options_without_effect_warn(tmp_path, weights, faces, capsys):
    infer(tmp_path, weights, faces / "90001.png", "--predict_pose", "--encoder_n_styles=3", "--resize_factors=1")
    assert capsys.readouterr().err.splitlines() == [
        f"warning: --{name} has no effect on inference"
        for name in ("resize_factors", "predict_pose", "encoder_n_styles")]


def test_a_mask_that_is_read_again_is_warned_of_once(tmp_path, weights, faces, monkeypatch, capsys):
    monkeypatch.setattr("datasets.inference_set.KEPT", 0)  # as the masks of a folder of hundreds
    for name in ("1", "2"):
        Image.open(FACES / "90001.png").crop((0, 0, 512, 400)).save(tmp_path / f"{name}.png")
    run(main, ["--exp_dir", str(tmp_path / "out"), "--checkpoint_path", str(weights), "--data_path", str(tmp_path),
               *SMALL, "--n_outputs_to_generate=1"])
    assert [line.partition(": 512 x 400")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"warning: {tmp_path / name}" for name in ("1.png", "2.png")]


def test_wrong_label_order_warns(tmp_path, weights):
    """A mask numbered as BiSeNet does is read with a warning; with --label_order it gives the right image."""
    from configs.label_spaces import BISENET_ORDER

    folder = tmp_path / "mask"
    folder.mkdir()
    right = np.array(Image.open(FACES / "90001.png"))
    Image.fromarray(np.argsort(BISENET_ORDER).astype(np.uint8)[right]).save(folder / "90001.png")
    with pytest.warns(UserWarning, match="label_order"):
        infer(tmp_path / "wrong", weights, folder)
    infer(tmp_path / "fixed", weights, folder, "--label_order=bisenet")
    infer(tmp_path / "right", weights, FACES / "90001.png")
    fixed, expected, wrong = (next(iter(images(tmp_path / name).values())) for name in ("fixed", "right", "wrong"))
    np.testing.assert_array_equal(fixed, expected)
    assert (wrong != expected).any()


def test_tiny_models_are_visible(weights):
    """The other tests compare images: these must not be flat."""
    from models.sem2nerf import Sem2NeRF

    view = Sem2NeRF.from_checkpoint(weights).scene(torch.rand(18, 224, 224)).render(None, 16, 4)
    assert view.rgb.std((1, 2)).max() > 0.05  # within a channel: a plain colour is no image
