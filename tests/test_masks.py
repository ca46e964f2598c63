"""Labels -> network input and images: against recorded numbers, and small enough to check by eye."""

import hashlib

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from PIL import Image

from configs.label_spaces import LABEL_SPACES
from datasets.masks.files import read_mask
from datasets.masks.maps import (
    MaskTransform,
    contour_map,
    distance_map,
    merge_labels,
    prepare_mask,
    to_network_input,
    unfold,
)
from utils.errors import UserError
from utils.images import colour_labels, overlay, to_tensor, to_uint8

FACES, CATS = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CatMask"]
# the masks whose inputs were recorded
MASKS = {"CelebAMask_HQ": GOLDEN / "masks/faces", "CatMask": GOLDEN / "masks/cats"}
RECORDED = [("celebahq", FACES), ("catmask", CATS)]


def tiny_face():
    """8x8: a square of skin with a nose, hair on top, neck below."""
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6], labels[1, 2:6], labels[6, 3:5], labels[4, 3:5] = 1, 13, 17, 2
    return labels


# ---- against recorded numbers ------------------------------------------------------------------------------------

@pytest.mark.parametrize("tag, space", RECORDED)
def test_network_inputs_are_bit_equal(golden, tag, space):
    recorded = golden(f"inputs_{tag}")
    transform = MaskTransform(crop=tag == "celebahq")
    for i, name in enumerate(recorded["names"]):
        labels = read_mask(MASKS[space.name] / f"{name}.png", space)
        mask = prepare_mask(labels, space, merged=True, transform=transform, use_contour=True)
        np.testing.assert_array_equal(mask.label, recorded["label"][i])
        np.testing.assert_array_equal(mask.contour, recorded["contour"][i])
        np.testing.assert_array_equal(mask.distance, recorded["dist"][i])
        x = unfold(mask, len(space.merged)).numpy()
        assert x.shape == (len(space.merged) + 2, 224, 224)
        assert hashlib.sha256(x.tobytes()).hexdigest() == recorded["sha256"][i]


@pytest.mark.parametrize("name, space, sample", [("CelebAMask-HQ_0", FACES, "0"), ("CatMask_0", CATS, "0"),
                                                 ("CelebAMask-HQ_0_hair", FACES, "0_hair")])
def test_contours_and_distances_are_bit_equal(golden, name, space, sample):
    recorded = golden("contours")
    merged = merge_labels(read_mask(MASKS[space.name] / f"{sample}.png", space), space)
    contour = contour_map(merged)
    np.testing.assert_array_equal(merged, recorded[f"{name}_merged"])
    np.testing.assert_array_equal(np.packbits(contour > 0), recorded[f"{name}_contour"])
    np.testing.assert_array_equal(distance_map(contour), recorded[f"{name}_dist"])


def test_contour_of_holes_borders_and_single_pixels(golden):
    recorded = golden("contours")
    contour = contour_map(recorded["syn_mask"])
    np.testing.assert_array_equal(contour, recorded["syn_contour"])
    np.testing.assert_array_equal(distance_map(contour), recorded["syn_dist"])


def test_only_label_0_is_background(golden):
    # the released code drops the outline of the lowest label even where that is a part; ours draws it
    recorded = golden("contours")
    ours = contour_map(recorded["syn_mask"] + np.uint8(1))
    assert (ours >= recorded["syn2_contour"]).all()
    assert (ours != recorded["syn2_contour"]).any()
    assert ours[0, 0] == 255  # label 1 touches the border, and is outlined there


@pytest.mark.parametrize("key, space", [("CelebAMask_HQ_19", FACES), ("CelebAMask_HQ_16", FACES.merged),
                                        ("CatMask_16", CATS), ("CatMask_8", CATS.merged)])
def test_colours_are_the_released_ones(golden, key, space):
    labels = (np.arange(400) % len(space)).astype(np.uint8).reshape(20, 20)
    np.testing.assert_array_equal(colour_labels(labels, space.palette), golden("visuals")[f"map_{key}"])


def test_images_are_rounded_like_the_released_ones(golden):
    recorded = golden("visuals")
    np.testing.assert_array_equal(to_uint8(torch.from_numpy(recorded["tensor2im_in"])), recorded["tensor_to_PIL"])


# ---- by eye ------------------------------------------------------------------------------------------------------

def test_contour_of_one_pixel_is_a_blob_of_the_brush():
    labels = np.zeros((9, 9), np.uint8)
    labels[4, 4] = 5
    contour = contour_map(labels)
    rows, columns = np.nonzero(contour)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 6, 2, 6)  # OpenCV's round brush "3"
    assert set(np.unique(contour)) == {0, 255}


def test_distance_grows_away_from_the_contour():
    contour = np.zeros((3, 6), np.uint8)
    contour[:, 0] = 255
    # 0..5 pixels, stretched to 255; OpenCV counts in fixed-point steps of .955, and fractions are cut off
    np.testing.assert_allclose(distance_map(contour)[1], [0, 51, 102, 153, 204, 255], atol=1)
    with pytest.raises(ValueError, match="without outlines"):
        distance_map(np.zeros((3, 3), np.uint8))


def test_one_hot_contour_distance_in_this_order():
    label = torch.tensor([[[0, 2], [1, 1]]], dtype=torch.uint8)
    contour = torch.tensor([[[0, 255], [255, 0]]], dtype=torch.uint8)
    distance = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    x = to_network_input(label, contour, distance, label_nc=3)
    expected = [[[1, 0], [0, 0]], [[0, 0], [1, 1]], [[0, 1], [0, 0]], [[0, 1], [1, 0]], [[0, 0.2], [0.4, 1]]]
    assert torch.equal(x, torch.tensor([expected]))
    assert torch.equal(to_network_input(label, None, None, label_nc=3), x[:, :3])


