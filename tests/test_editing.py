"""Edits drawn on label maps: the delta is what the formula says, the softened rays have the right gradients, an
optimisation moves a view towards what was drawn, and maps survive being painted on."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_fields import logits_by_definition
from PIL import Image
from tiny import FACE_OPTS, tiny_model
from torch.nn import functional as F

from configs.label_spaces import LABEL_SPACES
from datasets.masks.map_files import read_map, save_map
from datasets.masks.maps import MaskTransform
from datasets.masks.relabel import merged_to, unmerged_to
from editing.directions import Z_SAMPLES, Z_SEED, code_directions
from editing.editor import USUAL, Editor, EditReport
from editing.files import load_codes, save_codes
from editing.glance import SAMPLES, Glance
from editing.refine import Refiner
from editing.region import edit_region, grown
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.pigan.fast.fold import field_weights
from models.pigan.fast.soft_rays import render_soft_rays
from models.pigan.integration import sample_weights
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import style_code
from models.sem2nerf import Sem2NeRF
from utils.errors import UserError

FACES, MERGED = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CelebAMask_HQ_merged"]
DEMO, FACE_MASKS = ROOT / "pretrained_models/sem2nerf_demo.pt", ROOT / "data/CelebAMask-HQ/mask_samples"
SIZE = 24
SIDE = Camera(1.2, 1.6)


def random_head(width=16, layers=(1, 3, 5, 7), space=MERGED):
    generator = torch.Generator().manual_seed(0)
    return SemanticHead(layers, space.name, torch.randn(len(space), len(layers) * width, generator=generator),
                        torch.randn(len(space), generator=generator))


@pytest.fixture(scope="module")
def net():
    net = tiny_model(contrast=20)
    net.semantic_head = random_head()
    return net


@pytest.fixture(scope="module")
def editor(net):
    return Editor(net, net.scene_of(style_code(net.siren, 3)), SIDE, SIZE, samples=8, sampler="exact")


def drawn_on(labels):
    """A square in the middle has the label that is rarest in it."""
    drawn, middle = labels.copy(), slice(SIZE // 3, 2 * SIZE // 3)
    drawn[middle, middle] = np.bincount(drawn[middle, middle].ravel(), minlength=16)[1:].argmin() + 1
    return drawn


def test_the_whole_picture_is_cut_to_what_is_seen():
    transform = MaskTransform()
    seen = np.arange(128 * 128).reshape(128, 128)
    whole = transform.whole(seen)
    assert whole.shape == (512, 512)
    back = transform.apply(whole)
    rows = np.arange(224) * 128 // 224
    off = np.stack(np.divmod(back, 128)) - np.stack(np.meshgrid(rows, rows, indexing="ij"))
    assert np.abs(off).max() <= 1  # up to the rounding of three resizes
    assert (whole[0, 100:400] == whole[50, 100:400]).all()  # the border is continued
    assert whole[0, 0] == seen[0, 0]
    assert whole[-1, -1] == seen[-1, -1]
    assert (MaskTransform(crop=False).whole(seen) == seen.repeat(4, 0).repeat(4, 1)).all()


def test_delta_encoding_is_the_difference_of_two_encodings(net, editor):
    drawn = drawn_on(editor.labels)
    one, other = (net.encode(net.input.read_seen(labels)[None]) for labels in (drawn, editor.labels))
    expected = editor.scene.codes + (one - other)
    got = net.edit(editor.scene, drawn, SIDE).codes
    # `edit` renders the map with its own samples, so it is given the same
    same = net.edited_codes(editor.scene, drawn, editor.labels)
    assert torch.allclose(same.frequencies, expected.frequencies, atol=1e-5)
    assert not torch.allclose(same.frequencies, editor.scene.codes.frequencies, atol=1e-3)
    assert got.frequencies.shape == expected.frequencies.shape
    nothing = net.edited_codes(editor.scene, editor.labels, editor.labels)
    assert torch.equal(nothing.phase_shifts, editor.scene.codes.phase_shifts)


def test_the_better_answer_stays(net, editor, monkeypatch):
    """Whatever an optimisation ends with: it is taken only where the view shows the drawing better."""
    drawn = drawn_on(editor.labels)
    worse, better = sorted((style_code(net.siren, 5), style_code(net.siren, 6)),
                           key=lambda codes: editor.report(drawn, codes).score)
    assert editor.report(drawn, worse).score < editor.report(drawn, better).score
    monkeypatch.setattr(Editor, "view", None)  # a few rays say which is better
    for given, found in ((worse, better), (better, worse)):
        monkeypatch.setattr(Refiner, "run", lambda *_, found=found: found)
        assert editor.refine(drawn, given, 1) is better


@pytest.mark.parametrize("most", [256, 30])
def test_a_glance_sees_what_the_view_shows(net, editor, monkeypatch, most):
    monkeypatch.setattr("editing.glance.RAYS_NEAR", most)
    drawn = drawn_on(editor.labels)
    region = editor.region(drawn)
    glance, scene = Glance(SIDE, net.config.camera, region), net.scene_of(style_code(net.siren, 5))
    view = scene.render(SIDE, SIZE, SAMPLES, labels=True)
    labels, colours = glance.look(scene)
    assert (labels == glance.of(view.labels.numpy())).mean() > 0.98  # up to ties
    assert np.abs(colours - glance.of(view.rgb.permute(1, 2, 0).numpy())).max() < 1e-4
    assert glance.sampled.inside.any()
    assert len(glance.of(drawn)) <= most + 64
    seen, all_of_it = glance.sampled.inside.sum(), region.inside.sum()
    assert seen == all_of_it if most == 256 else 0 < seen < all_of_it  # with fewer rays it is coarser


def test_an_encoder_that_tells_more_apart_than_the_head_is_refused(editor):
    net = tiny_model({**FACE_OPTS, "use_merged_labels": False, "input_nc": 21, "label_nc": 19})
    net.semantic_head = random_head()
    with pytest.raises(UserError, match="needs those of CelebAMask_HQ"):
        net.edit(net.scene_of(style_code(net.siren, 1)), drawn_on(editor.labels), SIDE)


@pytest.mark.parametrize("last_back", [False, True])
def test_soft_rays_are_the_field_composited_with_a_softened_density(net, last_back):
    """Values, and the gradients of the codes, against the layers one by one under autograd."""
    generator, softness = torch.Generator().manual_seed(1), 40.0
    directions = F.normalize(torch.randn(6, 3, generator=generator) * 0.02 + torch.tensor([0.0, 0, -1]), dim=1)
    origin = torch.tensor([0.0, 0, 1])
    depths = (0.88 + 0.24 * torch.rand(6, 7, generator=generator)).sort(1).values
    wanted = torch.randn(6, 19, generator=generator)

    def result(render):
        start = style_code(net.siren, 5)
        codes = Codes(start.frequencies.clone().requires_grad_(), start.phase_shifts.clone().requires_grad_())
        seen = torch.cat(render(codes), 1)
        (seen * wanted).sum().backward()
        return seen.detach(), codes.frequencies.grad, codes.phase_shifts.grad

    def fast(codes):
        frequency, phase = net.siren.modulation(codes)
        return render_soft_rays(field_weights(net.siren).frozen(), net.semantic_head, (frequency[0], phase[0]), origin,
                                directions, depths, softness, last_back)

    def plain(codes):
        points = (origin + directions[:, None] * depths[..., None]).reshape(-1, 3)
        rgb, density = net.siren(points[None], codes)
        chances = logits_by_definition(net.siren, codes, net.semantic_head, points).softmax(-1)
        density = softness * F.softplus(density.reshape(depths.shape) / softness)
        weights = sample_weights(density, depths, last_back=last_back)[..., None]
        return [(weights * values.reshape(6, 7, -1)).sum(1) for values in (chances, rgb)]

    for got, expected in zip(result(fast), result(plain), strict=True):
        assert torch.allclose(got, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_directions_are_those_in_which_codes_vary(net):
    moves = code_directions(net.siren, 5)
    basis = torch.cat(list(moves), 1).double()
    z = torch.randn(Z_SAMPLES, net.siren.z_dim, generator=torch.Generator().manual_seed(Z_SEED))  # the same codes
    with torch.no_grad():
        codes = torch.cat(list(vars(net.siren.mapping_network(z)).values()), 1).double()
    length = basis.norm(dim=1)
    assert (length.diff() <= 0).all()  # the widest first
    amounts = (codes - codes.mean(0)) @ (basis / length[:, None] ** 2).t()  # in standard deviations
    assert torch.allclose(amounts.t().cov(correction=0), torch.eye(5, dtype=torch.float64), atol=1e-3)
    assert codes.var(0).sum() >= basis.square().sum()


@pytest.fixture(scope="module")
def longer_hair():
    """An editor of the bundled weights, and its map with hair on a part of the background."""
    net = Sem2NeRF.from_checkpoint(DEMO)
    editor = Editor(net, net.scene(FACE_MASKS / "90002.png"), SIDE, 32, samples=8, sampler="exact")
    hair, drawn = MERGED.index("hair"), editor.labels.copy()
    drawn[grown(drawn == hair, 2) & (drawn == 0)] = hair
    return editor, drawn


def test_refinement_moves_the_view_towards_the_drawing(longer_hair):
    """From the scene's own codes."""
    editor, drawn = longer_hair
    start = editor.scene.codes
    before, after = editor.report(drawn, start), editor.report(drawn, editor.refine(drawn, start, 30))
    assert before.wanted == before.labels_outside == before.colours_outside == 0
    assert after.wanted > 0.6  # .85, with half of the steps
    assert after.labels_outside < 0.1
    one, again = (editor.refine(drawn, start, 2).frequencies for _ in range(2))
    assert torch.equal(one, again)


