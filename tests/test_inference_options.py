"""Options of scripts/inference3d.py: names, defaults, and what the checkpoint decides."""

import json

from conftest import GOLDEN
from tiny import FACE_OPTS

from options.inference_options import build_parser, complete, parse_options


def test_framing_follows_the_checkpoint():
    for trained, expected in (((640, 512), (320, 256)), ((256, 256), (256, 256)), ((-1, -1), (320, 256))):
        opts, given = parse_options([])
        done = complete(opts, given, {**FACE_OPTS, "image_load_size": trained[0], "image_crop_size": trained[1]})
        assert (done.image_load_size, done.image_crop_size) == expected
    opts, given = parse_options(["--image_load_size", "300"])
    assert complete(opts, given, FACE_OPTS).image_load_size == 300


def test_every_official_option_has_its_name_and_default(golden):
    defaults = json.loads((GOLDEN / "tables.json").read_text())["test_option_defaults"]
    ours = vars(build_parser().parse_args([]))
    differing = {name: (ours.get(name, "missing"), value) for name, value in defaults.items()
                 if ours.get(name, "missing") != value}
    assert differing == {"latent_mask": ((8,), "8")}  # parsed into layer numbers


def test_image_options_come_from_the_checkpoint_unless_given():
    trained = {**FACE_OPTS, "test_output_size": 128, "pigan_infer_ray_step": 28}
    opts, given = parse_options([])
    assert (opts.test_output_size, opts.pigan_infer_ray_step) == (256, 24)
    done = complete(opts, given, trained)
    assert (done.test_output_size, done.pigan_infer_ray_step) == (128, 28)
    opts, given = parse_options(["--test_output_size=256"])
    assert complete(opts, given, trained).test_output_size == 256
