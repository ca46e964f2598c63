"""Face segmenters: the published BiSeNet layout and label order, the small network's file, training and its resume."""

import hashlib
import json

import numpy as np
import pytest
import torch
from tiny_training import make_data

from configs.label_spaces import BISENET_ORDER, LABEL_SPACES
from evaluation.face_segmentation import bisenet, registry
from evaluation.face_segmentation.bisenet import BiSeNet
from evaluation.face_segmentation.orders import to_merged
from evaluation.face_segmentation.small_network import SegmenterConfig, SmallFaceSegmenter
from synth_heads.scripts import train_segmenter
from synth_heads.segmentation.augmentation import Augmentation, augment, blur
from synth_heads.segmentation.trainer import LabelledImages, score, segmentation_loss
from utils.errors import UserError

MERGED = LABEL_SPACES["CelebAMask_HQ_merged"]


def published_keys() -> list[str]:
    """The keys of 79999_iter.pth, in its order: 191."""
    def norm(name):
        return [f"{name}.{k}" for k in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    def conv(name):
        return [f"{name}.conv.weight", *norm(f"{name}.bn")]

    keys = ["cp.resnet.conv1.weight", *norm("cp.resnet.bn1")]
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            at = f"cp.resnet.layer{layer}.{block}"
            keys += [f"{at}.conv1.weight", *norm(f"{at}.bn1"), f"{at}.conv2.weight", *norm(f"{at}.bn2")]
            if block == 0 and layer > 1:
                keys += [f"{at}.downsample.0.weight", *norm(f"{at}.downsample.1")]
    for arm in ("cp.arm16", "cp.arm32"):
        keys += [*conv(f"{arm}.conv"), f"{arm}.conv_atten.weight", *norm(f"{arm}.bn_atten")]
    keys += [*conv("cp.conv_head32"), *conv("cp.conv_head16"), *conv("cp.conv_avg")]
    keys += [*conv("ffm.convblk"), "ffm.conv1.weight", "ffm.conv2.weight"]
    for head in ("conv_out", "conv_out16", "conv_out32"):
        keys += [*conv(f"{head}.conv"), f"{head}.conv_out.weight"]
    return keys


def seeded_bisenet() -> tuple[BiSeNet, torch.Generator]:
    net, generator = BiSeNet(), torch.Generator().manual_seed(0)
    state = net.state_dict()
    scales = ("bn1.weight", "bn2.weight", "bn.weight", "bn_atten.weight", "downsample.1.weight")
    for key in sorted(state):
        value = state[key]
        if key.endswith("running_var"):
            state[key] = torch.rand(value.shape, generator=generator) + 0.5
        elif value.is_floating_point():
            spread = 0.05 if value.dim() == 4 else 0.2
            state[key] = torch.randn(value.shape, generator=generator) * spread + key.endswith(scales)
    net.load_state_dict(state)
    return net.eval(), generator


def test_bisenet_has_the_published_layout():
    net = BiSeNet()
    assert list(net.state_dict()) == published_keys()
    assert len(published_keys()) == 191
    assert sum(p.numel() for p in net.parameters()) == 13_300_416
    assert net.state_dict()["conv_out.conv_out.weight"].shape == (19, 256, 1, 1)


def test_bisenet_computes_what_the_published_code_does():
    """Numbers recorded from the published network (as in facexlib) with these seeded weights and this input."""
    net, generator = seeded_bisenet()
    with torch.no_grad():
        logits = net(torch.randn(1, 3, 64, 96, generator=generator))
    expected = torch.tensor([-217.6076, 47.1374, 200.8846, -344.2319])
    torch.testing.assert_close(logits[0, ::6, 20, 30], expected, rtol=1e-4, atol=0.02)
    assert logits.std().item() == pytest.approx(699.0743, rel=1e-4)


def test_bisenet_order_is_translated():
    """Its numbers by name (from its page): what merged label each becomes."""
    its_names = ("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose",
                 "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat")
    labels = to_merged(torch.arange(19)[None, None], BISENET_ORDER)[0, 0]
    for number, name in enumerate(its_names):
        plain = name[2:] if name[2:] in ("brow", "eye", "ear") else name
        assert MERGED.labels[labels[number]] == plain


def test_bisenet_file(tmp_path, monkeypatch):
    monkeypatch.setattr(bisenet, "SIZE", 64)
    net, generator = seeded_bisenet()
    torch.save({f"module.{key}": value for key, value in net.state_dict().items()}, tmp_path / "bisenet.pth")
    segmenter = registry.load_segmenter("bisenet", tmp_path / "bisenet.pth")
    images = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    labels = segmenter.segment(images)
    assert labels.shape == (2, 32, 32)
    assert labels.dtype == torch.uint8
    assert labels.max() < 16
    SmallFaceSegmenter(SegmenterConfig(4, 16, (4, 4, 4, 4))).save(tmp_path / "small.pt")
    with pytest.raises(UserError, match=r"small\.pt: these are not the weights of the BiSeNet face segmenter; get"):
        registry.load_segmenter("bisenet", tmp_path / "small.pt")
    with pytest.raises(UserError, match=r"bisenet\.pth: this is no file of synth_heads/scripts/train_segmenter\.py"):
        registry.load_segmenter("synthheads", tmp_path / "bisenet.pth")
    with pytest.raises(UserError, match=r"absent\.pth: there is no such file; get 79999_iter\.pth from https://"):
        registry.load_segmenter("bisenet", tmp_path / "absent.pth")


def test_segmenter_file(tmp_path):
    """Half precision on disk, the same labels but for a few pixels that were undecided."""
    torch.manual_seed(0)
    segmenter = SmallFaceSegmenter(SegmenterConfig(5, 32, (4, 6, 8, 8))).eval()
    segmenter.save(tmp_path / "segmenter.pt", labels=["a"])
    images = torch.rand(2, 3, 48, 48) * 2 - 1
    again = SmallFaceSegmenter.from_file(tmp_path / "segmenter.pt").segment(images)
    assert again.shape == (2, 48, 48)
    assert (again == segmenter.segment(images)).float().mean() > 0.98
    contents = torch.load(tmp_path / "segmenter.pt", weights_only=True)
    contents["config"]["widths"] = [4, 6, 8, 10]
    with pytest.raises(UserError, match="do not fit the segmenter"):
        SmallFaceSegmenter.from_contents(contents, "segmenter.pt")
    with pytest.raises(ValueError, match="a segmenter needs 4 widths"):
        SegmenterConfig(5, 30, (4, 6, 8, 8))


def test_loss_by_hand():
    """Certain and right: 0. Two classes, half of the pixels each, no idea: log 2 + 1 - (.25 / (.5 + .5 - .25))."""
    labels = torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8)
    right = torch.nn.functional.one_hot(labels.long(), 2).movedim(-1, 1).float() * 100
    assert segmentation_loss(right, labels).item() == pytest.approx(0, abs=1e-6)
    assert segmentation_loss(torch.zeros(1, 2, 2, 2), labels).item() == pytest.approx(np.log(2) + 1 - 1 / 3)


