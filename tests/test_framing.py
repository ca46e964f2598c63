"""One framing everywhere: the same checkpoint and mask are the same image, whoever asks for it.

The checkpoint was trained at 640/512. Official inference frames such masks at 320/256, which takes other pixels.
"""

import numpy as np
import pytest
import torch
from conftest import ROOT
from inferring import images, infer
from tiny import FACE_OPTS, tiny_checkpoint

from configs.data_configs import data_config
from datasets.masks.files import read_mask
from datasets.masks.maps import MaskTransform
from evaluation.test_set import EvaluationSet
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from scripts import evaluate3d
from utils.images import to_uint8

MASK = ROOT / "data/CelebAMask-HQ/mask_samples/90001.png"
SIZE, SAMPLES = 16, 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    assert (FACE_OPTS["image_load_size"], FACE_OPTS["image_crop_size"]) == (640, 512)
    return tiny_checkpoint(tmp_path_factory.mktemp("framing") / "net.pt")


@pytest.fixture(scope="module")
def net(checkpoint):
    return Sem2NeRF.from_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def image(net):
    """As Python gives it."""
    return to_uint8(net.scene(MASK).render(Camera(), SIZE, SAMPLES).rgb)


def test_the_framing_is_that_of_official_inference(net):
    assert net.input.transform == MaskTransform(320, 256, 224)
    labels = read_mask(MASK, net.input.space)
    trained = MaskTransform(640, 512, 224).apply(labels)
    assert (trained != MaskTransform(320, 256, 224).apply(labels)).mean() > 0.005, "the test could not tell them apart"


def test_another_framing_would_show(net, image):
    other = torch.from_numpy(net.read(MASK).numpy())
    other[:, :, 1:] = other[:, :, :-1].clone()  # one pixel to the right
    assert (to_uint8(net.scene(other).render(Camera(), SIZE, SAMPLES).rgb) != image).any()


def test_inference3d(checkpoint, image, tmp_path):
    infer(tmp_path, checkpoint, MASK, "--latent_mask", "", "--n_outputs_to_generate=1")
    row = next(iter(images(tmp_path).values()))
    np.testing.assert_array_equal(row[:, SIZE:], image)


def test_evaluate3d(checkpoint, net, tmp_path):
    evaluate3d.main(["--checkpoint_path", str(checkpoint), "--data_path", str(MASK.parent), "--n_images=1",
                     f"--test_output_size={SIZE}", f"--pigan_infer_ray_step={SAMPLES}", "--metrics=diversity",
                     "--style_masks=1", "--workers=1", "--device=cpu", "--exp_dir", str(tmp_path)])
    data = EvaluationSet.find(MASK.parent, data_config("celebahq_seg_to_3dface"))
    saved = np.load(tmp_path / f"renders/own/{MASK.stem}.npz")["rgb"]
    own = net.scene(MASK).render(Camera(*data.masks[0].pose), SIZE, SAMPLES)
    np.testing.assert_array_equal(saved[0].transpose(1, 2, 0), to_uint8(own.rgb))


def test_photographs_to_compare_with_show_the_same_part(net):
    """Targets of the evaluation are cut out by the model's own framing."""
    crop = data_config("celebahq_seg_to_3dface").crop
    frame = net.input.transform.at(512)
    assert crop
    assert (frame.load_size, frame.crop_size) == (640, 512)
