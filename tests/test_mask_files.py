"""Mask files of every kind -> labels, and what is said about files that are no masks."""

import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from conftest import ROOT, SHARED
from PIL import Image

from configs.label_spaces import BISENET_ORDER, LABEL_SPACES
from datasets.masks.files import MaskWarning, read_mask
from utils.errors import UserError
from utils.images import colour_labels

FACES, CATS = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CatMask"]
SAMPLES = {"CelebAMask_HQ": ROOT / "data/CelebAMask-HQ/mask_samples", "CatMask": ROOT / "data/CatMask/mask_samples"}


def save(path, pixels, palette=None):
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path)
    return path


def tiny_face():
    """8x8: a square of skin with a nose, hair on top, neck below."""
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6], labels[1, 2:6], labels[6, 3:5], labels[4, 3:5] = 1, 13, 17, 2
    return labels


def test_grey_palette_rgb_and_painted_files_hold_the_same_mask(tmp_path):
    labels = tiny_face()
    painted = colour_labels(labels, FACES.palette)
    random_palette = np.random.default_rng(0).integers(1, 255, (256, 3))
    shuffled = np.array(FACES.palette)[::-1]  # an image editor sorts the palette as it likes
    files = [
        save(tmp_path / "grey.png", labels),
        save(tmp_path / "palette.png", labels, palette=FACES.palette),
        save(tmp_path / "odd_palette.png", labels, palette=random_palette),
        save(tmp_path / "shuffled.png", 18 - labels, palette=shuffled),
        save(tmp_path / "grey_rgb.png", np.repeat(labels[..., None], 3, -1)),
        save(tmp_path / "painted.png", painted),
    ]
    for file in files:
        np.testing.assert_array_equal(read_mask(file, FACES), labels, err_msg=file.name)
    np.testing.assert_array_equal(read_mask(files[3], FACES, "colour"), labels)
    np.testing.assert_array_equal(read_mask(files[3], FACES, "index", require_face=False), 18 - labels)


def test_files_of_few_bits_keep_their_label_numbers(tmp_path):
    # 4 bits a pixel, grey, rows 0 7 / 9 12: Pillow would return 0 119 / 153 204
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", 2, 2, 4, 0, 0, 0, 0)
    rows = zlib.compress(bytes([0, 0x07, 0, 0x9C]))
    (tmp_path / "few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
                                       + chunk(b"IEND", b""))
    assert read_mask(tmp_path / "few.png", CATS).tolist() == [[0, 7], [9, 12]]


def test_bisenet_masks_are_renumbered(tmp_path):
    labels = read_mask(SAMPLES["CelebAMask_HQ"] / "90001.png", FACES)
    file = save(tmp_path / "bisenet.png", np.argsort(BISENET_ORDER).astype(np.uint8)[labels])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_mask(file, FACES, label_order="bisenet"), labels)
    with pytest.raises(UserError, match="`label_order` bisenet"):
        read_mask(SAMPLES["CatMask"] / "90001.png", CATS, label_order="bisenet")


@pytest.mark.parametrize("name", ["90001", "90001_hair", "90002", "90003"])
def test_the_wrong_label_order_is_noticed(tmp_path, name):
    labels = read_mask(SAMPLES["CelebAMask_HQ"] / f"{name}.png", FACES)
    file = save(tmp_path / "bisenet.png", np.argsort(BISENET_ORDER).astype(np.uint8)[labels])
    with pytest.warns(MaskWarning, match=r"bisenet.png: .*use `label_order` bisenet"):
        read_mask(file, FACES)
    with pytest.warns(MaskWarning, match=r"use `label_order` celebamask"):
        read_mask(SAMPLES["CelebAMask_HQ"] / f"{name}.png", FACES, label_order="bisenet")


def test_right_masks_raise_no_alarm():
    real = SHARED / "masks" / "celebamask_hq"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in [*SAMPLES["CelebAMask_HQ"].glob("*.png"), *(real.glob("*.png") if real.is_dir() else [])]:
            read_mask(file, FACES)
        for file in SAMPLES["CatMask"].glob("*.png"):
            read_mask(file, CATS)


# ---- bad files ---------------------------------------------------------------------------------------------------

def photo():
    # every one of the 64 x 64 pixels has its own colour
    y, x = np.mgrid[:64, :64].astype(np.uint8)
    return np.stack([x * 4, y * 4, x + y], -1)