def test_augmentation_moves_images_and_labels_alike():
    """The image is the label map in grey: after moving it still is, away from the outlines."""
    labels = (torch.arange(64)[:, None] // 16 + torch.arange(64) // 32).to(torch.uint8).expand(8, 64, 64)
    images = (labels.float() / 4 - 0.5)[:, None].expand(-1, 3, -1, -1)
    moving = Augmentation(colour=0, blur=0, noise=0)
    moved, moved_labels = augment(images, labels, moving, torch.Generator().manual_seed(0))
    assert ((moved[:, 0] - (moved_labels.float() / 4 - 0.5)).abs() < 1e-4).float().mean() > 0.9
    assert (moved_labels != labels).float().mean(dim=(1, 2)).min() > 0.02, "each is moved"
    same, _ = augment(images, labels, Augmentation(0, 0, 0, 0, 0, 0, flip=False), torch.Generator())
    torch.testing.assert_close(same, images, rtol=0, atol=1e-5)
    changed, kept = augment(images, labels, Augmentation(0, 0, 0, flip=False), torch.Generator().manual_seed(1))
    assert (kept == labels).all()
    assert (changed - images).abs().mean() > 0.05


def test_blur_by_hand():
    """A white pixel: sigma 0 leaves it, sigma 1 gives 1 / (2 pi) at its place, the sum stays."""
    image = torch.zeros(2, 1, 31, 31)
    image[:, :, 15, 15] = 1
    soft = blur(image, torch.tensor([0.0, 1.0]))
    assert soft[0, 0, 15, 15] == pytest.approx(1)
    assert soft[1, 0, 15, 15].item() == pytest.approx(1 / (2 * np.pi), rel=1e-3)
    assert soft[1].sum().item() == pytest.approx(1, rel=1e-5)


def test_training_goes_on_after_a_stop(tmp_path, capsys, monkeypatch):
    """Six steps in a row, and three steps, a stop and three more, end in the same bytes."""
    heads = make_data(tmp_path / "data", 5)
    command = ["--data_root", str(heads), "--size=32", "--batch_size=2", "--save_interval=3", "--val_interval=6",
               "--device=cpu", "--steps=6", "--exp_dir"]
    train_segmenter.main([*command, str(tmp_path / "whole")])
    assert "test list: mIoU 0." in capsys.readouterr().out

    from synth_heads.segmentation.trainer import SegmenterTrainer

    step = SegmenterTrainer.train_step

    def stopping_step(trainer):
        if trainer.step == 4:
            raise KeyboardInterrupt
        return step(trainer)

    monkeypatch.setattr(SegmenterTrainer, "train_step", stopping_step)
    with pytest.raises(KeyboardInterrupt):
        train_segmenter.main([*command, str(tmp_path / "parts")])
    assert not (tmp_path / "parts/segmenter.pt").exists()
    monkeypatch.setattr(SegmenterTrainer, "train_step", step)
    train_segmenter.main([*command, str(tmp_path / "parts")])
    assert "from step 3 to 6" in capsys.readouterr().out
    whole, parts = (torch.load(tmp_path / name / "segmenter.pt", weights_only=True) for name in ("whole", "parts"))
    assert json.dumps(whole["test"]) == json.dumps(parts["test"])  # classes that are absent have nan
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][key]), key
    with pytest.raises(UserError, match="of a run with other settings"):
        train_segmenter.main([*command, str(tmp_path / "whole"), "--seed=1"])


