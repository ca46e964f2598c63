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

# face segmenters: ours, shipped with the project, and three popular ones for photographs
SEGMENTER_WEIGHTS = PRETRAINED_FOLDER / "synthheads_parser.pt"
BISENET_WEIGHTS = PRETRAINED_FOLDER / "79999_iter.pth"
BISENET_WEIGHTS_PAGE = "https://github.com/zllrunning/face-parsing.PyTorch"
SEGFORMER_WEIGHTS = PRETRAINED_FOLDER / "face-parsing" / "model.safetensors"
SEGFORMER_PAGE = "https://huggingface.co/jonathandinu/face-parsing"
FARL_WEIGHTS = PRETRAINED_FOLDER / "face_parsing.farl.celebm.main_ema_181500_jit.pt"
FARL_PAGE = "https://github.com/FacePerceiver/facer/releases/tag/models-v1"

# how alike two faces are: the ArcFace network that pixel2style2pixel measures identity with
IDENTITY_WEIGHTS = PRETRAINED_FOLDER / "model_ir_se50.pth"
IDENTITY_WEIGHTS_PAGE = "https://github.com/TreB1eN/InsightFace_Pytorch"

# faces in photographs, see photos/detectors.py
YUNET_WEIGHTS = PRETRAINED_FOLDER / "face_detection_yunet_2023mar.onnx"
YUNET_PAGE = "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet"
