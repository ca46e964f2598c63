"""The examination of held-out heads shows a model the same mask, framed alike, as Python and inference do.

The checkpoint was trained at 640/512, which takes other pixels than official inference does (tests/test_framing.py).
"""

import numpy as np
import pytest
import torch
from tiny import FACE_OPTS, tiny_checkpoint

from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from synth_heads.evaluation.heads import HeldOutHeads
from synth_heads.evaluation.views import SAMPLES, HeldOutViews, render_settings
from synth_heads.generator.latent import LATENT_DIM

SIZE = 16


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examined")
    opts = {**FACE_OPTS, "dataset_type": "synthheads_seg_to_3dface", "pigan_zdim": LATENT_DIM}
    checkpoint = tiny_checkpoint(folder / "net.pt", opts)
    heads = HeldOutHeads.make(folder / "heads", count=1, seed=7, size=SIZE, workers=0)
    settings = render_settings(checkpoint, SIZE, "exact")
    views = HeldOutViews.render(heads, settings, folder / "renders", comparisons=False)
    return Sem2NeRF.from_checkpoint(checkpoint), heads, views


def test_the_examination_renders_what_python_renders(examined):
    net, heads, views = examined
    camera = Camera(*heads.head(0).angles[0].tolist())
    expected = net.scene(heads.path(0, "png")).render(camera, SIZE, SAMPLES)
    rendered = views.views("own", 0).rgb[0].float()
    torch.testing.assert_close(rendered, expected.rgb, rtol=0, atol=1e-6)
    moved = net.read(heads.path(0, "png")).roll(1, dims=-1)
    other = net.scene(moved).render(camera, SIZE, SAMPLES)
    assert (rendered - other.rgb).abs().max() > 1e-3, "a mask one pixel aside would show"


def test_its_codes_are_those_of_the_same_reading(examined):
    net, heads, views = examined
    codes = net.encode(net.read(heads.path(0, "png"))[None])
    np.testing.assert_array_equal(views.codes[0].predicted[:8], codes.frequencies[0, :8].detach().numpy())