def test_unusable_training_options(tmp_path):
    with pytest.raises(UserError, match="--size 40: give a multiple of 16"):
        train_segmenter.main(["--size=40"])
    with pytest.raises(UserError, match="there is no such folder"):
        train_segmenter.main(["--data_root", str(tmp_path / "absent"), "--exp_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_score_counts_every_pixel():
    net = SmallFaceSegmenter(SegmenterConfig(3, 16, (4, 4, 4, 4)))
    held_out = LabelledImages(torch.zeros(5, 3, 16, 16, dtype=torch.uint8), torch.zeros(5, 16, 16, dtype=torch.uint8))
    with torch.no_grad():
        net.head[1].bias.copy_(torch.tensor([9.0] * 4 + [0.0] * 8))
        net.head[1].weight.zero_()
    assert score(net, held_out).miou == 1


def test_bundled_segmenter_is_the_one_on_its_card():
    path = registry.find_segmenter("synthheads")
    assert path.stat().st_size < 6e6
    assert hashlib.sha256(path.read_bytes()).hexdigest() in (path.parent / "README.md").read_text()
    facts = torch.load(path, weights_only=True)
    assert facts["labels"] == list(MERGED.labels)
    assert facts["test"]["miou"] > 0.8
    labels = registry.load_segmenter("synthheads").segment(torch.zeros(1, 3, 64, 64))
    assert labels.shape == (1, 64, 64)
