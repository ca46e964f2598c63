"""A closed triangle mesh of a scene, with colours and labels.

    mesh = net.scene("90001.png").mesh(resolution=160)
    mesh.vertices, mesh.faces, mesh.colours, mesh.labels
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from models.meshing import carving, densities, surface
from models.meshing.background import without_background
from models.meshing.field import MeshableField
from models.meshing.painting import paint
from models.meshing.volume import Volume
from utils.errors import UserError

LEAST_RESOLUTION = 16
NEAR_SEEN = 0.02  # a vertex this far behind what a camera sees, in units of `Volume.edge`, is seen itself


class NoSurfaceError(UserError):
    """There is nothing to make a mesh of."""


@dataclass(frozen=True)
class Mesh:
    """Triangles in world units: y up, z towards the frontal camera, x to its right.

    It is closed, and of one piece. The colour of a vertex is that of views; no light is to be added.
    """

    vertices: Float[np.ndarray, "vertices 3"]      # float32
    faces: Int[np.ndarray, "faces 3"]              # indices of vertices, anticlockwise seen from outside
    normals: Float[np.ndarray, "vertices 3"]       # outward unit vectors
    colours: Float[np.ndarray, "vertices 3"]       # sRGB in [0, 1]
    labels: UInt8[np.ndarray, " vertices"] | None  # of the scene's `semantic_head.space`; None without such a head
    seen: Bool[np.ndarray, " vertices"]            # by a camera; elsewhere shape, colours, labels are guesses
    level: float                                   # the density of the surface


@torch.no_grad()
def mesh_of(field: MeshableField, resolution: int = 160, level: float | None = None) -> Mesh:
    """The mesh of a scene.

    Args:
        resolution: cells of the grid along each side of the cube that is searched, rounded up to what suits it. Time
            grows about with its square, memory with its cube.
        level: density at which the surface is put; None: see `models.meshing.densities.surface_level`.

    Raises:
        ValueError: the resolution is less than 16.
        NoSurfaceError: the field has no surface.
        UserError: scikit-image is not installed.
    """
    if resolution < LEAST_RESOLUTION:
        raise ValueError(f"resolution must be at least {LEAST_RESOLUTION}, got {resolution}")
    surface.import_measure()
    volume = Volume(field.preset, resolution)
    coarse = densities.coarse_densities(field, volume)
    if level is None:
        level = densities.surface_level(volume, coarse)
    if level is None:
        raise NoSurfaceError("the field has no surface: no ray of the frontal camera loses half of its light in it")
    grid = densities.refined(field, volume, coarse, level) - level
    head = without_background(field, volume, grid)
    maps = carving.depth_maps(volume, head)
    found = surface.zero_surface(carved := carving.carved(volume, head, maps))
    if found is None or not any(bool((depth < carving.NOWHERE).any()) for depth in maps):
        raise NoSurfaceError(f"the field has no surface: no camera sees a place where its density is above {level:g}")
    found, own = surface.on_the_field(found, lambda at: field.density(volume.places(at)) - level, grid, carved)
    places = volume.places(torch.from_numpy(found.vertices))
    seen = own & (carving.farthest_reach(volume, maps, places) > -NEAR_SEEN * volume.edge).numpy()
    found = surface.smoothed(found, ~seen)
    places = volume.places(torch.from_numpy(found.vertices))
    colours, labels = paint(field, found, places, seen)
    vertices = places.numpy()
    return Mesh(vertices, found.faces, surface.normals_of(vertices, found.faces), colours, labels, seen, level)
