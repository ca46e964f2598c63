"""The latent code of a head: z ~ N(0, I), one documented entry after another, in named slices.

SHAPE entries are all that a label mask can show; COLOUR entries change colours and light and never a label. Entries
whose `mirror` is -1 change sign when a head is mirrored (left becomes right).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Entry(NamedTuple):
    """One number of z: its slice, its name inside the slice, what a positive value does, its sign under mirroring."""

    group: str
    name: str
    about: str
    mirror: int = 1


# Face sliders: name -> (decreasing target, increasing target, strength of one unit of z, mean strength: the means bring
# MakeHuman's proportions to those of portraits). Both sides move together.
SLIDERS: dict[str, tuple[str, str, float, float]] = {
    "head_depth": ("head/head-scale-depth-decr", "head/head-scale-depth-incr", 0.20, 0.00),
    "head_width": ("head/head-scale-horiz-decr", "head/head-scale-horiz-incr", 0.22, 0.00),
    "head_height": ("head/head-scale-vert-decr", "head/head-scale-vert-incr", 0.20, 0.12),
    "head_fat": ("head/head-fat-decr", "head/head-fat-incr", 0.26, -0.05),
    "head_square": ("head/head-oval", "head/head-square", 0.24, -0.35),
    "forehead_bulge": ("forehead/forehead-nubian-decr", "forehead/forehead-nubian-incr", 0.25, 0.00),
    "forehead_height": ("forehead/forehead-scale-vert-decr", "forehead/forehead-scale-vert-incr", 0.25, 0.00),
    "chin_height": ("chin/chin-height-decr", "chin/chin-height-incr", 0.28, -0.10),
    "chin_width": ("chin/chin-width-decr", "chin/chin-width-incr", 0.30, -0.35),
    "chin_bones": ("chin/chin-bones-decr", "chin/chin-bones-incr", 0.30, -0.15),
    "chin_prominent": ("chin/chin-prominent-decr", "chin/chin-prominent-incr", 0.28, 0.00),
    "neck_width": ("neck/measure-neck-circ-decr", "neck/measure-neck-circ-incr", 0.25, 0.00),
    "nose_depth": ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr", 0.28, 0.00),
    "nose_length": ("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr", 0.28, -0.55),
    "nose_width": ("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr", 0.30, 0.00),
    "nose_hump": ("nose/nose-hump-decr", "nose/nose-hump-incr", 0.30, 0.00),
    "nose_base": ("nose/nose-base-down", "nose/nose-base-up", 0.30, 0.00),
    "nose_wings": ("nose/nose-nostrils-width-decr", "nose/nose-nostrils-width-incr", 0.30, -0.15),
    "nose_point": ("nose/nose-point-down", "nose/nose-point-up", 0.30, 0.00),
    "nose_bridge": ("nose/nose-width1-decr", "nose/nose-width1-incr", 0.30, 0.00),
    "mouth_position": ("mouth/mouth-trans-down", "mouth/mouth-trans-up", 0.25, 0.12),
    "mouth_width": ("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr", 0.30, -0.05),
    "mouth_height": ("mouth/mouth-scale-vert-decr", "mouth/mouth-scale-vert-incr", 0.28, 0.00),
    "mouth_angles": ("mouth/mouth-angles-down", "mouth/mouth-angles-up", 0.25, 0.00),
    "upper_lip": ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-upperlip-volume-incr", 0.35, 0.00),
    "lower_lip": ("mouth/mouth-lowerlip-volume-decr", "mouth/mouth-lowerlip-volume-incr", 0.35, 0.00),
    "eye_size": ("eyes/l-eye-scale-decr", "eyes/l-eye-scale-incr", 0.28, 0.00),
    "eye_distance": ("eyes/l-eye-trans-in", "eyes/l-eye-trans-out", 0.25, 0.45),
    "eye_opening": ("eyes/l-eye-height2-decr", "eyes/l-eye-height2-incr", 0.30, 0.10),
    "eye_slant": ("eyes/l-eye-corner2-down", "eyes/l-eye-corner2-up", 0.28, 0.00),
    "brow_position": ("eyebrows/eyebrows-trans-down", "eyebrows/eyebrows-trans-up", 0.28, 0.00),
    "cheek_volume": ("cheek/l-cheek-volume-decr", "cheek/l-cheek-volume-incr", 0.30, 0.00),
    "cheek_bones": ("cheek/l-cheek-bones-decr", "cheek/l-cheek-bones-incr", 0.30, 0.00),
    "ear_wing": ("ears/l-ear-wing-decr", "ears/l-ear-wing-incr", 0.35, 0.00),
    "ear_size": ("ears/l-ear-scale-decr", "ears/l-ear-scale-incr", 0.28, 0.00),
}

_SHAPE = [
    Entry("ancestry", "african", "share of the African morph (softmax of the three)"),
    Entry("ancestry", "asian", "share of the Asian morph"),
    Entry("ancestry", "european", "share of the European morph"),
    Entry("gender", "male", "from female to male, a steep sigmoid"),
    Entry("age", "old", "older above 0; wrinkles come with the morph"),
    Entry("weight", "heavy", "heavier"),
    *[Entry("face", name, f"slider {name}, strength {s[2]} a unit") for name, s in SLIDERS.items()],
    Entry("expression", "smile", "corners of the mouth up"),
    Entry("expression", "teeth", "lips apart while smiling"),
    Entry("expression", "jaw", "mouth open"),
    Entry("expression", "brow_raise", "brows up; a frown below -1"),
    Entry("expression", "lids", "eyes narrower above 0, wider below"),
    Entry("expression", "pucker", "lips forward"),
    Entry("expression", "smirk", "the smile is stronger on the person's left", -1),
    Entry("expression", "gaze_x", "eyes turn to the person's left", -1),
    Entry("expression", "gaze_y", "eyes turn up"),
    Entry("brows", "thickness", "thicker brows"),
    Entry("brows", "arch", "more arched brows"),
    Entry("hair", "length", "longer hair (women's mean is longer)"),
    Entry("hair", "volume", "hair stands further off the head"),
    Entry("hair", "fringe", "strands fall over the forehead above .5"),
    Entry("hair", "part", "the parting moves to the person's left", -1),
    Entry("hair", "curl", "wavy above 0, curly above 1, afro where short"),
    Entry("hair", "recede", "the hair line moves back at the temples (men) or up"),
    Entry("hair", "back", "combed or tied back"),
    Entry("hair", "taper", "sides shorter than the top"),
    Entry("hair", "lift", "the front stands up"),
    Entry("hair", "asymmetry", "more volume on the person's left", -1),
    Entry("hair", "tousle", "strands less orderly"),
    Entry("glasses", "worn", "glasses above 1.2"),
    Entry("glasses", "size", "larger lenses"),
    Entry("glasses", "square", "from round to square lenses"),
    Entry("hat", "worn", "a hat above 1.55"),
    Entry("hat", "kind", "from a knitted hat (below 0) to a cap with a peak"),
    Entry("earrings", "worn", "earrings above a threshold that is lower for women"),
    Entry("earrings", "size", "larger; hoops above 0, drops below"),
    Entry("necklace", "worn", "a necklace above a threshold that is lower for women"),
    Entry("necklace", "drop", "hangs lower"),
    Entry("clothes", "neckline", "the neckline is higher"),
    Entry("clothes", "vee", "from round to V-shaped"),
    Entry("clothes", "collar", "a collar stands up around the neck"),
]
_COLOUR = [
    Entry("skin", "tone", "darker skin, and with it darker hair and eyes"),
    Entry("skin", "hue", "redder above 0, more olive below"),
    Entry("skin", "freckles", "freckles and mottling"),
    Entry("hair_colour", "light", "lighter hair where the skin is light"),
    Entry("hair_colour", "red", "redder hair"),
    Entry("hair_colour", "grey", "grey hair above 1"),
    Entry("iris", "light", "from brown to green and blue"),
    Entry("lips", "red", "stronger lip colour (make-up for women)"),
    Entry("beard", "amount", "beard shadow to full beard (men)"),
    Entry("cloth_colour", "red", "red of the clothes and, permuted, of the hat"),
    Entry("cloth_colour", "green", "green"),
    Entry("cloth_colour", "blue", "blue"),
    Entry("trinkets", "metal", "from black frames and silver to gold"),
    Entry("trinkets", "tint", "darker lenses"),
    Entry("background", "red", "red of the background"),
    Entry("background", "green", "green"),
    Entry("background", "blue", "blue"),
    Entry("light", "side", "the light comes from the person's left", -1),
    Entry("light", "height", "the light comes from higher up"),
    Entry("light", "contrast", "strong key light above 0, flat below"),
    Entry("light", "warmth", "warmer light"),
]

ENTRIES: tuple[Entry, ...] = (*_SHAPE, *_COLOUR)
LATENT_DIM = len(ENTRIES)
SHAPE = slice(0, len(_SHAPE))
COLOUR = slice(len(_SHAPE), LATENT_DIM)


def _slices() -> dict[str, slice]:
    groups = [entry.group for entry in ENTRIES]
    slices = {}
    for group in dict.fromkeys(groups):
        start, count = groups.index(group), groups.count(group)
        slices[group] = slice(start, start + count)
    return slices


LATENT_SLICES: dict[str, slice] = _slices()
_INDEX = {(entry.group, entry.name): i for i, entry in enumerate(ENTRIES)}
_MIRROR = np.array([entry.mirror for entry in ENTRIES], np.float64)
EDIT_LIMIT = 3.0  # of an edited entry, in standard deviations


def _parts() -> dict[str, list[int]]:
    """Entries of SHAPE that an edit of one part changes; the face's sliders by the part that their name begins with."""
    parts: dict[str, list[int]] = {}
    for index, entry in enumerate(_SHAPE):
        name = entry.name.split("_")[0] if entry.group == "face" else entry.group
        parts.setdefault({"upper": "mouth", "lower": "mouth"}.get(name, name), []).append(index)
    return parts


