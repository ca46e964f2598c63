"""The bundled weights: small, as the model card says, and loadable."""

import hashlib

import torch
from conftest import ROOT

from models.sem2nerf import Sem2NeRF

DEMO = ROOT / "pretrained_models/sem2nerf_demo.pt"


def test_size_and_checksum_stand_in_the_model_card():
    assert DEMO.stat().st_size < 16e6
    assert hashlib.sha256(DEMO.read_bytes()).hexdigest() in (ROOT / "pretrained_models/README.md").read_text()


def test_demo_weights_hold_a_head():
    """The middle of the image is opaque and near the origin, for any mask."""
    net = Sem2NeRF.from_checkpoint(DEMO)
    view = net.scene(torch.rand(18, 224, 224, generator=torch.Generator().manual_seed(0))).render(None, 8, 12)
    assert view.opacity[3:5, 3:5].min() > 0.9
    assert view.depth[3:5, 3:5].min() > 0.88  # not stuck to the near end
    assert view.depth[3:5, 3:5].max() < 1  # the face is in front of the head's middle
