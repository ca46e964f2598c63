"""Meshes of fields whose surface is known, and of scenes."""

import numpy as np
import pytest
import torch
import trimesh
from made_fields import HAIR, RADIUS, SKIN, Ball
from tiny import tiny_model

from models.meshing import carving, densities, surface
from models.meshing.extract import NoSurfaceError, mesh_of
from models.meshing.volume import Volume
from models.pigan.codes import Codes
from models.pigan.siren import style_code
from utils.errors import UserError

SMALL = 48


def as_trimesh(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def assert_closed(mesh):
    """One piece, each edge shared by two triangles that wind the same way, normals to the outside."""
    whole = as_trimesh(mesh)
    assert whole.is_watertight
    assert whole.is_winding_consistent
    assert whole.volume > 0
    assert whole.body_count == 1
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("slope", [1e9, 2e5, 2e4, 3e3])
@pytest.mark.parametrize("preset", ["CelebAMask_HQ", "CatMask"])
def test_the_surface_is_the_fields_own(slope, preset):
    """From a jump to a fog: what cameras see lies where the density is `level`, the rest behind it is closed."""
    field = Ball(slope, preset=preset)
    mesh = mesh_of(field, SMALL)
    assert_closed(mesh)
    distance = np.linalg.norm(mesh.vertices, axis=1)
    # where a field jumps, bisection ends within 1/16 of an edge of the grid; else vertices keep 1/100 from its ends
    tolerance = Volume(field.preset, SMALL).spacing * (1 / 16 if slope == 1e9 else 0.0105)
    assert np.abs(distance - (RADIUS - mesh.level / slope))[mesh.seen].max() < tolerance
    assert mesh.seen[mesh.vertices[:, 2] > 0].mean() > 0.995
    assert 0.6 < mesh.seen.mean() < 0.98  # not what lies behind
    assert (mesh.vertices[:, 2] < -0.9 * RADIUS).any()
    assert (mesh.normals * mesh.vertices).sum(1)[mesh.seen].min() > 0.9 * RADIUS * 0.8


def test_colours_and_labels_of_the_field():
    mesh = mesh_of(Ball(), SMALL)
    clear = np.abs(mesh.vertices[:, 1]) > 0.005
    upper = mesh.vertices[:, 1] > 0
    shown = clear & mesh.seen
    assert np.array_equal(mesh.labels[shown], np.where(upper, HAIR, SKIN)[shown])
    assert np.allclose(mesh.colours[shown], np.where(upper[:, None], [1, 0, 0], [0, 1, 0])[shown])
    hidden = ~mesh.seen & (np.abs(mesh.vertices[:, 1]) > 0.02)  # like what is seen nearby
    assert hidden.any()
    assert np.array_equal(mesh.labels[hidden], np.where(upper, HAIR, SKIN)[hidden])
    assert np.abs(mesh.colours - np.where(upper[:, None], [1, 0, 0], [0, 1, 0]))[hidden].max() < 0.2


def test_a_field_without_labels():
    with_labels, without = mesh_of(Ball(), SMALL), mesh_of(Ball(labels=False), SMALL)
    assert without.labels is None
    assert np.array_equal(with_labels.vertices, without.vertices)
    assert np.allclose(with_labels.colours[with_labels.seen], without.colours[with_labels.seen])


def test_a_background_wall_is_cut_by_its_label():
    cut, kept = mesh_of(Ball(wall=True), SMALL), mesh_of(Ball(wall=True, labels=False), SMALL)
    assert_closed(cut)
    spacing = Volume(Ball().preset, SMALL).spacing
    assert np.abs(cut.vertices[:, :2]).max() < RADIUS + spacing
    assert np.abs(np.linalg.norm(cut.vertices, axis=1) - RADIUS)[cut.seen].max() < 1e-3
    assert (cut.labels > 0).all()
    assert_closed(kept)
    assert np.abs(kept.vertices[:, :2]).max() > 1.4 * RADIUS  # without labels nobody knows


class Hollow(Ball):
    """With a hole in it that no camera sees, and a ball beside it."""

    def density(self, points):
        outer, inner = super().density(points), (points.norm(dim=1) - 0.03) * self.slope
        other = (0.01 - (points - torch.tensor([0.085, 0.0, 0.0])).norm(dim=1)) * self.slope
        return torch.maximum(torch.minimum(outer, inner), other).clamp(-900, 900)


def test_cavities_are_filled_and_the_largest_part_is_kept():
    mesh = mesh_of(Hollow(), SMALL)
    assert_closed(mesh)
    assert np.linalg.norm(mesh.vertices, axis=1).min() > 0.05
    assert mesh.vertices[:, 0].max() < 0.065
    assert as_trimesh(mesh).euler_number == 2


class Empty(Ball):
    def density(self, points):
        return torch.full((len(points),), -100.0)


class Wisp(Ball):
    """Fog through which the light of a ray comes nearly whole."""

    def density(self, points):
        return torch.where(points.norm(dim=1) < 0.05, 1.0, -1.0)


@pytest.mark.parametrize("field, level, message", [
    (Empty(), None, "no ray of the frontal camera loses half of its light"),
    (Wisp(), None, "no ray of the frontal camera loses half of its light"),
    (Empty(), 10.0, "no camera sees a place where its density is above 10"),
])
def test_no_surface_is_one_line(field, level, message):
    with pytest.raises(NoSurfaceError, match=message) as caught:
        mesh_of(field, 24, level)
    assert "\n" not in str(caught.value)


def test_a_level_of_ones_own():
    assert mesh_of(Wisp(), SMALL, 0.5).level == 0.5
    outer, inner = (mesh_of(Ball(3e3), SMALL, level) for level in (0.0, 60.0))
    for mesh, radius in ((outer, RADIUS), (inner, RADIUS - 0.02)):
        assert np.allclose(np.linalg.norm(mesh.vertices, axis=1)[mesh.seen], radius, atol=3e-5)


def test_a_resolution_too_small():
    with pytest.raises(ValueError, match="at least 16, got 8"):
        mesh_of(Ball(), 8)


@pytest.mark.parametrize("resolution, stride, cells", [(16, 1, 16), (79, 1, 79), (80, 2, 80), (161, 4, 164),
                                                        (400, 8, 400)])
def test_coarser_grids_fit(resolution, stride, cells):
    volume = Volume(Ball().preset, resolution)
    assert (volume.stride, volume.cells) == (stride, cells)
    assert volume.places(volume.indices(stride)).abs().max() == pytest.approx(volume.half)


def test_a_coarse_grid_misses_nothing():
    """Its refinement has the signs of the field at every point, for a fraction of the evaluations."""
    net = tiny_model()
    scene = net.scene_of(style_code(net.siren, 3))
    volume = Volume(scene.preset, 80)
    coarse = densities.coarse_densities(scene, volume)
    fine = densities.refined(scene, volume, coarse, 0.0).reshape(-1)
    places = volume.places(volume.indices())
    inside = volume.inside_cut(places) > 0
    true = scene.density(places[inside])
    clear = true.abs() > 0.02 * true.abs().max()
    assert ((fine[inside] > 0) == (true > 0))[clear].float().mean() > 0.999
    ball = Ball()
    densities.refined(ball, Volume(ball.preset, 80), densities.coarse_densities(ball, volume), 0.0)
    assert ball.asked < 0.35 * 81**3


def test_depth_maps_begin_where_a_coarse_one_says():
    field = Ball(preset="CelebAMask_HQ")
    volume = Volume(field.preset, 160)
    grid = field.density(volume.places(volume.indices())).reshape((161,) * 3)
    assert len(grid) > 2 * carving.COARSE_RAYS
    quick = carving.depth_maps(volume, grid)[0]
    slow = carving._first_surface(volume, grid, carving.CAMERAS[0], 161, None)
    assert (slow < 1).any()
    assert (slow > 1).any()
    assert torch.equal(quick < 1.5, slow < 1.5)
    assert (quick - slow).abs().max() < volume.spacing / 10  # rays step from other places


def test_smoothing_moves_only_what_may_move():
    mesh = mesh_of(Ball(), SMALL)
    found = surface.Surface(mesh.vertices, mesh.faces)
    movable = mesh.vertices[:, 2] < 0
    moved = surface.smoothed(found, movable).vertices
    assert np.array_equal(moved[~movable], mesh.vertices[~movable])
    assert not np.array_equal(moved[movable], mesh.vertices[movable])


def test_scikit_image_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    with pytest.raises(UserError, match="pip install scikit-image"):
        mesh_of(Ball(), 24)


def test_the_mesh_of_a_scene_is_what_its_views_show():
    """Of a field of sines, with a head or without: closed, and in the colours of the field."""
    net = tiny_model(contrast=20)
    mean = net.latent_avg
    mesh = net.scene_of(Codes(mean.frequencies, mean.phase_shifts)).mesh(40)
    assert_closed(mesh)
    rgb, logits = net.scene_of(mean).appearance(torch.from_numpy(mesh.vertices[mesh.seen]))
    assert logits is None
    assert np.allclose(mesh.colours[mesh.seen], rgb.numpy(), atol=1e-5)
    assert mesh.labels is None
