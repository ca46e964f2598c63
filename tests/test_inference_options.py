"""Options of scripts/inference3d.py: names, defaults, and what the checkpoint decides."""

import json

import pytest
from conftest import GOLDEN
from tiny import FACE_OPTS

from datasets.masks.maps import MaskTransform
from datasets.masks.mask_input import MaskInput
from models.config import with_options
from options.inference_options import WITHOUT_EFFECT, build_parser, complete, model_answers, parse_options
from utils.errors import UserError


def completed(trained, *argv, **contents):
    """The options, and how masks are read, for a checkpoint with these training options."""
    opts, given = parse_options(argv)
    contents = with_options({"opts": trained, **contents}, model_answers(opts, given), "net.pt")
    return complete(opts, given, contents["opts"]), MaskInput.of_checkpoint(contents)


def test_framing_follows_the_checkpoint():
    for trained, expected in (((640, 512), (320, 256)), ((256, 256), (256, 256)), ((-1, -1), (320, 256))):
        frame = completed({**FACE_OPTS, "image_load_size": trained[0], "image_crop_size": trained[1]})[1].transform
        assert (frame.load_size, frame.crop_size) == expected
    assert completed(FACE_OPTS, "--image_load_size=300")[1].transform == MaskTransform(300, 256)
    stored = MaskInput(transform=MaskTransform(300, 200, 96))
    assert completed(FACE_OPTS, input=stored.to_dict())[1] == stored
    asked = completed(FACE_OPTS, "--image_load_size=400", "--label_order=bisenet", input=stored.to_dict())[1]
    assert asked == MaskInput(label_order="bisenet", transform=MaskTransform(400, 200, 96))


@pytest.mark.parametrize("stored", [{}, {"input": MaskInput().to_dict()}])
def test_what_contradicts_the_checkpoint_is_refused(stored):
    confirmed = ["--use_merged_labels", "--dataset_type=synthheads_seg_to_3dface"]
    assert completed(FACE_OPTS, *confirmed, **stored)[1] == MaskInput()
    for argv, words in ((["--use_merged_labels", "no"], "the network reads 18; leave out `use_merged_labels`"),
                        (["--pigan_curriculum_type=PseudoCats"], "leave out `pigan_curriculum_type` to take"),
                        (["--dataset_type=catmask_seg_to_3dface"], "does not go with the camera preset CelebAMask_HQ"),
                        (["--dataset_type=dogs"], "`dataset_type` dogs: not known")):
        with pytest.raises(UserError, match=words):
            completed(FACE_OPTS, *argv, **stored)
    with pytest.raises(UserError, match=r"net\.pt: its own options do not work here: .* the network reads 21"):
        completed({**FACE_OPTS, "input_nc": 21})


def test_every_official_option_has_its_name_and_default(golden):
    defaults = json.loads((GOLDEN / "tables.json").read_text())["test_option_defaults"]
    ours = vars(build_parser().parse_args([]))
    differing = {name: (ours.get(name, "missing"), value) for name, value in defaults.items()
                 if ours.get(name, "missing") != value}
    # parsed into layer numbers; and a bound that would keep a GPU from its best size is none of ours
    assert differing == {"latent_mask": ((8,), "8"), "pigan_infer_max_batch": (None, 50_000)}


def test_image_options_come_from_the_checkpoint_unless_given():
    trained = {**FACE_OPTS, "test_output_size": 128, "pigan_infer_ray_step": 28}
    assert (parse_options([])[0].test_output_size, parse_options([])[0].pigan_infer_ray_step) == (256, 24)
    opts = completed(trained)[0]
    assert (opts.test_output_size, opts.pigan_infer_ray_step) == (128, 28)
    assert completed(trained, "--test_output_size=256")[0].test_output_size == 256


def test_plain_names_are_the_official_ones():
    aliases = ["--samples_per_ray=5", "--image_size=32", "--style_layers=7", "--style_seed=3", "--max_points=9",
               "--views=2", "--show_mean_head"]
    official = ["--pigan_infer_ray_step=5", "--test_output_size=32", "--latent_mask=7", "--inject_code_seed=3",
                "--pigan_infer_max_batch=9", "--n_outputs_to_generate=2", "--test_pigan_latent_avg"]
    assert parse_options(aliases) == parse_options(official)


def test_options_without_effect_are_accepted_and_hidden():
    for argv in (["--predict_pose"], ["--predict_pose", "True"], ["--encoder_n_styles=3"], ["--resize_factors", "1,2"]):
        assert parse_options(argv)[1] == {argv[0].lstrip("-").partition("=")[0]}
    shown = build_parser().format_help()
    for name in WITHOUT_EFFECT:
        assert f"--{name}" not in shown
    for group in ("of the paper: style:", "speed and memory:", "beyond the paper:"):
        assert f"\n{group}\n" in shown


def test_giving_an_option_of_the_strip_asks_for_it():
    """Even with the value that it has by default: see its help."""
    assert not parse_options([])[0].style_strip
    assert parse_options(["--inject_code_seed2=256"])[0].style_strip
    assert parse_options(["--style_mix_seq_num=7"])[0].style_strip
