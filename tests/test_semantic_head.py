"""The semantic head: label maps are what the formula says, colours do not change, files say whose head it is."""

import copy

import numpy as np
import pytest
import torch
from conftest import ROOT
from made_fields import logits_by_definition
from tiny import CAT_OPTS, FACE_OPTS, tiny_checkpoint, tiny_model

from configs.label_spaces import LABEL_SPACES
from models.checkpoints import read_checkpoint, to_official
from models.pigan.cameras import Camera, camera_rays
from models.pigan.codes import Codes
from models.pigan.integration import sample_weights
from models.pigan.sampling import RayNoise, importance_depths, stratified_depths
from models.pigan.semantic_head import SemanticHead
from models.pigan.siren import style_code
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from models.semantic_files import decoder_sha256, head_of, load_semantic_head, save_semantic_head
from scripts.convert_checkpoint import main as convert
from utils.errors import UserError

SIZE, SAMPLES = 10, 8
MERGED = "CelebAMask_HQ_merged"


def random_head(width=16, layers=(1, 3, 5, 7), space=MERGED, seed=0, strength=1.0):
    generator, labels = torch.Generator().manual_seed(seed), len(LABEL_SPACES[space])
    return SemanticHead(layers, space, torch.randn(labels, len(layers) * width, generator=generator) * strength,
                        torch.randn(labels, generator=generator))


@pytest.fixture(scope="module")
def net():
    net = tiny_model(contrast=20)
    net.semantic_head = random_head()
    return net


@pytest.fixture(scope="module")
def scene(net):
    return net.scene_of(style_code(net.siren, 3))


def test_label_probabilities_are_composited_as_colours_are(net, scene):
    """The definition, in float64: softmax of each sample, times the weight that its colour has."""
    camera, preset = Camera(1.3, 1.7), net.config.camera
    view = scene.render(camera, SIZE, SAMPLES, labels=True)
    siren, codes = copy.deepcopy(net.siren).double(), Codes(*(value.double() for value in vars(scene.codes).values()))
    origin, directions = (value.double() for value in camera_rays(camera, SIZE, preset.fov_deg))

    def field(depths):
        points = (origin + directions[:, None] * depths[..., None]).reshape(-1, 3)
        density = siren(points[None], codes)[1][0].reshape(depths.shape)
        chances = logits_by_definition(siren, codes, net.semantic_head, points).softmax(-1)
        return density, chances.reshape(*depths.shape, -1)

    perturbation, u = RayNoise().filled((SIZE**2, SAMPLES), directions)
    coarse = stratified_depths(preset.ray_start, preset.ray_end, SAMPLES, perturbation)
    density, chances = field(coarse)
    fine = importance_depths(coarse, sample_weights(density, coarse), u)
    depths, order = torch.cat([coarse, fine], 1).sort(1)
    both = [torch.cat(values, 1) for values in zip((density, chances), field(fine), strict=True)]
    weights = sample_weights(both[0].gather(1, order), depths, last_back=True)
    expected = (weights[..., None] * both[1].gather(1, order[..., None].expand(-1, -1, 16))).sum(1)
    expected = expected.t().reshape(16, SIZE, SIZE).float()
    assert expected.argmax(0).unique().numel() > 2  # there is something to tell apart
    assert torch.allclose(view.label_probabilities, expected, atol=2e-4)
    assert torch.equal(view.labels, view.label_probabilities.argmax(0).to(torch.uint8))


@pytest.mark.parametrize("sampler", ["exact", "grid"])
def test_labels_change_no_colour(scene, sampler):
    plain, labelled = (scene.render(Camera(1.3), 24, 12, sampler=sampler, labels=labels) for labels in (False, True))
    assert plain.labels is None
    assert plain.label_probabilities is None
    assert plain.rgba is None
    for name in ("rgb", "depth", "opacity"):
        assert torch.equal(getattr(plain, name), getattr(labelled, name)), name
    assert torch.allclose(labelled.label_probabilities.sum(0), torch.ones(24, 24), atol=1e-3)
    assert labelled.evaluations == plain.evaluations


def test_grid_and_exact_label_maps_agree():
    """Of the bundled weights, whose surfaces are as sharp as those that the grid is made for."""
    net = Sem2NeRF.from_checkpoint(ROOT / "pretrained_models/sem2nerf_demo.pt")
    scene = net.scene(ROOT / "data/CelebAMask-HQ/mask_samples/90001.png")
    exact, grid = (scene.render(None, 24, 24, sampler=sampler, labels=True) for sampler in ("exact", "grid"))
    assert exact.labels.unique().numel() > 6
    assert (exact.labels == grid.labels).float().mean() > 0.97
    assert (exact.label_probabilities - grid.label_probabilities).abs().mean() < 5e-3


def test_points_are_evaluated_as_the_decoder_is_defined(net, scene):
    points = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)) * 0.05
    siren, codes = copy.deepcopy(net.siren).double(), Codes(*(value.double() for value in vars(scene.codes).values()))
    rgb, density = siren(points[None].double(), codes)
    exact = density[0], rgb[0], logits_by_definition(siren, codes, net.semantic_head, points.double())
    for fast, slow in zip(scene.labelled_field.evaluate(points), exact, strict=True):
        assert torch.allclose(fast, slow.float(), atol=1e-3, rtol=1e-4)
    assert scene.appearance(points[:0])[1].shape == (0, 16)