PARTS: dict[str, list[int]] = _parts()


def latent_index(group: str, name: str) -> int:
    """Where the entry `name` of the slice `group` lies in z."""
    return _INDEX[group, name]


def mirror_latent(z: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """The code of the mirrored head: its view at yaw pi - y is the mirror picture of the head's view at yaw y."""
    return z * _MIRROR.astype(z.dtype)


def edit_latent(z: Float[np.ndarray, " n"], rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """The code with one part of the head edited: one or more of its entries are drawn anew, evenly up to EDIT_LIMIT."""
    entries = PARTS[list(PARTS)[rng.integers(len(PARTS))]]
    chosen = rng.permutation(entries)[: rng.integers(1, len(entries) + 1)]
    edited = z.copy()
    edited[chosen] = rng.uniform(-EDIT_LIMIT, EDIT_LIMIT, len(chosen))
    return edited


class Latent:
    """Reads entries of one code by name: `Latent(z)("hair", "length")`."""

    def __init__(self, z: Float[np.ndarray, " n"]) -> None:
        if z.shape != (LATENT_DIM,):
            raise ValueError(f"a latent code has {LATENT_DIM} entries, not {z.shape}")
        self.z = np.asarray(z, np.float64)

    def __call__(self, group: str, name: str) -> float:
        return float(self.z[_INDEX[group, name]])