def test_the_first_answer_goes_beyond_the_encoding(longer_hair):
    editor, drawn = longer_hair
    encoded = editor.report(drawn, editor.net.edited_codes(editor.scene, drawn, editor.labels))
    first = editor.report(drawn, editor.delta(drawn))
    assert first.wanted > encoded.wanted + 0.1  # .99 and .73
    assert first.score > encoded.score
    assert first.colours_outside < 0.03


def test_an_encoding_that_changes_too_much_outside_is_followed_in_part(longer_hair, monkeypatch):
    """Without the steps that come after it: as far along the encoding's way as colours outside allow."""
    editor, drawn = longer_hair
    monkeypatch.setattr("editing.editor.QUICK_STEPS", 0)
    start = editor.scene.codes.frequencies
    whole = editor.net.edited_codes(editor.scene, drawn, editor.labels).frequencies - start
    moved = {}
    for most in (1.0, 0.002, 0.001):
        monkeypatch.setattr("editing.editor.MOST_OUTSIDE", most)
        codes = editor.delta(drawn)
        shares = ((codes.frequencies - start) / whole)[whole.abs() > whole.abs().max() / 10]
        assert torch.allclose(shares, shares.mean(), atol=1e-3)
        moved[most] = (shares.mean().item(), editor.report(drawn, codes).colours_outside)
    assert moved[1.0][0] == pytest.approx(1)
    assert moved[0.001][0] == pytest.approx(moved[0.002][0] / 2, rel=1e-3)
    assert moved[0.001][1] < moved[0.002][1] < moved[1.0][1]


