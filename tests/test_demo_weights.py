"""The bundled weights: small, as the model card says, loadable, and they follow a mask."""

import hashlib

import pytest
import torch
from conftest import ROOT

from configs.data_configs import data_config
from datasets.masks.maps import merge_labels
from datasets.poses import find_pose_file, read_poses
from evaluation.face_segmentation.registry import load_segmenter
from evaluation.metrics.segmentation import LABELS, confusion_matrix, segmentation_score
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF

DEMO = ROOT / "pretrained_models/sem2nerf_demo.pt"
MASKS = ROOT / "data/CelebAMask-HQ/mask_samples"
HEADS = (90001, 90003, 90005, 90006, 90011)
SIZE = 64
LEAST_MIOU = 0.55  # of what is .65


@pytest.fixture(scope="module")
def net():
    return Sem2NeRF.from_checkpoint(DEMO)


def test_size_and_checksum_stand_in_the_model_card():
    assert DEMO.stat().st_size < 16e6
    assert hashlib.sha256(DEMO.read_bytes()).hexdigest() in (ROOT / "pretrained_models/README.md").read_text()


def test_demo_weights_hold_a_head(net):
    """The middle of the image is opaque and near the origin, for any mask."""
    view = net.scene(torch.rand(18, 224, 224, generator=torch.Generator().manual_seed(0))).render(None, 8, 12)
    assert view.opacity[3:5, 3:5].min() > 0.9
    assert view.depth[3:5, 3:5].min() > 0.88  # not stuck to the near end
    assert view.depth[3:5, 3:5].max() < 1  # the face is in front of the head's middle


def test_demo_weights_follow_a_mask(net):
    """Heads that no training saw, segmented, against their masks; with two of the mask's channels exchanged the same
    measure tells."""
    right = miou_of_renders(net)
    exchanged = miou_of_renders(net, exchanged=("skin", "hair"))
    print(f"mIoU {right:.3f}, with skin and hair exchanged {exchanged:.3f}")
    assert right > LEAST_MIOU
    assert exchanged < LEAST_MIOU - 0.05


def miou_of_renders(net, exchanged=None):
    """mIoU of the segmented renders of HEADS, in their masks' own poses, over all of their pixels."""
    poses = read_poses(find_pose_file(MASKS, config := data_config("celebahq_seg_to_3dface")), config.pose_format)
    segmenter, frame = load_segmenter("synthheads"), net.input.transform.at(SIZE)
    counts = torch.zeros(len(LABELS), len(LABELS), dtype=torch.long)
    for number in HEADS:
        labels = net.input.labels(MASKS / f"{number}.png")
        x = net.read(labels)
        if exchanged:
            first, second = (LABELS.index(name) for name in exchanged)
            x[[first, second]] = x[[second, first]]
        view = net.scene(x).render(Camera(*poses[number]), SIZE, 12, sampler="exact")
        seen = torch.from_numpy(frame.apply(merge_labels(labels, net.input.space)))
        counts += confusion_matrix(segmenter.segment(view.rgb[None])[0], seen, len(LABELS))
    return segmentation_score(counts).miou
