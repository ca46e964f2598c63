"""Heads and their pictures, checked by geometry: places, sides, mirror images, agreement of views, labels of faces."""

from functools import lru_cache

import numpy as np
import pytest

from configs.label_spaces import LABEL_SPACES
from synth_heads.generator import LATENT_DIM, Head, mirror_latent, render
from synth_heads.generator.asset import load_asset
from synth_heads.generator.labels import (
    BACKGROUND,
    CLOTH,
    HAIR,
    L_BROW,
    L_EAR,
    L_EYE,
    M_CLOTH,
    M_EYE_LEFT,
    M_HAIR,
    M_SKIN,
    MOUTH,
    NECK,
    NOSE,
    R_BROW,
    R_EAR,
    R_EYE,
    SKIN,
)
from synth_heads.generator.latent import latent_index
from synth_heads.generator.renderer import FOV, camera_axes

FRONT = (np.pi / 2, np.pi / 2)


@lru_cache
def code(seed: int) -> np.ndarray:
    z = np.random.default_rng(seed).standard_normal(LATENT_DIM)
    z[latent_index("glasses", "worn")] = -1  # lenses carry a label at another depth
    return z


@lru_cache
def head(seed: int) -> Head:
    return Head.from_latent(code(seed))


def world_points(depth: np.ndarray, yaw: float, pitch: float, margin: float = 1.25) -> np.ndarray:
    """The place of every pixel's surface in the world, from the documented camera."""
    size = len(depth)
    line = np.linspace(-1, 1, size) * margin * np.tan(FOV / 2)
    x, y = np.meshgrid(line, -line)
    rays = np.stack([x, y, -np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    place, axes = camera_axes(yaw, pitch)
    with np.errstate(invalid="ignore"):
        return place + depth[..., None] * (rays @ axes)


def test_the_same_code_gives_the_same_bytes():
    first, second = (Head.from_latent(code(0)) for _ in range(2))
    assert first.points.tobytes() == second.points.tobytes()
    a, b = (render(h, 1.3, 1.5, 64) for h in (first, second))
    assert a.rgb.tobytes() == b.rgb.tobytes()
    assert a.labels.tobytes() == b.labels.tobytes()
    assert a.depth.tobytes() == b.depth.tobytes()


@pytest.mark.parametrize("margin", [1.0, 1.25])
def test_the_camera_is_the_documented_one(margin):
    # what the depth picture says of each pixel's place must lie on the head's own surface
    yaw, pitch = 1.2, 1.4
    view = render(head(1), yaw, pitch, 64, 1, margin)
    seen = np.isfinite(view.depth)
    points = world_points(view.depth, yaw, pitch, margin)[seen]
    triangles = head(1).points[head(1).faces]
    box = triangles.reshape(-1, 3)
    assert (points >= box.min(0) - 1e-4).all()
    assert (points <= box.max(0) + 1e-4).all()
    for point in points[::97]:  # a vertex lies near each: the mesh is fine, most so in the face
        assert np.linalg.norm(box - point, axis=1).min() < 0.02
    assert (np.isinf(view.depth) == (view.labels == BACKGROUND)).all()


@pytest.mark.parametrize("seed", range(4))
def test_eyes_lie_where_celebamask_hq_has_them(seed):
    view = render(head(seed), *FRONT, 257)
    for label, x in ((L_EYE, 0.625), (R_EYE, 0.375)):
        rows, columns = np.nonzero(view.labels == label)
        assert len(rows) > 20
        assert abs(columns.mean() / 256 - x) < 0.015
        assert abs(rows.mean() / 256 - 0.475) < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_left_parts_lie_on_the_left(seed):
    view = render(head(seed), *FRONT, 129)
    points = world_points(view.depth, *FRONT)
    for left, right in ((L_EYE, R_EYE), (L_BROW, R_BROW), (L_EAR, R_EAR)):
        assert (points[view.labels == left][:, 0] > 0).all()
        assert (points[view.labels == right][:, 0] < 0).all()
    columns = np.broadcast_to(np.arange(129), (129, 129))
    assert columns[view.labels == L_EYE].min() > columns[view.labels == R_EYE].max()  # the person's left = image right


@pytest.mark.parametrize("seed", range(4))
def test_the_mirrored_code_gives_the_mirror_image(seed):
    yaw, pitch = 1.25, 1.65
    view = render(head(seed), yaw, pitch, 128)
    twin = render(Head.from_latent(mirror_latent(code(seed))), np.pi - yaw, pitch, 128)
    swapped = np.array(LABEL_SPACES["CelebAMask_HQ"].mirrored)[twin.labels[:, ::-1]]
    assert (swapped == view.labels).mean() > 0.995
    difference = np.abs(twin.rgb[:, ::-1].astype(float) - view.rgb)
    assert difference.mean() < 0.6
    assert np.abs(difference.mean((0, 1))).max() < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_labels_agree_between_views(seed):
    """A view's pixels, moved into another view by their depth, find the same label wherever they are visible there."""
    size, first, second = 192, (1.45, 1.5), (1.65, 1.6)
    a, b = render(head(seed), *first, size), render(head(seed), *second, size)
    points = world_points(a.depth, *first)
    seen = np.isfinite(a.depth)
    inside = seen & (a.labels == np.roll(a.labels, 1, 0)) & (a.labels == np.roll(a.labels, -1, 0))
    inside &= (a.labels == np.roll(a.labels, 1, 1)) & (a.labels == np.roll(a.labels, -1, 1))  # not on an outline
    place, axes = camera_axes(*second)
    local = (points[inside] - place) @ axes.T
    half = 1.25 * np.tan(FOV / 2)
    columns = np.round((local[:, 0] / -local[:, 2] / half + 1) / 2 * (size - 1)).astype(int)
    rows = np.round((1 - local[:, 1] / -local[:, 2] / half) / 2 * (size - 1)).astype(int)
    ok = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    rows, columns, labels, local = rows[ok], columns[ok], a.labels[inside][ok], local[ok]
    visible = np.abs(np.linalg.norm(local, axis=1) - b.depth[rows, columns]) < 0.0025
    assert visible.mean() > 0.5
    assert (labels == b.labels[rows, columns])[visible].mean() > 0.97


def test_pixels_of_a_label_show_faces_of_that_label():
    h = head(2)
    labels = h.face_labels()
    middles = h.points[h.faces].mean(1)
    size = np.linalg.norm(h.points[h.faces] - middles[:, None], axis=-1).max(1)
    view = render(h, *FRONT, 96, 1)
    points = world_points(view.depth, *FRONT)
    for label in np.unique(view.labels[view.labels > 0]):
        own = labels == label
        if own.sum() < 5:
            continue
        for point in points[view.labels == label][::40]:
            gap = np.linalg.norm(middles[own] - point, axis=1) - size[own]
            assert gap.min() < 0.004  # a face of this label reaches this point, up to the outline's sub-face detail


def test_materials_have_their_labels():
    h = head(2)
    labels = h.face_labels()
    assert set(labels[h.material == M_HAIR]) == {HAIR}
    assert set(labels[h.material == M_CLOTH]) == {CLOTH}
    assert set(labels[h.material == M_EYE_LEFT]) == {L_EYE}
    assert {SKIN, NOSE, NECK, MOUTH} <= set(labels[h.material == M_SKIN])


def test_hats_let_no_hair_through():
    z = code(3).copy()
    z[latent_index("hat", "worn")] = 2.0
    z[latent_index("hat", "kind")] = -0.5
    z[latent_index("hair", "volume")] = 3.0
    z[latent_index("hair", "curl")] = 3.0
    view = render(Head.from_latent(z), *FRONT, 192)
    hat = view.labels == 14
    assert hat.sum() > 1000
    columns = np.flatnonzero(hat.any(0))[5:-5]
    for column in columns:  # from the top of the picture down to the rim: no hair on or above the hat
        lowest = np.flatnonzero(hat[:, column]).max()
        above = view.labels[:lowest, column]
        assert (above == HAIR).mean() < 0.02


def test_small_steps_of_the_code_move_the_skin_little():
    asset = load_asset()
    z, step = code(1), np.random.default_rng(5).standard_normal(LATENT_DIM)
    base = head(1).points[:len(asset.vertices)]
    moves = [np.abs(Head.from_latent(z + t * step).points[:len(asset.vertices)] - base).max() for t in (1e-3, 2e-3)]
    assert 0 < moves[0] < 3e-3
    assert moves[1] < 3 * moves[0] + 1e-5


def test_every_label_occurs():
    seen = set()
    for seed in range(3):
        z = code(seed).copy()
        for group, value in (("glasses", 2.0), ("earrings", 3.0), ("necklace", 3.0), ("hat", 2.0)):
            z[latent_index(group, "worn")] = value
        z[latent_index("expression", "jaw")] = 2.5
        z[latent_index("hair", "length")] = -1.5
        for yaw in (1.1, np.pi / 2, 2.0):
            seen |= set(np.unique(render(Head.from_latent(z), yaw, np.pi / 2, 128).labels).tolist())
        z[latent_index("glasses", "worn")] = -1
        seen |= set(np.unique(render(Head.from_latent(z), np.pi / 2, np.pi / 2, 128).labels).tolist())
    assert seen == set(range(19))


@pytest.mark.slow
def test_classes_are_as_large_as_in_real_masks():
    """Mean class fractions on disk, within a quarter of those of nine CelebAMask-HQ masks."""
    rng, total = np.random.default_rng(11), np.zeros(19)
    for _ in range(150):
        yaw, pitch = np.pi / 2 + rng.normal(size=2) * (0.3, 0.15)
        view = render(Head.from_latent(rng.standard_normal(LATENT_DIM)), float(yaw), float(pitch), 96)
        total += np.bincount(view.labels.ravel(), minlength=19)
    total /= total.sum()
    real = {BACKGROUND: 0.285, SKIN: 0.258, HAIR: 0.315, NOSE: 0.021, NECK: 0.043, CLOTH: 0.041}
    for label, fraction in real.items():
        assert abs(total[label] / fraction - 1) < 0.25


@pytest.mark.parametrize("bad", [{"size": 1}, {"supersample": 0}])
def test_useless_sizes_are_refused(bad):
    with pytest.raises(ValueError, match="size must be"):
        render(head(0), *FRONT, **{"size": 8, **bad})
