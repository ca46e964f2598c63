"""Colours of a head: everything that a picture shows beyond its shape. All colours are linear RGB in 0..1."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from synth_heads.generator.latent import Latent
from synth_heads.generator.morphs import Traits, smoothstep

_SKIN = np.array([[0.93, 0.77, 0.69], [0.86, 0.66, 0.55], [0.74, 0.52, 0.39], [0.52, 0.34, 0.23],
                  [0.32, 0.20, 0.14]]) ** 2.2
_HAIR = np.array([[0.008, 0.007, 0.006], [0.020, 0.013, 0.009], [0.055, 0.030, 0.016], [0.120, 0.065, 0.030],
                  [0.240, 0.145, 0.065], [0.420, 0.300, 0.150]])
_IRIS = np.array([[0.035, 0.018, 0.010], [0.090, 0.045, 0.018], [0.100, 0.110, 0.045], [0.100, 0.190, 0.280],
                  [0.190, 0.260, 0.300]])


class Look(NamedTuple):
    """What the materials read besides a point's own attributes."""

    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    cloth: np.ndarray
    hat: np.ndarray
    metal: np.ndarray
    frame: np.ndarray
    background: np.ndarray
    tint: float  # opacity of lenses
    freckles: float
    beard: float
    brow_thickness: float
    brow_arch: float
    make_up: float
    gaze_x: float
    gaze_y: float
    glint_x: float  # where the key light shines in the eyes

    def pack(self) -> Float[np.ndarray, "36"]:
        """All fields in a row: the layout that materials.py reads."""
        return np.concatenate([np.ravel(field) for field in self]).astype(np.float64)


def _ramp(colours: np.ndarray, x: float) -> np.ndarray:
    """Piecewise linear through the rows as x goes from 0 to 1."""
    u = min(max(x, 0.0), 0.9999) * (len(colours) - 1)
    i = int(u)
    return colours[i] * (1 - u + i) + colours[i + 1] * (u - i)


def _sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def head_look(z: Latent, traits: Traits) -> Look:
    """The colours that a latent code asks for."""
    # of COLOUR alone: whoever reads a mask cannot know it, and an edit of the face's shape must not colour it
    melanin = 0.05 + 0.8 * _sigmoid(1.2 * z("skin", "tone") - 0.9)
    hue = 0.06 * np.tanh(z("skin", "hue"))
    skin = _ramp(_SKIN, melanin) * np.array([1 + hue, 1 - 0.4 * hue, 1 - 0.8 * hue])
    pale = 1 - smoothstep(0.2, 0.55, melanin)  # light hair and light eyes go with light skin
    fair = z("hair_colour", "light")
    light = 0.10 + 0.55 * pale * _sigmoid(1.1 * fair - 0.2) + 0.06 * np.tanh(fair)
    hair = _ramp(_HAIR, light)
    red = pale * smoothstep(0.4, 2.0, z("hair_colour", "red")) * smoothstep(0.15, 0.4, light)
    hair = hair * (1 - red) + np.array([0.26, 0.075, 0.022]) * red
    grey = smoothstep(0.9, 2.2, z("hair_colour", "grey"))
    hair = hair * (1 - grey) + np.array([0.42, 0.41, 0.39]) * (0.6 + 0.3 * np.tanh(fair)) * grey
    iris = _ramp(_IRIS, 0.12 + 0.8 * pale * _sigmoid(1.6 * z("iris", "light")) + 0.05 * np.tanh(z("iris", "light")))
    make_up = (1 - traits.male) * smoothstep(-0.8, 1.6, z("lips", "red"))
    lips = skin * np.array([0.88, 0.50, 0.50])
    lips = lips * (1 - 0.6 * make_up) + np.array([0.42, 0.055, 0.075]) * 0.6 * make_up
    cloth = 0.03 + 0.6 * _free_colour(z, "cloth_colour", -0.4) ** 1.6
    metal = _sigmoid(1.5 * z("trinkets", "metal"))
    gold = np.array([0.60, 0.60, 0.62]) * (1 - metal) + np.array([0.72, 0.48, 0.16]) * metal
    frame = np.array([0.012, 0.011, 0.011]) * (1 - metal) + np.array([0.22, 0.11, 0.05]) * metal
    return Look(
        skin=skin, lips=lips, hair=hair, iris=iris, cloth=cloth, hat=0.9 * cloth[[1, 2, 0]] + 0.01, metal=gold,
        frame=frame,
        background=(0.05 + 0.85 * _free_colour(z, "background")) ** 1.6,
        tint=float(0.08 + 0.84 * smoothstep(0.5, 1.6, z("trinkets", "tint"))),
        freckles=float(smoothstep(-0.5, 2.0, z("skin", "freckles"))),
        beard=float(smoothstep(0.5, 0.95, traits.male) * _sigmoid(2.2 * z("beard", "amount") - 2.0)),
        brow_thickness=float((0.72 + 0.36 * traits.male) * np.exp(0.22 * z("brows", "thickness"))),
        brow_arch=float(0.5 * np.tanh(z("brows", "arch")) - 0.25 * traits.male), make_up=float(make_up),
        gaze_x=float(0.16 * np.tanh(z("expression", "gaze_x"))),
        gaze_y=float(0.10 * np.tanh(z("expression", "gaze_y"))),
        glint_x=float(0.2 * np.tanh(0.8 * z("light", "side"))))


def _free_colour(z: Latent, group: str, shift: float = 0.0) -> np.ndarray:
    """Any colour, from the three entries of a slice; saturated ones less often than a free choice would give."""
    rgb = np.array([z(group, name) for name in ("red", "green", "blue")]) + shift
    mean = rgb.mean()
    return 1 / (1 + np.exp(-1.3 * (0.95 * mean + 0.75 * (rgb - mean))))
