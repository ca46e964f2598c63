"""The table of latent entries: complete, documented, every entry used, COLOUR never changes a label."""

from functools import lru_cache

import numpy as np
import pytest

from synth_heads.generator import COLOUR, LATENT_DIM, LATENT_SLICES, SHAPE, Head, HeadView, mirror_latent, render
from synth_heads.generator.latent import ENTRIES, Latent, latent_index
from synth_heads.generator.look import head_look
from synth_heads.generator.morphs import Traits

# A woman, then a man, on whom every entry has something to act: glasses, hat, earrings, necklace, curls, a smile.
WORN = {("glasses", "worn"): 2.0, ("earrings", "worn"): 3.0, ("necklace", "worn"): 3.0, ("expression", "smile"): 1.0,
        ("expression", "jaw"): 1.5, ("expression", "pucker"): 1.5, ("hair", "curl"): 0.8, ("clothes", "collar"): 0.6,
        ("clothes", "neckline"): -1.0, ("skin", "freckles"): 1.0, ("trinkets", "tint"): 1.0}


def code(**entries: float) -> np.ndarray:
    """Zero but for `group__name=value`."""
    z = np.zeros(LATENT_DIM)
    for key, value in entries.items():
        z[latent_index(*key.split("__"))] = value
    return z


@lru_cache(maxsize=8)
def _frontal(z: bytes) -> HeadView:
    return render(Head.from_latent(np.frombuffer(z)), np.pi / 2, np.pi / 2, 96, 1)


def frontal(z: np.ndarray) -> HeadView:
    return _frontal(z.tobytes())  # most tests share their base head


def test_slices_shape_and_colour_cover_every_entry_once():
    covered = np.concatenate([np.arange(LATENT_DIM)[part] for part in LATENT_SLICES.values()])
    assert covered.tolist() == list(range(LATENT_DIM))
    split = np.concatenate([np.arange(LATENT_DIM)[SHAPE], np.arange(LATENT_DIM)[COLOUR]])
    assert split.tolist() == list(range(LATENT_DIM))
    assert len(ENTRIES) == LATENT_DIM
    assert len({(entry.group, entry.name) for entry in ENTRIES}) == LATENT_DIM
    assert all(entry.about for entry in ENTRIES)


def test_mirror_latent_flips_only_the_sided_entries():
    z = np.arange(1.0, LATENT_DIM + 1)
    flipped = mirror_latent(z)
    sided = {f"{entry.group}.{entry.name}" for entry, a, b in zip(ENTRIES, z, flipped, strict=True) if a != b}
    assert sided == {"expression.smirk", "expression.gaze_x", "hair.part", "hair.asymmetry", "light.side"}
    assert (mirror_latent(flipped) == z).all()


def _base(entry) -> np.ndarray:
    z = code()
    for key, value in WORN.items():
        z[latent_index(*key)] = value
    if entry.group == "beard":
        z[latent_index("gender", "male")] = 2.0
    if (entry.group, entry.name) in {("hair_colour", "light"), ("hair_colour", "red"), ("iris", "light")}:
        z[latent_index("skin", "tone")] = -1.0
        z[latent_index("hair_colour", "light")] = 1.0
    if entry.name == "vee":
        z[latent_index("clothes", "neckline")] = 1.5
        z[latent_index("clothes", "collar")] = -1.0
    if entry.group == "hat":
        z[latent_index("hat", "worn")] = 2.0
    if (entry.group, entry.name) == ("hair", "taper"):
        z[latent_index("hair", "length")] = -1.5
    return z


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.group}-{entry.name}")
def test_every_entry_changes_the_picture_and_colour_entries_no_label(entry):
    base = _base(entry)
    moved = base.copy()
    index = latent_index(entry.group, entry.name)
    moved[index] += -2.5 if entry.name == "worn" else 1.0
    before, after = frontal(base), frontal(moved)
    assert (before.rgb != after.rgb).mean() > 0.0005
    if index >= SHAPE.stop:
        assert (before.labels == after.labels).all()
        assert (before.depth == after.depth).all() or (entry.group, entry.name) == ("trinkets", "tint")


def test_no_shape_entry_colours_skin_hair_eyes_or_clothes():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, LATENT_DIM))
    other[COLOUR] = one[COLOUR]
    looks = [head_look(Latent(z), Traits(Latent(z))) for z in (one, other)]
    for name in ("skin", "hair", "iris", "cloth", "hat", "metal", "background", "freckles"):
        assert np.array_equal(*(getattr(look, name) for look in looks)), name


def test_darker_skin_comes_with_dark_hair():
    pale, dark = (Latent(code(skin__tone=tone, hair_colour__light=2.0)) for tone in (-2.0, 2.0))
    pale, dark = (head_look(z, Traits(z)) for z in (pale, dark))
    assert (dark.skin < 0.5 * pale.skin).all()
    assert (dark.hair < 0.5 * pale.hair).all()


def test_a_wrong_length_is_refused():
    with pytest.raises(ValueError, match="96 entries"):
        Head.from_latent(np.zeros(95))
