"""One head: a latent code made into triangles with materials, colours and light."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from synth_heads.generator import asset as parts
from synth_heads.generator.accessories import accessories
from synth_heads.generator.asset import Asset, load_asset
from synth_heads.generator.clothes import clothes_mesh
from synth_heads.generator.guide import guide_map
from synth_heads.generator.hair import HairStyle, every_second_strand, hair_margin, hair_mesh, hair_style
from synth_heads.generator.labels import M_EYE_LEFT, M_EYE_RIGHT, M_HAIR, M_LASHES, M_SKIN, M_TEETH, M_TONGUE
from synth_heads.generator.latent import Latent
from synth_heads.generator.light import head_light, light_vertices
from synth_heads.generator.look import Look, head_look
from synth_heads.generator.materials import shade_point
from synth_heads.generator.mesh import Mesh
from synth_heads.generator.morphs import Traits, morph, target_weights
from synth_heads.generator.raster import vertex_normals

_MATERIALS = np.array([M_SKIN, M_EYE_LEFT, M_EYE_RIGHT, M_TEETH, M_TONGUE, M_LASHES], np.uint8)  # of the asset's parts
# Where the middle of the eyes lies in a frontal picture on disk, in half widths: CelebAMask-HQ has x .37/.62, y .475.
_EYE_X, _EYE_Y = 0.25, 0.05
_HALF_WIDTH = 1.25 * math.tan(math.radians(6))
# The world's origin, about which views turn, in MakeHuman units from the base head's own: as far back as it may be
# before more of the heads lies behind pi-GAN's far plane than before its near plane.
_TURN_Z = 0.62


@dataclass(frozen=True)
class Head:
    """A head, ready to be drawn from any side (`synth_heads.generator.render`).

    points: (n, 3) float32, world units of pi-GAN: the camera lies on the unit sphere; y up, z to the frontal camera, x
        to the person's left. faces: (t, 3); the lenses of glasses come last, from `lens_start`. material: a face's
        material (labels.M_*). attributes, uv: what the materials read. light: light (r, g, b) and sheen at each vertex.
        cut: where its interpolation is negative, nothing is drawn. look: the head's colours.
    """

    points: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "t 3"]
    material: UInt8[np.ndarray, " t"]
    attributes: Float[np.ndarray, "n 8"]
    uv: Float[np.ndarray, "b 3 2"]
    light: Float[np.ndarray, "n 4"]
    cut: Float[np.ndarray, " n"]
    look: Look
    lens_start: int

    @staticmethod
    def from_latent(z: Float[np.ndarray, " n"]) -> "Head":
        """The head of a latent code with LATENT_DIM entries; the same code always gives the same head."""
        return _build(Latent(z))

    def face_labels(self) -> UInt8[np.ndarray, " t"]:
        """The label at the middle of each face."""
        labels = np.zeros(len(self.faces), np.uint8)
        masks, look, colour = load_asset().masks, self.look.pack(), np.zeros(3)
        middle = self.attributes[self.faces].mean(1)
        for t in range(len(self.faces)):
            u, v = self.uv[t].mean(0) if t < len(self.uv) else (0.0, 0.0)
            labels[t] = shade_point(self.material[t], middle[t], u, v, masks, look, colour)
        return labels


def _build(z: Latent) -> Head:
    asset, traits = load_asset(), Traits(z)
    points = morph(asset, target_weights(z, traits))
    points = _shrug(points, asset)
    teeth = np.unique(asset.faces[asset.part == parts.TEETH])
    points[teeth] *= np.array([0.94, 1, 1], np.float32)  # narrower, so that they stay behind a smiling mouth's corners
    points[teeth, 2] -= 0.02
    guide = guide_map(asset, points)
    eyes = [points[np.unique(asset.faces[asset.part == p])].mean(0) for p in (parts.EYE_LEFT, parts.EYE_RIGHT)]
    extras = accessories(asset, points, guide, z, traits, eyes)
    style = hair_style(z, traits, extras.hat_rim, brow=float(eyes[0][1]) + 0.24)
    base = _base_mesh(asset, points, eyes, style, traits.male)
    hair, clothes = hair_mesh(asset, points, guide, style), clothes_mesh(asset, points, z)
    mesh = Mesh.join([base, hair, clothes, *extras.solid, *extras.lenses])
    lens_start = len(mesh.faces) - sum(len(lens.faces) for lens in extras.lenses)
    look = head_look(z, traits)
    light = _light(asset, mesh, lens_start, guide.centre, z)
    scale, origin = _frame(eyes)
    world = ((mesh.points - origin) * scale).astype(np.float32)
    return Head(world, mesh.faces, mesh.material, mesh.attributes, asset.uv, light, mesh.cut, look, lens_start)


def _shrug(points: np.ndarray, asset: Asset) -> np.ndarray:
    """Shorten the neck: MakeHuman's shoulders lie lower than those in portraits."""
    y = asset.vertices[:, 1]
    t = np.clip((6.55 - y) / 0.75, 0, 1)
    behind = np.clip((1.15 - asset.vertices[:, 2]) / 0.5, 0, 1)  # not the chin
    points = points.copy()
    points[:, 1] += (0.27 * t * t * (3 - 2 * t) * behind).astype(np.float32)
    return points


