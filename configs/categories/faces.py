"""Human faces: CelebAMask-HQ, and the computer-made SynthHeads, which have its layout."""

from dataclasses import replace
from pathlib import Path

from configs.category import PRETRAINED_FOLDER, CameraPreset, Category, DataConfig, LabelSpace

MERGED = LabelSpace(
    name="CelebAMask_HQ_merged",
    labels=("background", "skin", "nose", "eye_g", "eye", "brow", "ear", "mouth", "u_lip", "l_lip", "hair", "hat",
            "ear_r", "neck_l", "neck", "cloth"),
    palette=((0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (0, 255, 255), (255, 204, 204), (102, 51, 0),
             (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204), (255, 51, 153), (0, 204, 204), (0, 51, 0),
             (255, 153, 51), (0, 204, 0)),
    face="skin",
)

# l_* is the person's left, which is the right side of the image
LABELS = LabelSpace(
    name="CelebAMask_HQ",
    labels=("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth",
            "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
    palette=((0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (51, 51, 255), (204, 0, 204), (0, 255, 255),
             (255, 204, 204), (102, 51, 0), (255, 0, 0), (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204),
             (255, 51, 153), (0, 204, 204), (0, 51, 0), (255, 153, 51), (0, 204, 0)),
    face="skin",
    merge=(0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    merged=MERGED,
)

CAMERA = CameraPreset("CelebAMask_HQ", fov_deg=12, ray_start=0.88, ray_end=1.12, last_back=True, eval_last_back=True)

CELEBA = DataConfig(
    name="celebahq_seg_to_3dface", label_space=LABELS, camera=CAMERA, crop=True,
    data_root=Path("data/CelebAMask-HQ"), pose_file="CelebAMask-HQ-pose-anno.txt", pose_format="celebahq",
    eval_yaw_offsets=(-0.45, -0.25, 0.0, 0.25, 0.45), extreme_yaw=(0.4, 0.55), extreme_pitch=(0.3, 0.45),
    # 28,000 faces train, the other 2,000 (scattered over all numbers) test; the few to validate on are test faces
    authors_lists=(
        ("train", "ef90af606a7ad753d697ffd35be7947741e034cc9618150b822359ef99b8379d"),
        ("val", "083c9cb67e188e4282e8ee2fcbbb87bad563a3d8a9e1ad2912d3247632090073"),
        ("val", "682801ebc1c0400cd3d74d4cdf7ad7b8a68617712645348e730d2a2426397932"),
        ("test", "b02c93e724c2578149b206bd6bf00dd4693e7485c396493930c7751fb675d67a"),
    ),
    authors_page="data/CelebAMask-HQ/*_paths.txt of https://github.com/donydchen/sem2nerf",
)

CATEGORY = Category(
    camera=CAMERA, label_spaces=(LABELS, MERGED),
    data_sets=(CELEBA, replace(CELEBA, name="synthheads_seg_to_3dface", data_root=Path("data/SynthHeads"),
                                authors_lists=(), decoder=PRETRAINED_FOLDER / "sem2nerf_demo.pt")),
    decoder_weights=PRETRAINED_FOLDER / "pigan-celeba-pretrained.pth",
    official_weights=PRETRAINED_FOLDER / "sem2nerf_celebahq_pretrained.pt",
)
