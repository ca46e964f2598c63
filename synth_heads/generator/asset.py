"""The head asset (`head.npz`, CC0): base mesh, masks, morph targets, the guide map around the head and hair roots."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

ASSET_PATH = Path(__file__).with_name("head.npz")

# Parts of the base mesh, in `Asset.part`.
BODY, EYE_LEFT, EYE_RIGHT, TEETH, TONGUE, LASHES = range(6)
# Columns of `Asset.fields` (0..1 a vertex): weights of rig regions (for lashes the first is 1 at their tips), and the
# share of the sky that the vertex sees.
FIELD_NOSE, FIELD_UPPER_LIP, FIELD_LOWER_LIP, FIELD_NECK, FIELD_EAR, FIELD_OPEN = range(6)
# Channels of `Asset.masks`.
MASK_LIPS, MASK_EARS, MASK_LIDS, MASK_MOUTH = range(4)
# The guide map: azimuth x station. Stations up to 1 are polar angles from the top (1 = 90 degrees) about GUIDE_CENTRE;
# beyond, GUIDE_DROP units down a vertical axis for each station unit.
GUIDE_CENTRE = (0.0, 7.35, 0.45)
GUIDE_DROP = 1.3
GUIDE_STATIONS = 2.5


@dataclass(frozen=True)
class Asset:
    """Arrays of `head.npz`, lengths in MakeHuman units, x to the person's left, y up, z to the front."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "t 3"]
    part: UInt8[np.ndarray, " t"]
    uv: Float[np.ndarray, "t 3 2"]
    mirror: Int[np.ndarray, " v"]
    fields: Float[np.ndarray, "v 6"]
    masks: UInt8[np.ndarray, "h w 4"]
    guide_vertices: Int[np.ndarray, "a s 3"]
    guide_weights: Float[np.ndarray, "a s 3"]
    root_vertices: Int[np.ndarray, "r 3"]
    root_weights: Float[np.ndarray, "r 3"]
    root_azimuth: Float[np.ndarray, " r"]
    root_polar: Float[np.ndarray, " r"]
    target_index: dict[str, int]
    target_starts: Int[np.ndarray, " n"]
    target_vertices: Int[np.ndarray, " k"]
    target_deltas: Float[np.ndarray, "k 3"]

    def target(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertex indices and their displacement for one morph target."""
        k = self.target_index[name]
        span = slice(self.target_starts[k], self.target_starts[k + 1])
        return self.target_vertices[span], self.target_deltas[span]


@lru_cache(maxsize=1)
def load_asset() -> Asset:
    """Read `head.npz` once a process."""
    with np.load(ASSET_PATH, allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    names = bytes(data["target_names"]).decode().split("\n")
    counts = np.diff(data["target_starts"])
    scale = np.repeat(data["target_scale"], counts)[:, None]
    # vertex numbers are stored as steps: they compress much better
    target_vertices = data["target_steps"].astype(np.int64)
    for start, stop in zip(data["target_starts"][:-1], data["target_starts"][1:], strict=True):
        target_vertices[start:stop] = np.cumsum(target_vertices[start:stop])
    return Asset(
        vertices=data["vertices"], faces=data["faces"].astype(np.int32), part=data["part"],
        uv=data["uv"].astype(np.float32) / 65535, mirror=data["mirror"].astype(np.int32),
        fields=data["fields"].astype(np.float32) / 255, masks=data["masks"],
        guide_vertices=data["guide_vertices"].astype(np.int32), guide_weights=_weights(data["guide_weights"]),
        root_vertices=data["root_vertices"].astype(np.int32), root_weights=_weights(data["root_weights"]),
        root_azimuth=data["root_azimuth"], root_polar=data["root_polar"],
        target_index={name: k for k, name in enumerate(names)}, target_starts=data["target_starts"].astype(np.int64),
        target_vertices=target_vertices, target_deltas=data["target_deltas"].astype(np.float32) * scale)


def _weights(two: np.ndarray) -> np.ndarray:
    """Barycentric weights from the first two, stored in 1/65535."""
    two = two.astype(np.float32) / 65535
    return np.concatenate([two, 1 - two.sum(-1, keepdims=True)], -1)
