"""Masks as people have them: numbered by other parsers, turned, smoothed, unlabelled in places, badly framed, BGR."""

import warnings

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from configs.label_spaces import LABEL_ORDERS, LABEL_SPACES, order_table
from datasets.masks.files import MaskWarning, check_labels, read_mask
from datasets.masks.mask_input import MaskInput
from datasets.masks.order import read_label_order, suspicious_order
from utils.errors import UserError
from utils.images import colour_labels

FACES, CATS = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CatMask"]
FACE, CAT = (ROOT / "data" / name / "mask_samples/90001.png" for name in ("CelebAMask-HQ", "CatMask"))
OTHERS = [name for name in LABEL_ORDERS if name != "celebamask"]


@pytest.fixture(scope="module")
def labels():
    return read_mask(FACE, FACES)


def save(path, pixels, **how):
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **how)
    return path


def numbered(labels, order):
    """The mask as another parser would number it, and what can be known of it in that order."""
    table = LABEL_ORDERS[order]
    values = {label: value for value, label in reversed(list(enumerate(table)))}
    known = np.where(np.isin(labels, table), labels, 0).astype(np.uint8)
    return np.array([values.get(label, 0) for label in range(19)], np.uint8)[labels], known




# ---- orders ------------------------------------------------------------------------------------------------------

def test_known_orders_by_their_makers_lists():
    """A few entries of each, from the parsers' own documentation."""
    names = {order: [FACES.labels[label] for label in table] for order, table in LABEL_ORDERS.items()}
    assert names["facer"][:5] == ["background", "neck", "skin", "cloth", "r_ear"]
    assert names["facer"][11:15] == ["mouth", "l_lip", "u_lip", "hair"]
    assert names["facesynthetics"][3] == "r_eye"
    assert names["facesynthetics"][12:18] == ["neck", "hair", "skin", "cloth", "eye_g", "hat"]
    assert names["lapa"][6:] == ["nose", "u_lip", "mouth", "l_lip", "hair"]
    assert names["makeup"] == [*names["lapa"], "l_ear", "r_ear", "neck"]


@pytest.mark.parametrize("order", OTHERS)
def test_another_order_is_named_and_read(tmp_path, labels, order):
    values, known = numbered(labels, order)
    file = save(tmp_path / "mask.png", values)
    with pytest.warns(MaskWarning, match=rf"mask\.png: .*use `label_order` {order}$"):
        read_mask(file, FACES, require_face=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_mask(file, FACES, label_order=order), known)


@pytest.mark.parametrize("name", ["90002", "90002_glasses", "90003", "90008_hat", "90009", "90011"])
@pytest.mark.parametrize("order", OTHERS)
def test_other_heads_in_other_orders(name, order):
    labels = read_mask(FACE.with_name(f"{name}.png"), FACES)
    values = numbered(labels, order)[0]
    values[:80, :120] = 0
    assert f"use `label_order` {order}" in str(suspicious_order(values, "celebamask", FACES))


def test_an_unknown_order_is_noticed_and_none_recommended(labels):
    # eyes, lips and hair where nobody has them: no known order fits
    mixed = np.array([0, 1, 13, 3, 11, 12, 10, 17, 8, 9, 6, 4, 7, 2, 14, 15, 16, 5, 18], np.uint8)[labels]
    with pytest.warns(MaskWarning, match=r"do not lie as on a head .*`label_order` takes a list") as caught:
        check_labels(mixed, FACES)
    assert not any("use `label_order`" in str(warning.message) for warning in caught)


