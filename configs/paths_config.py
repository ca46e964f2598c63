"""Where weights lie, relative to the repository, and where the ones we cannot ship come from."""

from pathlib import Path

PRETRAINED_FOLDER = Path("pretrained_models")

# trained with this project, shipped with it
DEMO_CHECKPOINT = PRETRAINED_FOLDER / "sem2nerf_demo.pt"

# the authors' released networks: camera preset -> file
OFFICIAL_CHECKPOINTS: dict[str, Path] = {
    "CelebAMask_HQ": PRETRAINED_FOLDER / "sem2nerf_celebahq_pretrained.pt",
    "CatMask": PRETRAINED_FOLDER / "sem2nerf_catmask_pretrained.pt",
}
OFFICIAL_CHECKPOINTS_PAGE = "https://github.com/donydchen/sem2nerf"

# start weights of a training: camera preset -> the pi-GAN generator; and the ImageNet Swin-T encoder
PIGAN_CHECKPOINTS: dict[str, Path] = {
    "CelebAMask_HQ": PRETRAINED_FOLDER / "pigan-celeba-pretrained.pth",
    "CatMask": PRETRAINED_FOLDER / "pigan-cats2-pretrained.pth",
}
SWIN_CHECKPOINT = PRETRAINED_FOLDER / "swin_tiny_patch4_window7_224.pth"
SWIN_CHECKPOINT_PAGE = "https://github.com/microsoft/Swin-Transformer"

# face segmenters of the evaluation: ours, shipped with the project, and the popular BiSeNet
SEGMENTER_WEIGHTS = PRETRAINED_FOLDER / "synthheads_parser.pt"
BISENET_WEIGHTS = PRETRAINED_FOLDER / "79999_iter.pth"
BISENET_WEIGHTS_PAGE = "https://github.com/zllrunning/face-parsing.PyTorch"
