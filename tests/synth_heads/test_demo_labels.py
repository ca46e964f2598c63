"""The labels that the bundled weights give heads that no training drew, from the mask's own side and from others."""

import pytest
import torch

from configs.label_spaces import LABEL_SPACES
from configs.paths_config import DEMO_CHECKPOINT
from datasets.masks.maps import merge_labels
from evaluation.metrics.segmentation import confusion_matrix, segmentation_score
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from synth_heads.evaluation.heads import make_head

SEED, HEADS, SIZE = 2002, 3, 64
LEAST_OWN, LEAST_NOVEL = (0.92, 0.64), (0.90, 0.58)  # accuracy, mIoU, of what are .938, .678 and .919, .614


@pytest.mark.slow
def test_the_bundled_weights_label_unseen_heads_from_all_sides():
    net, space = Sem2NeRF.from_checkpoint(DEMO_CHECKPOINT), LABEL_SPACES["CelebAMask_HQ"]
    counts = {side: torch.zeros(16, 16, dtype=torch.long) for side in ("own", "novel")}
    for number in range(HEADS):
        head = make_head(number, SEED, SIZE)
        scene = net.scene(head.mask)
        for index, (view, pose) in enumerate(zip(head.views, head.angles.tolist(), strict=True)):
            found = scene.render(Camera(*pose), SIZE, 12, sampler="exact", labels=True).labels
            true = torch.from_numpy(merge_labels(view.labels, space))
            counts["novel" if index else "own"] += confusion_matrix(found, true, 16)
    scores = {side: segmentation_score(count) for side, count in counts.items()}
    for side, least in (("own", LEAST_OWN), ("novel", LEAST_NOVEL)):
        found = scores[side].pixel_accuracy, scores[side].miou
        print(f"{side}: accuracy {found[0]:.3f}, mIoU {found[1]:.3f}")
        assert found[0] > least[0], side
        assert found[1] > least[1], side