def test_small_changes_of_colours_outside_do_not_count():
    """Up to what nobody sees, in the score as in the loss."""
    scores = [EditReport(0.1, 0, 0.8, 0, colours).score for colours in (0, 0.5 * USUAL.tolerated, 2 * USUAL.tolerated)]
    assert scores[0] == scores[1] == 0.8
    assert scores[2] == pytest.approx(0.8 - USUAL.colour_weight * USUAL.tolerated)


def test_region_leaves_out_speckles():
    before = np.zeros((128, 128), np.uint8)
    after = before.copy()
    after[5, 5] = 3
    assert not edit_region(before, after).inside.any()
    after[60:70, 60:70] = 3
    region = edit_region(before, after)
    assert region.inside.sum() == 100
    assert region.margin[56, 65]
    assert region.outside[5, 5]
    assert (region.inside.astype(int) + region.margin + region.outside == 1).all()


@pytest.mark.parametrize("labels, message", [
    (np.zeros((8, 8), np.uint8), "8 x 8 pixels"), (np.full((SIZE, SIZE), 77, np.uint8), "label 77"), (None, "nothing")])
def test_maps_that_are_no_edits_are_refused(editor, labels, message):
    with pytest.raises(UserError, match=message) as error:
        editor.delta(editor.labels if labels is None else labels)
    assert error.value.settings[0] == "edit"


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
@pytest.mark.parametrize("names", ["CelebAMask_HQ", "CatMask"])
def test_a_map_can_be_read_again_however_an_editor_saves_it(tmp_path, mode, names):
    files = LABEL_SPACES[names]
    assert files.merged is not None
    labels = np.repeat(np.arange(len(files.merged), dtype=np.uint8), 6 * 6 * len(files.merged)).reshape(-1, 36)
    path = save_map(tmp_path / "map.png", labels, files.merged, files)
    with Image.open(path) as image:
        pixels = np.array(image)
        if mode == "RGB":
            image.convert("RGB").save(path)
        elif mode == "L":
            Image.fromarray(pixels).save(path)
    assert (read_map(path, files, files.merged) == labels).all()


def test_parts_that_share_a_label_are_written_as_the_first():
    labels = np.array([[4, 10]], np.uint8)
    assert [FACES.labels[i] for i in unmerged_to(labels, MERGED, FACES)[0]] == ["l_eye", "hair"]
    assert (merged_to(unmerged_to(labels, MERGED, FACES), FACES, MERGED) == labels).all()
    with pytest.raises(ValueError, match="CatMask"):
        merged_to(labels, FACES, LABEL_SPACES["CatMask"])


def test_codes_are_read_again_by_their_own_decoder_alone(tmp_path, net):
    codes = style_code(net.siren, 7)
    path = save_codes(tmp_path / "codes.pt", codes, net.siren)
    assert torch.equal(load_codes(path, net.siren).phase_shifts, codes.phase_shifts)
    with pytest.raises(UserError, match="another decoder"):
        load_codes(path, tiny_model(seed=1).siren)
    torch.save({"format": "something"}, path)
    with pytest.raises(UserError, match="no codes"):
        load_codes(path, net.siren)
