"""What the tests of scripts/inference3d.py share: small runs, and what they wrote."""

from pathlib import Path

import numpy as np
from conftest import ROOT
from PIL import Image

from scripts.inference3d import main

FACES, CATS = ROOT / "data/CelebAMask-HQ/mask_samples", ROOT / "data/CatMask/mask_samples"
SMALL = ["--test_output_size", "16", "--pigan_infer_ray_step", "4", "--device", "cpu"]


def infer(out, weights, masks, *options):
    """Run at a small size; the paths of all files in `out`, relative to it."""
    main(["--exp_dir", str(out), "--checkpoint_path", str(weights), "--data_path", str(masks), *SMALL, *options])
    return sorted(str(path.relative_to(out)) for path in Path(out).rglob("*") if path.is_file())


def images(folder):
    """File name -> pixels of every PNG."""
    return {path.name: np.array(Image.open(path)) for path in Path(folder).rglob("*.png")}


def names_list(folder, *names):
    """A text file of mask names."""
    path = folder / "names.txt"
    path.write_text("\n".join(names))
    return path