def test_any_order_by_a_list_or_a_file(tmp_path, labels):
    mine = ["background", "cloth", "skin", "hair", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "u_lip", "l_lip"]
    values = np.array([mine.index(part) if part in mine else 0 for part in FACES.labels], np.uint8)[labels]
    expected = np.where(np.isin(labels, [FACES.index(part) for part in mine]), labels, 0)
    numbers = ",".join(str(FACES.index(part)) for part in mine)
    (tmp_path / "lines.txt").write_text("# my parser\n" + "\n".join(mine) + "\n")
    (tmp_path / "commas.txt").write_bytes(b"\xef\xbb\xbf" + ", ".join(mine).encode())
    (tmp_path / "numbered.txt").write_text("\n".join(f"{value} {part}" for value, part in reversed([*enumerate(mine)])))
    for order in (",".join(mine), numbers, *map(str, sorted(tmp_path.glob("*.txt")))):
        kept = read_label_order(order, FACES)
        assert order_table(kept, FACES) == tuple(FACES.index(part) for part in mine)
        np.testing.assert_array_equal(check_labels(values, FACES, kept), expected)
    for wrong in ("random", "background,skn", "background,19", str(tmp_path / "no.txt")):
        with pytest.raises(UserError, match="`label_order`"):
            read_label_order(wrong, FACES)
    with pytest.raises(UserError, match=r"out of range \(11, 12, 13, 17, 18\); `label_order` as given has"):
        check_labels(labels, FACES, numbers)


def test_lists_work_for_cats_too():
    labels = read_mask(CAT, CATS)
    order = ",".join(reversed(CATS.labels))
    np.testing.assert_array_equal(check_labels(15 - labels, CATS, order), labels)
    with pytest.raises(UserError, match="`label_order` lapa: this order is for CelebAMask-HQ faces"):
        check_labels(labels, CATS, "lapa")


def test_painted_masks_of_another_order(tmp_path, labels):
    """Numbers of another parser in the colours of our table: the same advice, the same remedy."""
    values, known = numbered(labels, "bisenet")
    file = save(tmp_path / "painted.png", colour_labels(values, FACES.palette))
    with pytest.warns(MaskWarning, match=r"painted\.png: .*use `label_order` bisenet$"):
        read_mask(file, FACES)
    np.testing.assert_array_equal(read_mask(file, FACES, label_order="bisenet"), known)


# ---- turned ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("turn, what", [
    (lambda mask: mask[::-1], "upside down"), (lambda mask: mask[::-1, ::-1], "upside down"),
    (np.rot90, "turned a quarter to the left"), (lambda mask: np.rot90(mask, 3), "turned a quarter to the right"),
    (np.transpose, "turned a quarter to the .*")])
@pytest.mark.parametrize("file, space", [(FACE, FACES), (FACE.with_name("90003.png"), FACES), (CAT, CATS)])
def test_turned_masks_are_noticed(file, space, turn, what):
    labels = read_mask(file, space)
    with pytest.warns(MaskWarning, match=rf"as if the head were {what}.*turn the mask"):
        check_labels(np.ascontiguousarray(turn(labels)), space)


