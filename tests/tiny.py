"""Small models for tests: real architecture, few weights, fields with visible surfaces."""

from pathlib import Path

import torch

from models.checkpoints import save_checkpoint
from models.config import ModelConfig
from models.sem2nerf import Sem2NeRF

FACE_OPTS = {
    "dataset_type": "celebahq_seg_to_3dface", "encoder_type": "SwinEncoderNano", "input_nc": 18, "label_nc": 16,
    "src_input_size": 224, "pigan_hidden_dim": 16, "pigan_zdim": 8, "start_from_latent_avg": True, "use_contour": True,
    "use_merged_labels": True, "pigan_curriculum_type": "CelebAMask_HQ", "image_load_size": 640, "image_crop_size": 512,
}
CAT_OPTS = {**FACE_OPTS, "dataset_type": "catmask_seg_to_3dface", "input_nc": 10, "label_nc": 8,
            "pigan_curriculum_type": "CatMask"}


def tiny_model(opts: dict = FACE_OPTS, seed: int = 0, contrast: float = 1) -> Sem2NeRF:
    """A seeded model whose encoder output depends on the mask and whose field has opaque parts.

    `contrast` 1 leaves all colours near grey; at 20 no two views look alike.
    """
    torch.manual_seed(seed)
    net = Sem2NeRF(ModelConfig.from_opts(opts))
    with torch.no_grad():
        net.encoder.head.weight.normal_(0, 0.05)
        net.siren.final_layer.weight.mul_(3000)
        net.siren.color_layer_linear[0].weight.mul_(contrast)
    return net.eval().requires_grad_(False)


def tiny_checkpoint(path: Path, opts: dict = FACE_OPTS, seed: int = 0) -> Path:
    """Write such a model, rich in contrast, as a native checkpoint."""
    net = tiny_model(opts, seed, contrast=20)
    mean = net.latent_avg
    save_checkpoint(path, {"format": "sem2nerf", "state_dict": net.state_dict(), "opts": opts, "global_step": 1,
                           "latent_avg": [mean.frequencies, mean.phase_shifts], "best_val_loss": None})
    return path