def test_batches_equal_single_masks():
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 16, (3, 8, 8)).astype(np.uint8))
    batch = to_network_input(label, label, label, 16)
    assert batch.shape == (3, 18, 8, 8)
    for i in range(3):
        assert torch.equal(batch[i:i + 1], to_network_input(label[i:i + 1], label[i:i + 1], label[i:i + 1], 16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_devices_agree_bit_for_bit():
    planes = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    on_gpu = to_network_input(planes.cuda() % 16, planes.cuda(), planes.cuda(), 16)
    assert torch.equal(on_gpu.cpu(), to_network_input(planes % 16, planes, planes, 16))


def test_unmerged_labels_and_no_contours():
    x = unfold(prepare_mask(tiny_face(), FACES, False, MaskTransform(8, 8, 8), False), len(FACES)).numpy()
    assert x.shape == (19, 8, 8)
    np.testing.assert_array_equal(x.argmax(0), tiny_face())


def test_merging_comes_before_the_outlines():
    # two halves of an eye: one part after merging, so no outline between them
    labels = np.zeros((16, 16), np.uint8)
    labels[4:12, 2:8], labels[4:12, 8:14] = FACES.index("l_eye"), FACES.index("r_eye")
    labels = np.kron(labels, np.ones((32, 32), np.uint8))
    whole = MaskTransform(input_size=512, crop=False)
    merged = prepare_mask(labels, FACES, True, whole, True)
    apart = prepare_mask(labels, FACES, False, whole, True)
    assert merged.contour[256, 255] == 0
    assert apart.contour[256, 255] == 255


def test_geometry_crops_the_centre():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(MaskTransform(10, 4, 4).apply(image), image[3:7, 3:7])
    np.testing.assert_array_equal(MaskTransform(10, 4, 2).apply(image), image[4:7:2, 4:7:2])
    np.testing.assert_array_equal(MaskTransform(input_size=10, crop=False).apply(image), image)


def test_geometry_takes_images_of_any_shape_like_pillow():
    image = np.random.default_rng(1).integers(0, 255, (218, 178)).astype(np.uint8)
    expected = Image.fromarray(image).resize((320, 320), 0).crop((32, 32, 288, 288)).resize((224, 224), 0)
    np.testing.assert_array_equal(MaskTransform().apply(image), np.asarray(expected))


def test_geometry_at_another_size_keeps_the_framing():
    # without a crop of 256 in between, 512 pixels show the central four fifths of the image: 51 to 460
    ramp = np.repeat(np.arange(512)[None] // 2, 512, 0).astype(np.uint8)
    shown = MaskTransform().at(512).apply(ramp)
    assert shown.shape == (512, 512)
    assert (int(shown[0, 0]), int(shown[0, -1])) == (25, 230)
    assert MaskTransform(crop=False).at(64).apply(ramp).shape == (64, 64)


def test_geometry_of_a_checkpoint():
    trained = {"image_load_size": 640, "image_crop_size": 512, "src_input_size": 96}
    assert MaskTransform.from_opts(trained) == MaskTransform(320, 256, 96)  # as official inference frames it
    assert MaskTransform.from_opts({"image_load_size": 512, "image_crop_size": 512}) == MaskTransform(256, 256)
    unset = {"image_load_size": -1, "image_crop_size": -1}
    assert MaskTransform.from_opts(unset, crop=False) == MaskTransform(crop=False)
    assert MaskTransform.from_opts({}) == MaskTransform()


@pytest.mark.parametrize("sizes, flag", [
    ((320, 400, 224), "`image_crop_size` 400"), ((320, 0, 224), "`image_crop_size` 0"),
    ((320, 256, 0), "`src_input_size` 0"), ((-1, -1, 224), "`image_crop_size` -1"),
])
def test_impossible_sizes_name_their_flag(sizes, flag):
    with pytest.raises(UserError, match=flag):
        MaskTransform(*sizes)


def test_image_conversion_has_a_fixed_range_and_returns():
    assert to_uint8(torch.tensor([-7.0, -1, 0, 1, 7]).reshape(1, 1, 5)).ravel().tolist() == [0, 0, 128, 255, 255]
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(to_uint8(to_tensor(every)), every)
    assert to_tensor(every)[0, 0, 0] == -1
    assert to_tensor(every)[0, -1, -1] == 1


def test_overlay_mixes_by_weight():
    image, mask = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    assert overlay(image, mask, 0.15).ravel()[0] == 115
    np.testing.assert_array_equal(overlay(image, mask, 0.0), image)
    np.testing.assert_array_equal(overlay(image, mask, 1.0), mask)
    with pytest.raises(UserError, match=r"`mask_overlay_weight` 1\.5"):
        overlay(image, mask, 1.5)


@pytest.mark.parametrize("times", [0.5, 2, 4])
def test_outlines_scale_with_the_file(times):
    """The same mask at 256, 1024 and 2048 pixels: outlines as wide, beside the parts, as at 512, and whole."""
    labels = read_mask(MASKS["CelebAMask_HQ"] / "0.png", FACES)
    file = labels[1::2, 1::2] if times < 1 else np.kron(labels, np.ones((int(times),) * 2, np.uint8))
    expected, found = (prepare_mask(mask, FACES, True, MaskTransform(), True) for mask in (labels, file))
    assert expected.contour is not None
    assert found.contour is not None
    if times > 1:
        for name in ("label", "contour", "distance"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert (found.contour > 0).mean() == pytest.approx((expected.contour > 0).mean(), rel=0.05)
    assert (found.contour == expected.contour).mean() > 0.97
