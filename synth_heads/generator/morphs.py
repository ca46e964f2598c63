"""From a latent code to the weights of the morph targets, and to the shaped vertices of the base head."""

import numpy as np
from jaxtyping import Float

from synth_heads.generator.asset import Asset
from synth_heads.generator.latent import SLIDERS, Latent

ANCESTRIES = ("african", "asian", "caucasian")
_SIDED = ("mouthSmile", "cheekSquint", "mouthUpperUp", "mouthLowerDown", "eyeBlink", "eyeWide", "browDown",
          "browOuterUp", "eyeLookUp", "eyeLookDown")
_UNSIDED = ("jawOpen", "browInnerUp", "mouthPucker")


def target_names() -> list[str]:
    """Every morph target that the generator uses; the asset holds exactly these."""
    names = []
    for gender in ("female", "male"):
        for age in ("young", "old"):
            names += [f"macrodetails/{ancestry}-{gender}-{age}" for ancestry in ANCESTRIES]
            names += [f"macrodetails/universal-{gender}-{age}-averagemuscle-{weight}weight"
                      for weight in ("average", "max", "min")]
    for low, high, _, _ in SLIDERS.values():
        for name in (low, high):
            names += [name, name.replace("/l-", "/r-")] if "/l-" in name else [name]
    names += [f"faceunits/{name}{side}" for name in _SIDED for side in ("Left", "Right")]
    return names + [f"faceunits/{name}" for name in _UNSIDED]


def smoothstep(low: float, high: float, x: float) -> float:
    """0 below `low`, 1 above `high`, smooth between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


class Traits:
    """What several parts of a head depend on: ancestry shares (3,), male in 0..1, old in 0..1."""

    def __init__(self, z: Latent) -> None:
        wishes = np.array([z("ancestry", "african") - 0.1, z("ancestry", "asian"), z("ancestry", "european") + 0.25])
        shares = np.exp(1.7 * wishes)
        self.ancestry = shares / shares.sum()
        self.male = 1 / (1 + np.exp(-3.0 * z("gender", "male")))
        self.old = 0.8 * smoothstep(0.0, 2.4, z("age", "old"))


def target_weights(z: Latent, traits: Traits) -> dict[str, float]:
    """Target name -> weight in 0..1."""
    weights: dict[str, float] = {}
    heavy = float(0.75 * np.tanh(0.6 * z("weight", "heavy") - 0.35))
    for gender, share in (("female", 1 - traits.male), ("male", traits.male)):
        for age, part in (("young", 1 - traits.old), ("old", traits.old)):
            for ancestry, portion in zip(ANCESTRIES, traits.ancestry, strict=True):
                weights[f"macrodetails/{ancestry}-{gender}-{age}"] = float(portion * share * part)
            stem = f"macrodetails/universal-{gender}-{age}-averagemuscle"
            weights[f"{stem}-averageweight"] = share * part * (1 - abs(heavy))
            weights[f"{stem}-{'max' if heavy > 0 else 'min'}weight"] = share * part * abs(heavy)
    for name, (low, high, strength, mean) in SLIDERS.items():
        x = float(np.clip(mean + strength * z("face", name), -1, 1))
        target = high if x > 0 else low
        weights[target] = abs(x)
        if "/l-" in target:
            weights[target.replace("/l-", "/r-")] = abs(x)

    smile, smirk = z("expression", "smile"), float(np.tanh(0.5 * z("expression", "smirk")))
    lids, gaze = z("expression", "lids"), z("expression", "gaze_y")
    brows = z("expression", "brow_raise") + 0.8  # the base head's brows lie low: at 0 it would frown
    for side, lean in (("Left", smirk), ("Right", -smirk)):
        corner = float(np.clip((0.45 + 0.45 * smile) * (1 + 0.3 * lean), 0, 0.95))
        apart = corner * smoothstep(-0.9, 0.8, z("expression", "teeth"))
        unit = {"mouthSmile": corner, "cheekSquint": 0.4 * corner, "mouthUpperUp": 0.75 * apart,
                "mouthLowerDown": 0.8 * apart, "eyeBlink": float(np.clip(0.10 * lids + 0.04, 0, 0.5)),
                "eyeWide": float(np.clip(-0.10 * lids - 0.04, 0, 0.35)),
                "browDown": float(np.clip(-0.3 * brows - 0.1, 0, 0.7)),
                "browOuterUp": float(np.clip(0.2 * brows, 0, 0.5)), "eyeLookUp": float(np.clip(0.12 * gaze, 0, 0.4)),
                "eyeLookDown": float(np.clip(-0.12 * gaze, 0, 0.4))}
        weights |= {f"faceunits/{name}{side}": value for name, value in unit.items()}
    weights["faceunits/jawOpen"] = float(np.clip(0.2 * (z("expression", "jaw") - 0.7), 0, 0.5) + 0.10 * apart)
    weights["faceunits/browInnerUp"] = float(np.clip(0.25 * brows, 0, 0.6))
    weights["faceunits/mouthPucker"] = float(np.clip(0.3 * (z("expression", "pucker") - 1), 0, 0.6))
    return weights


def morph(asset: Asset, weights: dict[str, float]) -> Float[np.ndarray, "vertices 3"]:
    """The base vertices plus the weighted targets, MakeHuman units (about 13 cm each)."""
    points = asset.vertices.copy()
    for name, weight in weights.items():
        if weight:
            indices, deltas = asset.target(name)
            points[indices] += np.float32(weight) * deltas
    return points
