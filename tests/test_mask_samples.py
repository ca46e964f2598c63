"""The face masks that come with the project: what was edited in each pair, their poses."""

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from configs.data_configs import data_config
from datasets.poses import read_poses
from synth_heads.data.dataset import camera_angles
from synth_heads.data.samples import SAMPLES, sample_view
from synth_heads.generator.labels import LABEL_NAMES

FOLDER = ROOT / "data/CelebAMask-HQ/mask_samples"
CONFIG = data_config("celebahq_seg_to_3dface")
EDITS = [(sample.identity, edit) for sample in SAMPLES for edit in sample.edits]
# labels that an edit is about, and those that change places with them
PARTS = {"hair": {"hair"}, "mouth": {"mouth", "u_lip", "l_lip"}, "glasses": {"eye_g"}, "nose": {"nose"},
         "eyes": {"l_eye", "r_eye"}, "brows": {"l_brow", "r_brow"}, "ears": {"l_ear", "r_ear"}, "hat": {"hat"}}


def mask(name):
    with Image.open(FOLDER / f"{name}.png") as image:
        assert (image.mode, image.size) == ("L", (512, 512))
        return np.asarray(image)


def inside(labels, names):
    return np.isin(labels, [LABEL_NAMES.index(name) for name in names])


def test_twelve_masks_and_their_edits():
    names = {f"{sample.identity}" for sample in SAMPLES} | {f"{identity}_{edit}" for identity, edit in EDITS}
    assert {path.stem for path in FOLDER.glob("*.png")} == names
    assert len(SAMPLES) == 12
    assert {edit for _, edit in EDITS} == set(PARTS)


@pytest.mark.parametrize("identity, edit", EDITS)
def test_an_edit_changes_its_part_and_little_else(identity, edit):
    before, after = mask(identity), mask(f"{identity}_{edit}")
    part = [inside(labels, PARTS[edit]) for labels in (before, after)]
    assert (part[0] != part[1]).sum() > 0.1 * max(part[0].sum(), part[1].sum())
    elsewhere = ~part[0] & ~part[1]
    assert (before != after)[elsewhere].mean() < 0.06


def test_the_pose_file_holds_the_true_poses():
    poses = read_poses(FOLDER / CONFIG.pose_file, CONFIG.pose_format)
    assert list(poses) == [sample.identity for sample in SAMPLES]
    for sample in SAMPLES:
        assert poses[sample.identity] == pytest.approx(tuple(camera_angles(sample.pose_deg)))


def test_the_samples_are_what_the_generator_makes():
    for sample in (SAMPLES[0], SAMPLES[8]):
        small = np.array(Image.fromarray(mask(sample.identity)).resize((128, 128), Image.Resampling.NEAREST))
        assert (sample_view(sample, None, 128).labels == small).mean() > 0.93  # other samples of the same place
