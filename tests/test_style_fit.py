"""Colours of a reference: which parts change, which stay, and what inference3d.py writes."""

import numpy as np
import pytest
from conftest import ROOT
from inferring import infer
from PIL import Image

from configs.label_spaces import LABEL_SPACES
from datasets.masks.mask_input import MaskInput
from models.pigan.cameras import Camera
from models.sem2nerf import Sem2NeRF
from photos.colours import PartColours
from photos.reference import mask_beside, read_reference
from photos.style_fit import fit_colours, named_parts
from utils.errors import UserError

MASKS = ROOT / "data/CelebAMask-HQ/mask_samples"
SPACE = LABEL_SPACES["CelebAMask_HQ_merged"]
HAIR, SKIN = SPACE.index("hair"), SPACE.index("skin")


@pytest.fixture(scope="module")
def demo():
    """The bundled model, a head of it, and what its mask shows."""
    net = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")
    planes = net.input.prepare(net.input.labels(MASKS / "90001.png"))
    rows = np.arange(64) * len(planes.label) // 64
    return net, net.encode(net.input.tensor(planes)[None]), planes.label[np.ix_(rows, rows)]


def painted(**colours):
    """Colours of parts, without spread."""
    mean = np.full((len(SPACE), 3), np.nan)
    for name, colour in colours.items():
        mean[SPACE.index(name)] = colour
    return PartColours(mean, np.where(np.isnan(mean), np.nan, 0.03))


def test_colours_of_parts_are_read_without_their_rim():
    labels = np.zeros((64, 64), np.uint8)
    labels[16:48, 16:48] = HAIR
    picture = np.where((labels == HAIR)[..., None], [0.5, 0.25, 0.0], 1.0)
    picture[16, 16:48] = 1.0  # a rim that is the background's
    colours = PartColours.of(picture, labels, SPACE)
    np.testing.assert_allclose(colours.mean[HAIR], [0.5, 0.25, 0.0])
    np.testing.assert_allclose(colours.spread[HAIR], 0)
    assert colours.shown.nonzero()[0].tolist() == [0, HAIR]


def test_a_named_part_takes_the_colour_and_the_others_keep_theirs(demo):
    net, codes, labels = demo
    fitted = fit_colours(net, codes, Camera(), labels, painted(hair=(0.5, 0.3, 0.15), skin=(0.2, 0.9, 0.2)), ["hair"],
                         steps=60)
    assert set(fitted.after) == {"hair"}
    assert fitted.after["hair"] < fitted.before["hair"] / 2
    width = net.siren.width
    for mine, theirs in ((fitted.codes.frequencies, codes.frequencies),
                         (fitted.codes.phase_shifts, codes.phase_shifts)):
        assert (mine[:, : 8 * width] == theirs[:, : 8 * width]).all()  # the layers of the shape
    views = [net.scene_of(each).render(Camera(), 64, 6).rgb.numpy() for each in (codes, fitted.codes)]
    change = np.abs(views[1] - views[0]).mean(0) * 127.5
    assert change[labels == SKIN].mean() < 3
    assert change[labels == HAIR].mean() > 10


def test_layers_that_move_the_shape_are_held_back(demo):
    net, codes, labels = demo
    fitted = fit_colours(net, codes, Camera(), labels, painted(hair=(0.5, 0.3, 0.15)), ["hair"], (7, 8), steps=15)
    assert fitted.after["hair"] < fitted.before["hair"]


def test_parts_that_neither_shows(demo):
    net, codes, labels = demo
    with pytest.raises(UserError, match=r"`style_parts`: there is no hat that both .* show; name others of skin"):
        fit_colours(net, codes, Camera(), labels, painted(skin=(0.5, 0.4, 0.3), hat=(0, 0, 0)), ["hat"])
    with pytest.raises(UserError, match="`style_parts`: 'beard' is no part of CelebAMask_HQ_merged; choose some of"):
        named_parts("hair,beard", SPACE)


@pytest.fixture
def photo(tmp_path):
    """A picture in a data set's layout: every label of a mask in a colour of its own."""
    for name in ("images", "mask"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    with Image.open(MASKS / "90002.png") as mask:
        mask.save(tmp_path / "mine/mask/3.png")
        Image.fromarray(np.asarray(mask)[..., None] * np.array([5, 8, 11], np.uint8)).save(
            tmp_path / "mine/images/3.png")
    return tmp_path / "mine/images/3.png"


def test_the_mask_beside_a_picture(photo, tmp_path):
    assert mask_beside(photo) == tmp_path / "mine/mask/3.png"
    assert mask_beside(tmp_path / "elsewhere/3.png") is None
    picture, labels = read_reference(photo, mask_beside(photo), MaskInput())
    assert picture.shape == (256, 256, 3)
    np.testing.assert_allclose(picture[labels == HAIR].mean(0), np.array([65, 104, 143]) / 255, atol=0.03)
    Image.fromarray(np.zeros((256, 512, 3), np.uint8)).save(photo)
    with pytest.raises(UserError, match=r"512 x 512 pixels do not have the shape of 3\.png \(512 x 256\)"):
        read_reference(photo, mask_beside(photo), MaskInput())


def test_inference_takes_the_colours_of_a_picture(tmp_path, weights, faces, photo, capsys):
    written = infer(tmp_path / "out", weights, faces / "90001.png", f"--style_image={photo}",
                    "--style_parts=hair,skin", "--n_outputs_to_generate=1")
    assert written[1:] == ["iter_500_infer_results_16/90001_as_3.png"]
    assert "colours as in" in capsys.readouterr().out


@pytest.mark.parametrize("options, words", [
    (["--style_parts=hair"], "--style_parts is of a reference picture; name that with --style_image"),
    (["--style_image=absent.png"], "--style_image absent.png: there is no such file"),
    (["--style_image={photo}", "--inject_code_seed=3"], "--style_image and --inject_code_seed: colours come from"),
    (["--style_image={faces}/90001.png"], "there is no mask of this picture in mask/ beside its folder"),
    (["--style_image={photo}", "--style_parts=beard"], "--style_parts: 'beard' is no part of"),
])
def test_mistakes_are_one_line(tmp_path, weights, faces, photo, options, words):
    with pytest.raises(UserError) as caught:
        infer(tmp_path / "out", weights, faces, *(option.format(photo=photo, faces=MASKS) for option in options))
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()