def painted_cat():
    labels = np.zeros((8, 8), np.uint8)
    labels[1:7, 1:7], labels[7, 2:6] = 7, 4
    return colour_labels(labels, CATS.palette)


BAD = {
    "16-bit": (lambda f: save(f, tiny_face().astype(np.uint16)), {}, r"16 bits per channel; save the labels"),
    "16-bit RGB": (lambda f: cv2.imwrite(str(f), np.zeros((8, 8, 3), np.uint16)), {}, r"16 bits per channel"),
    "RGBA": (lambda f: save(f, np.full((8, 8, 4), 255, np.uint8)), {}, r"RGBA, with an alpha channel"),
    "grey with alpha": (lambda f: save(f, np.full((8, 8, 2), 1, np.uint8)), {}, r"LA, with an alpha channel"),
    "JPEG named PNG": (lambda f: Image.fromarray(photo()).save(f, "JPEG"), {}, r"JPEG image, and masks are PNG"),
    "photo": (lambda f: save(f, photo()), {}, r"4096 colours, as a photo has"),
    "grey photo": (lambda f: save(f, photo()[..., 0] + photo()[..., 2]), {}, r"grey values, as in a photo.*0 to 18"),
    "part of a mask": (lambda f: save(f, tiny_face() // 13 * 255), {}, r"labels out of range \(255\).*0 to 18"),
    "label 19": (lambda f: save(f, tiny_face() + np.uint8(17)), {}, r"labels out of range \(19, 30, 34\)"),
    "empty": (lambda f: save(f, np.zeros((8, 8), np.uint8)), {}, r"the mask is empty .*paint the parts"),
    "no face": (lambda f: save(f, np.where(tiny_face() == 1, 0, tiny_face())), {}, r"no face.*found: nose, hair, neck"),
    "unknown colours": (lambda f: save(f, colour_labels(tiny_face(), ((0, 0, 0), (205, 0, 0), *FACES.palette[2:]))), {},
                        r"the colour \(205, 0, 0\) at x=2, y=2 is not in the table.*1 of 5 colours.*repaint"),
    "no colours": (lambda f: save(f, tiny_face()), {"encoding": "colour"},
                   r"has no colours; leave out `mask_encoding`"),
    "no numbers": (lambda f: save(f, colour_labels(tiny_face(), FACES.palette)), {"encoding": "index"},
                   r"holds colours, not label numbers; leave out `mask_encoding` index"),
    "not an image": (lambda f: f.write_text("hello"), {}, r"cannot be read.*damaged or is no image"),
    "nothing in it": (lambda f: f.write_bytes(b""), {}, r"cannot be read"),
    "missing": (lambda f: None, {}, r"there is no such mask"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, kind):
    make, options, message = BAD[kind]
    file = tmp_path / "bad.png"
    make(file)
    with pytest.raises(UserError, match=message) as caught:
        read_mask(file, FACES, **options)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
def test_truncated_files_are_refused(tmp_path, kept):
    whole = (SAMPLES["CelebAMask_HQ"] / "90001.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:int(len(whole) * kept)])
    with pytest.raises(UserError, match=r"cut.png: this mask cannot be read.*copy or make it again"):
        read_mask(tmp_path / "cut.png", FACES)


def test_enormous_files_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    file = save(tmp_path / "big.png", tiny_face())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # 64 pixels: Pillow's warning; twice the limit: its error
    with pytest.raises(UserError, match=r"big.png: this mask has too many pixels"):
        read_mask(file, FACES)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UserError, match=r"big.png: this mask has too many pixels"):
        read_mask(file, FACES)


def test_ambiguous_cat_colours_are_refused_with_the_reason(tmp_path):
    file = save(tmp_path / "cat.png", painted_cat())
    with pytest.raises(UserError, match=r"\(220, 220, 0\) is ambiguous, CatMask paints labels 1 \(body_1\) and 4"):
        read_mask(file, CATS)
    clean = np.where(painted_cat() == painted_cat()[7, 2], np.uint8(255), painted_cat())
    clean[(painted_cat() == (220, 220, 0)).all(-1)] = 255
    assert set(np.unique(read_mask(save(tmp_path / "clean.png", clean), CATS))) == {0, 7}