# ---- the file ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sizes, filter", [((256,), 2), ((256, 512), 2), ((700,), 2), ((300,), 5)])
def test_smoothed_label_maps_are_noticed(tmp_path, labels, sizes, filter):
    image = nearest = Image.fromarray(labels)
    for size in sizes:
        image, nearest = image.resize((size, size), filter), nearest.resize((size, size), 0)
    image.save(tmp_path / "1.png")
    with pytest.warns(MaskWarning, match=r"1\.png: .*% of its pixels.*nearest-neighbour only"):
        read_mask(tmp_path / "1.png", FACES)
    Image.fromarray(labels).resize((224, 224), Image.Resampling.LANCZOS).save(tmp_path / "2.png")  # overshoots: 19, 20
    with pytest.raises(UserError, match=r"2\.png: .*% of its pixels.*nearest-neighbour only"):
        read_mask(tmp_path / "2.png", FACES)
    nearest.save(tmp_path / "1.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_mask(tmp_path / "1.png", FACES)


def test_what_nobody_labelled_is_background(tmp_path, labels):
    void = labels.copy()
    void[:60, :60], void[300:310, 300:310] = 255, 255
    expected = np.where(void == 255, 0, void)
    with pytest.warns(MaskWarning, match=r"1\.png: value 255 on 1\.4% of its pixels is read as background"):
        np.testing.assert_array_equal(read_mask(save(tmp_path / "1.png", void), FACES), expected)
    values, _ = numbered(labels, "facesynthetics")
    values[:60, :60] = 255
    with pytest.warns(MaskWarning, match="value 255"):
        read_mask(save(tmp_path / "2.png", values), FACES, label_order="facesynthetics")
    with pytest.raises(UserError, match=r"labels out of range \(254, 255\)"):  # two values are no mark of one kind
        read_mask(save(tmp_path / "3.png", np.where(void == 13, 254, void).astype(np.uint8)), FACES)


def test_red_and_blue_exchanged(tmp_path, labels):
    file = save(tmp_path / "bgr.png", colour_labels(labels, FACES.palette)[..., ::-1])
    with pytest.raises(UserError, match=r"bgr\.png: its colours are .* red and blue exchanged, as OpenCV"):
        read_mask(file, FACES)
    few = np.where(np.isin(labels, (13, 18)), labels, np.where(labels > 0, 1, 0)).astype(np.uint8)  # readable both ways
    painted = colour_labels(few, FACES.palette)
    with pytest.warns(MaskWarning, match=r"few\.png: the hair lies above the skin only if red and blue are exchanged"):
        read_mask(save(tmp_path / "few.png", painted[..., ::-1]), FACES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_mask(save(tmp_path / "few.png", painted), FACES), few)
    cat = read_mask(CAT, CATS)
    cat[np.isin(cat, (1, 4))] = 0  # their colour stands for two labels
    with pytest.raises(UserError, match=r"colours are those of CatMask with red and blue exchanged"):
        read_mask(save(tmp_path / "cat.png", colour_labels(cat, CATS.palette)[..., ::-1]), CATS)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "pgm"])
def test_lossless_files_other_than_png(tmp_path, labels, suffix):
    file = save(tmp_path / f"1.{suffix}", labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_mask(file, FACES), labels)


# ---- framing -----------------------------------------------------------------------------------------------------

def placed(labels, scale, right=0.0, down=0.0):
    """The mask scaled about its centre and moved, as fractions of its side."""
    size = len(labels)
    rows, columns = (np.round((np.arange(size) - size / 2 - shift * size) / scale + size / 2).astype(int)
                     for shift in (down, right))
    inside = ((rows >= 0) & (rows < size))[:, None] & ((columns >= 0) & (columns < size))
    return np.where(inside, labels[np.ix_(rows.clip(0, size - 1), columns.clip(0, size - 1))], 0).astype(np.uint8)


@pytest.mark.parametrize("file, reader", [(FACE, MaskInput()), (CAT, MaskInput("CatMask"))])
@pytest.mark.parametrize("place, what", [
    ((0.5,), "covers"), ((0.35, 0.1), "covers"), ((0.8, 0.25), "to the right"), ((0.8, -0.25), "to the left"),
    ((0.8, 0, 0.25), "down"), ((2.2,), "covers")])
def test_badly_framed_heads_are_noticed(file, reader, place, what):
    labels = reader.labels(file)
    reader.prepare(labels)
    with pytest.warns(MaskWarning, match=rf"mask: the (face|head) .*{what}.*move and scale"):
        reader.prepare(placed(labels, *place))


def test_usual_framing_raises_no_alarm():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reader, file in ((MaskInput(), FACE), (MaskInput.from_opts({"pigan_curriculum_type": "CatMask"}), CAT)):
            for path in file.parent.glob("*.png"):
                reader.read(path)
            for place in ((0.9,), (1.1,), (1, 0.06), (1, -0.06, 0.05)):
                reader.prepare(placed(reader.labels(file), *place))
