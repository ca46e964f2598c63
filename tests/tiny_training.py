"""A data set of painted ellipses and options for networks so small that a training step takes a blink."""

from pathlib import Path

import cv2
import numpy as np
import torch

from models.pigan.siren import FilmSiren

FACE = {"skin": 1, "nose": 2, "l_eye": 4, "r_eye": 5, "mouth": 10, "hair": 13}
CAT = {"skin": 7, "nose": 12, "l_eye": 9, "r_eye": 9, "mouth": 10, "hair": 8}
COLOURS = {"skin": (224, 172, 140), "nose": (205, 150, 120), "l_eye": (60, 80, 160), "r_eye": (60, 80, 160),
           "mouth": (180, 60, 70), "hair": (70, 45, 30)}


def paint_head(seed: int, size: int = 128, labels: dict[str, int] = FACE) -> tuple[np.ndarray, np.ndarray]:
    """A mask (size, size) and its image (size, size, 3, RGB), both uint8."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    image = np.full((size, size, 3), rng.integers(90, 220, 3), np.uint8)
    tint = rng.integers(-40, 40, 3)

    def ellipse(part: str, x: float, y: float, width: float, height: float) -> None:
        centre, axes = (round(x * size), round(y * size)), (round(width * size), round(height * size))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, labels[part], -1)
        colour = np.clip(np.array(COLOURS[part]) + tint, 0, 255).tolist()
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    width, height = rng.uniform(0.17, 0.23), rng.uniform(0.24, 0.3)
    ellipse("hair", 0.5, 0.45, width + rng.uniform(0.03, 0.08), height + rng.uniform(0.03, 0.08))
    ellipse("skin", 0.5, 0.5, width, height)
    for part, x in (("l_eye", 0.57), ("r_eye", 0.43)):
        ellipse(part, x, 0.46, 0.03, 0.018)
    ellipse("nose", 0.5, 0.53, 0.02, 0.05)
    ellipse("mouth", 0.5, 0.63, rng.uniform(0.04, 0.08), rng.uniform(0.01, 0.03))
    return mask, image


def make_data(root: Path, count: int = 6, size: int = 128) -> Path:
    """A folder in the layout of CelebAMask-HQ, with masks 0 .. count - 1."""
    for folder in ("mask", "CelebA-HQ-img"):
        (root / folder).mkdir(parents=True)
    poses = [f"{count}", "name yaw pitch roll"]
    for index in range(count):
        mask, image = paint_head(index, size)
        cv2.imwrite(str(root / "mask" / f"{index}.png"), mask)
        cv2.imwrite(str(root / "CelebA-HQ-img" / f"{index}.jpg"), image[..., ::-1])
        poses.append(f"{index}.jpg {4.0 * index - 8} {index - 2.0} 0.0")
    (root / "CelebAMask-HQ-pose-anno.txt").write_text("\n".join(poses) + "\n")
    return root


def make_cat_data(root: Path, count: int = 4, size: int = 128) -> Path:
    """The same in the layout of CatMask."""
    for folder in ("mask", "images"):
        (root / folder).mkdir(parents=True)
    poses = ["name yaw pitch"]
    for index in range(count):
        mask, image = paint_head(index, size, CAT)
        cv2.imwrite(str(root / "mask" / f"{index}.png"), mask)
        cv2.imwrite(str(root / "images" / f"{index}.png"), image[..., ::-1])
        poses.append(f"{index} {1.5 + 0.05 * index} 1.6")
    (root / "pose-pseudo.txt").write_text("\n".join(poses) + "\n")
    return root


def make_decoder(path: Path, width: int = 16, z_dim: int = 8) -> Path:
    """A pi-GAN state dict with random weights and surfaces that can be seen."""
    torch.manual_seed(3)
    siren = FilmSiren(width, z_dim)
    with torch.no_grad():
        siren.final_layer.weight.mul_(100)
        siren.final_layer.bias.fill_(5.0)
        siren.color_layer_linear[0].weight.mul_(20)
    torch.save({f"siren.{key}": value for key, value in siren.state_dict().items()}, path)
    return path


def make_steps(path: Path, img_size: int = 64, resolution_vol: int = 32) -> Path:
    path.write_text(f"0: {{img_size: {img_size}, resolution_vol: {resolution_vol}}}\n")
    return path


SMALL = ("--device=cpu", "--encoder_type=SwinEncoderNano", "--src_input_size=64", "--pigan_hidden_dim=16",
         "--pigan_zdim=8", "--pigan_infer_ray_step=4", "--test_output_size=24", "--workers=0", "--test_workers=0",
         "--lpips_lambda=0")
RECIPE = ("--patch_train", "--start_from_latent_avg", "--use_merged_labels", "--use_contour",
          "--train_rand_pose_prob=0.3")


def make_all(folder: Path) -> list[str]:
    """Data, decoder and sizes in a folder; the options that name them, for a training of milliseconds a step."""
    data, decoder = make_data(folder / "data"), make_decoder(folder / "decoder.pth")
    steps = make_steps(folder / "steps.yaml")
    return [f"--data_root={data}", f"--pigan_weights={decoder}", f"--pigan_steps_conf={steps}", *SMALL, *RECIPE]
