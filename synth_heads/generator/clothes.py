"""Clothes: the body below a neckline, pushed outwards."""

import numpy as np
from jaxtyping import Float

from synth_heads.generator.asset import BODY, Asset
from synth_heads.generator.labels import M_CLOTH
from synth_heads.generator.latent import Latent
from synth_heads.generator.mesh import Mesh
from synth_heads.generator.raster import vertex_normals


def clothes_mesh(asset: Asset, points: Float[np.ndarray, "v 3"], z: Latent) -> Mesh:
    """A shirt with a round, V-shaped or standing collar (attributes: the resting coordinates)."""
    rest = asset.vertices
    high, vee = np.tanh(0.7 * z("clothes", "neckline")), 1 / (1 + np.exp(-1.5 * z("clothes", "vee")))
    collar = float(np.clip(0.9 * (z("clothes", "collar") - 0.3), 0, 1))
    front = np.clip((rest[:, 2] - 0.1) / 0.6, 0, 1)
    edge = 5.535 + 0.20 * high + 0.30 * np.clip(0.75 - rest[:, 2], 0, 1.2)
    edge = edge - (0.04 + 0.26 * vee) * np.clip(1 - np.abs(rest[:, 0]) / 0.48, 0, 1) * front * (1 - 0.7 * collar)
    edge = edge + 0.22 * collar + 0.8 * np.clip(np.abs(rest[:, 0]) - 0.72, 0, 0.6)  # the shoulders are always covered
    cut = edge - rest[:, 1]

    faces = asset.faces[asset.part == BODY]
    faces = faces[(cut[faces].max(1) > -0.05) & (rest[faces][:, :, 1].max(1) < 6.6)]
    used = np.unique(faces)
    new = np.zeros(len(rest), np.int32)
    new[used] = np.arange(len(used))
    normals = vertex_normals(points, asset.faces[asset.part == BODY])[used]
    away = 0.035 + 0.05 * np.clip(cut[used] / 0.5, 0, 1)
    away += 0.05 * collar * np.clip(1 - np.abs(cut[used] - 0.05) / 0.3, 0, 1)
    shell = points[used] + normals * away[:, None].astype(np.float32)
    attributes = np.concatenate([rest[used], np.zeros((len(used), 5))], 1)
    return Mesh.plain(shell, new[faces], M_CLOTH, attributes, cut[used])
