"""A training that starts from a checkpoint takes its architecture, label table and framing from it; and what of ours
the official release can load."""

import json

import pytest
import torch
from launching import Run, train
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint
from tiny_training import make_cat_data, make_data, make_steps

from datasets.masks.mask_input import MaskInput
from models.checkpoints import read_checkpoint, release_obstacles, save_checkpoint
from models.config import ModelConfig
from models.pigan.semantic_head import SemanticHead
from options.train_options import inherit, parse
from scripts.convert_checkpoint import main as convert
from scripts.train3d import main
from training.build import check_weights_fit, options_of_weights, resolve_options
from training.size_schedule import Stage
from utils.errors import UserError

FEW = ("--device=cpu", "--pigan_infer_ray_step=4", "--workers=0", "--lpips_lambda=0", "--dis_lambda=0", "--patch_train",
       "--val_interval=0", "--max_steps=1", "--batch_size=1")
FACES = {**FACE_OPTS, "src_input_size": 64, "use_merged_labels": False, "use_contour": False, "input_nc": 19,
         "label_nc": 19, "encoder_not_zplus": True, "start_from_latent_avg": False, "image_load_size": 300,
         "image_crop_size": 200}
CATS = {**CAT_OPTS, "src_input_size": 64, "dataset_type": "pseudocats_seg_to_3dface"}


@pytest.mark.parametrize("opts, make", [(FACES, make_data), (CATS, make_cat_data)], ids=["faces", "cats"])
def test_a_silent_command_line(tmp_path, opts, make):
    """Weights of another architecture than the default one, by path alone."""
    weights, data = tiny_checkpoint(tmp_path / "weights.pt", opts), make(tmp_path / "data")
    steps = make_steps(tmp_path / "steps.yaml")
    output = train([f"--exp_dir={tmp_path / 'run'}", f"--checkpoint_path={weights}", f"--data_root={data}",
                    f"--pigan_steps_conf={steps}", *FEW], tmp_path)
    assert f"starting from the weights of {weights}" in output
    after = torch.load(tmp_path / "run" / "checkpoints" / "latest_model.pt", weights_only=True)
    assert ModelConfig.from_contents(after) == ModelConfig.from_opts({**opts, "image_load_size": after["opts"][
        "image_load_size"], "image_crop_size": after["opts"]["image_crop_size"]})
    assert after["opts"]["image_load_size"] == round(after["opts"]["image_crop_size"] * (
        1.5 if opts is FACES else 1.25))
    run = Run([f"--exp_dir={tmp_path / 'other'}", f"--checkpoint_path={weights}", "--encoder_type=SwinEncoder", *FEW],
              tmp_path, name="other")
    assert run.wait() == 2
    assert f"error: --encoder_type SwinEncoder: the weights of {weights} are for SwinEncoderNano" in run.output
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("more, kept", [([], True), (["--train_decoder"], False)])
def test_a_semantic_head_stays_with_its_decoder(tmp_path, more, kept):
    """An encoder that is trained further changes nothing of what the head reads; a decoder does."""
    weights, data = tiny_checkpoint(tmp_path / "weights.pt", FACES), make_data(tmp_path / "data")
    head = SemanticHead((2,), "CelebAMask_HQ", torch.randn(19, 16), torch.zeros(19))
    save_checkpoint(weights, {**read_checkpoint(weights), "semantic": head.state()})
    main([f"--exp_dir={tmp_path / 'run'}", f"--checkpoint_path={weights}", f"--data_root={data}",
          f"--pigan_steps_conf={make_steps(tmp_path / 'steps.yaml')}", *FEW, *more])
    after = read_checkpoint(tmp_path / "run/checkpoints/latest_model.pt")
    assert ("semantic" in after) == kept
    if kept:
        assert torch.equal(after["semantic"]["weight"], head.weight)


@pytest.mark.parametrize("flag, name", [
    ("--encoder_type=SwinEncoderSmall", "encoder_type"), ("--pigan_hidden_dim=17", "pigan_hidden_dim"),
    ("--pigan_zdim=9", "pigan_zdim"), ("--encoder_output=codes", "encoder_not_zplus"), ("--use_contour", "use_contour"),
    ("--start_from_latent_avg", "start_from_latent_avg"), ("--use_merged_labels", "use_merged_labels"),
    ("--dataset_type=catmask_seg_to_3dface", "dataset_type"), ("--dataset_type=synthheads_seg_to_3dface", None),
    ("--src_input_size=96", None), ("--encoder_output=z", None)])
def test_contradictions_are_named(flag, name):
    of_weights = options_of_weights({"opts": FACES}, "weights.pt")
    opts = inherit(of_weights, ["--exp_dir=x", flag])
    if name is None:
        check_weights_fit(opts, of_weights, "weights.pt")
        return
    with pytest.raises(UserError) as error:
        check_weights_fit(opts, of_weights, "weights.pt")
    assert error.value.settings == (name,)
    assert "weights.pt" in str(error.value)


def test_framing_of_the_weights_at_other_sizes():
    framing = MaskInput.from_opts(FACES).transform
    opts = resolve_options(parse(["--exp_dir=x"]), (Stage(0, 512, 64),), framing)
    assert (opts.image_load_size, opts.image_crop_size) == (768, 512)
    opts = resolve_options(parse(["--exp_dir=x", "--image_load_size=600"]), (Stage(0, 512, 64),), framing)
    assert (opts.image_load_size, opts.image_crop_size) == (600, 512)


def test_the_recipe_can_be_loaded_by_the_release():
    """What README's example converts."""
    recipe = ["--exp_dir=x", "--use_merged_labels", "--use_contour", "--start_from_latent_avg", "--patch_train"]
    cats = ["--dataset_type=catmask_seg_to_3dface", "--pigan_curriculum_type=CatMask"]
    for more in ([], cats):
        opts = resolve_options(parse([*recipe, *more]), (Stage(0, 512, 128),))
        assert release_obstacles({"opts": json.loads(json.dumps(vars(opts)))}) == []


@pytest.mark.parametrize("change, words", [
    ({"encoder_type": "SwinEncoderNano"}, "encoder is SwinEncoderNano"), ({"pigan_hidden_dim": 128}, "width is 128"),
    ({"pigan_zdim": 96}, "z is 96"), ({"src_input_size": 448}, "network input is 448"),
    ({"encoder_not_zplus": True}, "predicts z")])
def test_what_the_release_cannot_load(change, words):
    opts = vars(resolve_options(parse(["--exp_dir=x", "--use_contour"]), (Stage(0, 512, 128),)))
    (obstacle,) = release_obstacles({"opts": {**opts, **change}})
    assert words in obstacle
    (lacking,) = release_obstacles({"opts": {key: value for key, value in opts.items() if key != "distributed_train"}})
    assert "lack distributed_train" in lacking


def test_conversion_says_so(tmp_path, capsys):
    weights = tiny_checkpoint(tmp_path / "weights.pt", {**FACE_OPTS, "distributed_train": False})
    convert([str(weights), str(tmp_path / "official.pt")])
    said = capsys.readouterr()
    assert "official layout" in said.out
    assert said.err.startswith("warning: the code of the official release cannot load it: its encoder is Swin")
    convert([str(tmp_path / "official.pt"), str(tmp_path / "native.pt")])
    assert not capsys.readouterr().err
