"""Label tables against the released ones, and the look-ups around them."""

import json

import numpy as np
import pytest
from conftest import GOLDEN

from configs.data_configs import DATA_CONFIGS, config_of_preset, data_config, get_camera_preset
from configs.label_spaces import BISENET_ORDER, LABEL_SPACES, LabelSpace, shown_palette
from utils.errors import UserError


@pytest.fixture(scope="module")
def tables():
    return json.loads((GOLDEN / "tables.json").read_text())


@pytest.mark.parametrize("name, colours", [
    ("CelebAMask_HQ", "CelebAMask_HQ_19"), ("CelebAMask_HQ_merged", "CelebAMask_HQ_16"),
    ("CatMask", "CatMask_16"), ("CatMask_merged", "CatMask_8"),
])
def test_palettes_are_the_released_ones(tables, name, colours):
    assert [list(colour) for colour in LABEL_SPACES[name].palette] == tables["colors"][colours]


@pytest.mark.parametrize("name", ["CelebAMask_HQ", "CatMask"])
def test_merges_are_the_released_ones(tables, name):
    assert list(LABEL_SPACES[name].merge) == tables["merge"][name]


def test_part_names_are_the_released_ones(tables):
    faces = LABEL_SPACES["CelebAMask_HQ"]
    assert {name: faces.index(name) for name in tables["TYPE_TO_LABEL"]} == tables["TYPE_TO_LABEL"]


@pytest.mark.parametrize("name, sizes", [("CelebAMask_HQ", (19, 16)), ("CatMask", (16, 8))])
def test_every_part_merges_into_one_of_its_own_name(name, sizes):
    space = LABEL_SPACES[name]
    assert (len(space), len(space.merged)) == sizes
    for label, part in enumerate(space.labels):
        expected = "background" if part.startswith("body") else part.removeprefix("l_").removeprefix("r_")
        assert space.merged.labels[space.merge[label]] in (expected, part)  # l_lip is the lower lip and stays


def test_merged_parts_are_painted_like_the_parts_they_come_from():
    faces = LABEL_SPACES["CelebAMask_HQ"]
    assert faces.palette[faces.index("hair")] == faces.merged.palette[faces.merged.index("hair")] == (0, 0, 204)


def test_label_maps_are_shown_in_the_colours_of_mask_files():
    for name in ("CelebAMask_HQ", "CatMask"):
        files = LABEL_SPACES[name]
        assert shown_palette(files) == files.palette
        shown = shown_palette(files.merged)
        assert len(shown) == len(files.merged)
        for label, colour in enumerate(files.palette):  # the first part of each merged label gives it its colour
            if label == files.merge.index(files.merge[label]):
                assert shown[files.merge[label]] == colour
    faces = LABEL_SPACES["CelebAMask_HQ"]
    assert shown_palette(faces.merged)[faces.merged.index("eye")] == faces.palette[faces.index("l_eye")]


def test_bisenet_order_names_the_same_parts():
    names = " ".join(LABEL_SPACES["CelebAMask_HQ"].labels[label] for label in BISENET_ORDER)
    assert names == ("background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck "
                     "neck_l cloth hair hat")


def test_ambiguous_colours_are_known():
    assert LABEL_SPACES["CatMask"].ambiguous_colours == {(220, 220, 0): (1, 4)}
    assert LABEL_SPACES["CatMask_merged"].ambiguous_colours == {(0, 0, 0): (0, 7)}
    assert not LABEL_SPACES["CelebAMask_HQ"].ambiguous_colours
    assert not LABEL_SPACES["CelebAMask_HQ_merged"].ambiguous_colours


def test_a_space_that_does_not_fit_together_is_refused():
    good = {"name": "x", "labels": ("background", "skin"), "palette": ((0, 0, 0), (1, 1, 1)), "face": "skin"}
    merged = LabelSpace(**good)
    for wrong in ({"palette": ((0, 0, 0),)}, {"face": "head"}, {"merge": (0, 1)}, {"merge": (0, 0), "merged": merged}):
        with pytest.raises(ValueError, match="label space x"):
            LabelSpace(**good | wrong)


def test_views_and_curricula_are_the_released_ones(tables):
    for config in DATA_CONFIGS.values():
        yaws = np.pi / 2 + np.array(config.eval_yaw_offsets)
        np.testing.assert_allclose(yaws, tables["face_angles"][config.camera_preset], rtol=0, atol=1e-12)
        assert config.camera_preset in tables["curriculum"]


def test_dataset_types_of_the_released_checkpoints_are_known(tables):
    for tag in ("celebahq", "catmask"):
        opts = json.loads((GOLDEN / f"keys_{tag}.json").read_text())["opts"]
        config = data_config(opts["dataset_type"])
        assert config.camera_preset == opts["pigan_curriculum_type"]
        assert len(config.label_space.merged) == opts["label_nc"]


def test_extreme_poses_lie_in_the_range_of_the_released_draws(golden):
    drawn = golden("poses")
    for config in (data_config("celebahq_seg_to_3dface"), data_config("catmask_seg_to_3dface")):
        offsets = np.abs(drawn[f"randn_poses_{config.camera_preset}"] - np.pi / 2)
        for axis, (low, high) in enumerate((config.extreme_yaw, config.extreme_pitch)):
            moved = offsets[..., axis][offsets[..., axis] > 1e-6]
            assert len(moved) > 0
            assert low - 1e-6 <= moved.min() <= moved.max() <= high + 1e-6


def test_synthetic_heads_are_read_like_celebahq():
    synth = data_config("synthheads_seg_to_3dface")
    assert (synth.label_space.name, synth.camera_preset, str(synth.data_root)) == (
        "CelebAMask_HQ", "CelebAMask_HQ", "data/SynthHeads")


def test_old_curriculum_name_is_accepted():
    assert get_camera_preset("PseudoCats").name == get_camera_preset("CatMask").name == "CatMask"
    assert config_of_preset("PseudoCats").name == "catmask_seg_to_3dface"
    assert config_of_preset("CelebAMask_HQ").name == "celebahq_seg_to_3dface"


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(UserError, match=r"`pigan_curriculum_type` Dogs.*CatMask"):
        get_camera_preset("Dogs")
    with pytest.raises(UserError, match=r"`dataset_type` dogs.*celebahq_seg_to_3dface"):
        data_config("dogs")
