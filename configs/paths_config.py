"""Where weights lie, relative to the repository, and where the ones we cannot ship come from."""

from pathlib import Path

from configs.categories import CATEGORIES
from configs.category import PRETRAINED_FOLDER

# trained with this project, shipped with it
DEMO_CHECKPOINT = PRETRAINED_FOLDER / "sem2nerf_demo.pt"

# the authors' released networks: camera preset -> file
OFFICIAL_CHECKPOINTS: dict[str, Path] = {
    category.camera.name: category.official_weights for category in CATEGORIES if category.official_weights}
OFFICIAL_CHECKPOINTS_PAGE = "https://github.com/donydchen/sem2nerf"

# start weights of a training: camera preset -> the pi-GAN generator; and the ImageNet Swin-T encoder
PIGAN_CHECKPOINTS: dict[str, Path] = {category.camera.name: category.decoder_weights for category in CATEGORIES}
SWIN_CHECKPOINT = PRETRAINED_FOLDER / "swin_tiny_patch4_window7_224.pth"

# face segmenters of the evaluation: ours, shipped with the project, and the popular BiSeNet
SEGMENTER_WEIGHTS = PRETRAINED_FOLDER / "synthheads_parser.pt"
BISENET_WEIGHTS = PRETRAINED_FOLDER / "79999_iter.pth"
BISENET_WEIGHTS_PAGE = "https://github.com/zllrunning/face-parsing.PyTorch"

# how alike two faces are: the ArcFace network that pixel2style2pixel measures identity with
IDENTITY_WEIGHTS = PRETRAINED_FOLDER / "model_ir_se50.pth"
IDENTITY_WEIGHTS_PAGE = "https://github.com/TreB1eN/InsightFace_Pytorch"