def _base_mesh(asset: Asset, points: np.ndarray, eyes: list[np.ndarray], style: HairStyle,
               male: float) -> Mesh:
    """Skin, eyes, teeth, tongue and lashes, with the attributes that materials.py reads."""
    rest = asset.vertices
    offset = rest - np.array(parts.GUIDE_CENTRE, np.float32)
    polar = np.arctan2(np.hypot(offset[:, 0], offset[:, 2]), offset[:, 1])
    fields = asset.fields
    lip = fields[:, parts.FIELD_UPPER_LIP] - fields[:, parts.FIELD_LOWER_LIP]
    margin = hair_margin(np.arctan2(offset[:, 0], offset[:, 2]), polar, style)
    attributes = np.stack([*rest.T, fields[:, parts.FIELD_NOSE], lip, fields[:, parts.FIELD_NECK],
                           fields[:, parts.FIELD_EAR], margin], 1).astype(np.float32)
    for part, middle in zip((parts.EYE_LEFT, parts.EYE_RIGHT), eyes, strict=True):
        own = np.unique(asset.faces[asset.part == part])
        attributes[own, :3] = points[own] - middle
    normals = np.zeros_like(points)
    for part in range(6):
        faces = asset.faces[asset.part == part]
        own = np.unique(faces)
        normals[own] = vertex_normals(points, faces)[own]
    lashes = np.unique(asset.faces[asset.part == parts.LASHES])
    upper = rest[lashes, 1] > 7.28
    cut = np.ones(len(points), np.float32)
    cut[lashes] = np.where(upper, 0.55 - 0.25 * male, 0.16 - 0.08 * male) - fields[lashes, parts.FIELD_NOSE]
    return Mesh(points, asset.faces, _MATERIALS[asset.part], attributes, normals, cut)


def _light(asset: Asset, mesh: Mesh, lens_start: int, centre: np.ndarray, z: Latent) -> np.ndarray:
    count = len(mesh.points)
    material = np.zeros(count, np.uint8)
    material[mesh.faces.ravel()] = np.repeat(mesh.material, 3)
    soft = np.full((count, 3), 0.12, np.float32)
    soft[material == M_SKIN] = (0.42, 0.26, 0.20)
    soft[material == M_HAIR] = 0.35
    openness = np.ones(count, np.float32)
    openness[:len(asset.vertices)] = np.clip(1.15 * asset.fields[:, parts.FIELD_OPEN] ** 0.6, 0.05, 1.0)
    for part in (M_EYE_LEFT, M_EYE_RIGHT, M_LASHES):
        openness[material == part] = 0.8
    openness[material == M_TEETH] = 0.9
    shiny = np.zeros(count, np.float32)
    shiny[material == M_SKIN] = 0.055
    shiny[material == M_HAIR] = 0.02
    casting = mesh.faces[:lens_start]
    sparse = (mesh.material[:lens_start] != M_HAIR) | every_second_strand(len(asset.vertices), casting, mesh.material)
    light = light_vertices(mesh, casting, sparse, len(asset.vertices), centre, head_light(z), soft, openness, shiny)
    mouth = (material == M_TEETH) | (material == M_TONGUE)
    floor = np.where(material[mouth] == M_TEETH, 0.85, 0.4)[:, None]  # lips let light in
    light[mouth, :3] = np.maximum(light[mouth, :3], floor)
    return light


def _frame(eyes: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """Scale and origin that put the eyes where CelebAMask-HQ has them, in a frontal picture."""
    middle = (eyes[0] + eyes[1]) / 2
    x, near = float(eyes[0][0] - middle[0]), float(middle[2]) + 0.13 - _TURN_Z
    # x s / (1 - near s) = _EYE_X * half width
    aim = _EYE_X * _HALF_WIDTH
    scale = aim / (x + aim * near)
    drop = _EYE_Y * _HALF_WIDTH * (1 - near * scale) / scale
    return scale, np.array([0.0, middle[1] - drop, _TURN_Z])