def test_the_background_becomes_transparent(net):
    """Where the head is sure of the background, alpha is 0; elsewhere colours are those of the head alone."""
    head = net.semantic_head
    for bias, alpha in ((50.0, 0.0), (-50.0, 1.0)):
        sure = SemanticHead(head.layers, head.label_space, head.weight * 0,
                            torch.cat([torch.tensor([bias]), torch.zeros(15)]))
        scene = Scene(net.siren, style_code(net.siren, 3), net.config.camera, semantic_head=sure)
        view = scene.render(None, 12, 8, labels=True)
        assert torch.allclose(view.rgba[3], torch.full((12, 12), alpha), atol=1e-3)
        if alpha:
            assert torch.allclose(view.rgba[:3] * 2 - 1, view.rgb, atol=2e-3)


def test_a_scene_without_a_head_says_so(net):
    bare = Scene(net.siren, style_code(net.siren, 3), net.config.camera)
    with pytest.raises(UserError, match=r"no semantic head.*`semantic_head`.*train_semantics"):
        bare.render(None, 8, 4, labels=True)
    with pytest.raises(UserError, match="no semantic head"):
        bare.labelled_field  # noqa: B018


@pytest.mark.parametrize("sampler", ["exact", "grid"])
def test_a_device_sees_the_same_labels(net, scene, pretend, sampler):
    there = scene.on(pretend.device)
    views = [one.render(Camera(1.4), 12, 8, sampler=sampler, labels=True) for one in (scene, there)]
    assert torch.allclose(views[0].label_probabilities, views[1].label_probabilities, atol=1e-4)
    assert torch.allclose(views[0].rgb, views[1].rgb, atol=1e-4)


# ---- files -------------------------------------------------------------------------------------------------------

def test_a_head_file_belongs_to_its_decoder(net, tmp_path):
    path = tmp_path / "head.pt"
    save_semantic_head(path, net.semantic_head, net.siren)
    head = load_semantic_head(path, net.siren)
    assert torch.equal(head.weight, net.semantic_head.weight)
    assert torch.equal(head.bias, net.semantic_head.bias)
    assert (head.layers, head.label_space, head.sha256) == ((1, 3, 5, 7), MERGED, net.semantic_head.sha256)
    with pytest.raises(UserError, match=r"`semantic_head` .*head.pt: was trained with another decoder"):
        load_semantic_head(path, tiny_model(seed=1).siren)
    halved = copy.deepcopy(net.siren)
    halved.mapping_network.half().float()  # as in files to share
    assert decoder_sha256(halved) == decoder_sha256(net.siren)


@pytest.mark.parametrize("change, words", [
    ({"weight": torch.zeros(16, 63)}, "does not fit 16 labels and 4 layers"),
    ({"bias": torch.zeros(15)}, "does not fit 16 labels"),
    ({"layers": [1, 3, 3, 7]}, "some of 0 to 7, ascending"),
    ({"layers": [1, 3, 5, 8]}, "some of 0 to 7, ascending"),
    ({"label_space": "dogs"}, "label space dogs"),
    ({"bias": torch.full((16,), torch.nan)}, "not finite"),
    ({"weight": torch.zeros(16, 128)}, "for a field of width 32, this one has 16"),
])
def test_a_damaged_head_is_refused(change, words):
    state = {**random_head().state(), **change}
    with pytest.raises(UserError, match=f"somewhere: its semantic head .*{words}"):
        SemanticHead.from_state(state, "somewhere", 16)


def test_other_files_are_refused(net, tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other.pt: holds no semantic head"):
        load_semantic_head(tmp_path / "other.pt", net.siren)
    with pytest.raises(UserError, match="lacks layers"):
        SemanticHead.from_state([1, 2], "somewhere")


@pytest.mark.parametrize("opts, space", [
    (FACE_OPTS, MERGED), (FACE_OPTS, "CelebAMask_HQ"), (CAT_OPTS, "CatMask_merged")])
def test_conversion_and_release_keep_the_head(tmp_path, opts, space):
    plain, file = tiny_checkpoint(tmp_path / "plain.pt", opts), tmp_path / "head.pt"
    net, head = Sem2NeRF.from_checkpoint(plain), random_head(space=space)
    assert net.semantic_head is None
    assert head_of(read_checkpoint(plain), plain) is None
    save_semantic_head(file, head, net.siren)
    labelled, official, small = (tmp_path / name for name in ("labelled.pt", "official.pt", "small.pt"))
    convert([str(plain), str(labelled), "--to=native", f"--semantic_head={file}"])
    convert([str(labelled), str(official), "--to=official"])
    convert([str(official), str(small), "--release"])
    for path in (labelled, official, small):
        found = Sem2NeRF.from_checkpoint(path)
        assert found.semantic_head.sha256 == head.sha256, path
        assert load_semantic_head(file, found.siren).sha256 == head.sha256
    assert "semantic" in to_official(read_checkpoint(labelled))
    view = found.scene_of(style_code(found.siren, 1)).render(None, 8, 4, labels=True)
    assert view.label_probabilities.shape == (len(LABEL_SPACES[space]), 8, 8)
    assert np.isin(view.labels.numpy(), range(len(LABEL_SPACES[space]))).all()
