"""Cat faces: CatMask, whose masks are DatasetGAN's."""

from pathlib import Path

from configs.category import PRETRAINED_FOLDER, CameraPreset, Category, DataConfig, LabelSpace

MERGED = LabelSpace(
    name="CatMask_merged",
    labels=("background", "head", "ear", "eye", "mouth", "tongue", "nose", "whiskers"),
    palette=((0, 0, 0), (204, 0, 0), (102, 51, 0), (0, 255, 255), (255, 204, 204), (25, 204, 204), (76, 153, 0),
             (0, 0, 0)),
    face="head",
)

# DatasetGAN's cat parts; those of the body all merge into the background
LABELS = LabelSpace(
    name="CatMask",
    labels=("background", "body_1", "body_2", "body_3", "body_4", "body_5", "body_6", "head", "ear", "eye", "mouth",
            "tongue", "nose", "body_13", "whiskers", "body_15"),
    palette=((255, 255, 255), (220, 220, 0), (190, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35),
             (102, 102, 156), (152, 251, 152), (119, 11, 32), (244, 35, 232), (220, 20, 60), (52, 83, 84),
             (194, 87, 125), (225, 96, 18), (31, 102, 211), (104, 131, 101)),
    face="head",
    merge=(0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 7, 0),
    merged=MERGED,
)

CAMERA = CameraPreset("CatMask", fov_deg=18, ray_start=0.8, ray_end=1.2, last_back=False, eval_last_back=True,
                      old_names=("PseudoCats",))

CATMASK = DataConfig(
    name="catmask_seg_to_3dface", old_names=("pseudocats_seg_to_3dface",),
    label_space=LABELS, camera=CAMERA, crop=False,
    data_root=Path("data/CatMask"), pose_file="pose-pseudo.txt", pose_format="pseudo",
    eval_yaw_offsets=(-0.4, -0.2, 0.0, 0.2, 0.4), extreme_yaw=(0.3, 0.5), extreme_pitch=(0.25, 0.4),
)

CATEGORY = Category(
    camera=CAMERA, label_spaces=(LABELS, MERGED), data_sets=(CATMASK,),
    decoder_weights=PRETRAINED_FOLDER / "pigan-cats2-pretrained.pth",
    official_weights=PRETRAINED_FOLDER / "sem2nerf_catmask_pretrained.pt",
)
