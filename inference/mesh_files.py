"""Meshes as files of other programs: GLB, PLY, OBJ.

    paths = write_mesh(Path("out"), "90001", scene.mesh(), scene.semantic_head.space, formats=("glb", "ply"))

One world unit is one metre, so heads of the face models are about life size (their eyes are some 63 mm apart). y is up,
the face looks along +z, +x is to the viewer's right: the axes of glTF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from configs.label_spaces import LabelSpace, shown_palette
from models.meshing.extract import Mesh
from utils.errors import UserError
from utils.files import atomic_path

UNLIT = "KHR_materials_unlit"  # glTF's extension: a colour is shown as it is
OBJ_DIGITS = 6  # micrometres
OBJ_HEADER = "metres; y up, the face looks along +z; colours of vertices are sRGB"


def import_trimesh() -> Any:
    """trimesh, which writes the files.

    Raises:
        UserError: it is not installed.
    """
    try:
        import trimesh
    except ModuleNotFoundError as error:
        raise UserError("mesh files need trimesh: pip install trimesh") from error
    return trimesh


def write_mesh(folder: Path, stem: str, mesh: Mesh, space: LabelSpace | None, formats: Sequence[str] = ("glb",),
               by_label: str | None = None) -> list[Path]:
    """Write a mesh in each of the formats, atomically; gives the paths.

    Args:
        space: of the mesh's labels, if it has them.
        by_label: 'paint' gives each vertex the colour of its label; 'split' makes a part of each label, called by its
            name: nodes of a GLB, objects of an OBJ, and for PLY, which has no parts, one file each.

    Raises:
        UserError: `by_label` of a mesh without labels, trimesh is not installed, or a file cannot be written.
    """
    parts = {"head": mesh}
    if by_label:
        if mesh.labels is None or space is None:
            raise UserError("`by_label` needs labels, and these weights have no semantic head; give one with "
                            "`semantic_head`, or leave it out")
        parts = by_parts(mesh, space) if by_label == "split" else {"head": painted(mesh, space)}
    files = {}
    for suffix in formats:
        if suffix == "glb":
            files[f"{stem}.glb"] = _glb(parts, lit=by_label == "paint")
        elif suffix == "obj":
            files[f"{stem}.obj"] = _obj(parts)
        else:
            files |= {f"{stem}{f'_{name}' if by_label == 'split' else ''}.ply": _ply(part)
                      for name, part in parts.items()}
    for name, contents in files.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(contents)
    return [folder / name for name in files]


def painted(mesh: Mesh, space: LabelSpace) -> Mesh:
    """The mesh in the colours of its labels."""
    return replace(mesh, colours=np.array(shown_palette(space), np.float32)[mesh.labels] / 255)


def by_parts(mesh: Mesh, space: LabelSpace) -> dict[str, Mesh]:
    """Its faces by the label that most of their corners have. The parts are open where they meet."""
    assert mesh.labels is not None
    corners = mesh.labels[mesh.faces]
    of_face = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
    parts = {}
    for label in np.unique(of_face):
        kept, faces = np.unique(mesh.faces[of_face == label], return_inverse=True)
        parts[space.labels[label]] = replace(
            mesh, vertices=mesh.vertices[kept], faces=faces.reshape(-1, 3).astype(np.int32),
            normals=mesh.normals[kept], colours=mesh.colours[kept], labels=mesh.labels[kept], seen=mesh.seen[kept])
    return parts


def linear(colours: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """sRGB, in which images are, to amounts of light; both in [0, 1] (IEC 61966-2-1)."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def _glb(parts: Mapping[str, Mesh], lit: bool) -> bytes:
    """
    Args:
        lit: viewers add light, which shows the shape; else colours are shown as they are, which is as views have them.
    """
    material: dict[str, Any] = {"name": "vertex colours", "doubleSided": True,
                                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
    if not lit:
        material["extensions"] = {UNLIT: {}}

    def give_material(tree: dict[str, Any]) -> None:
        tree["materials"] = [material]
        if not lit:
            tree["extensionsUsed"] = [UNLIT]
        for primitive in (primitive for mesh in tree["meshes"] for primitive in mesh["primitives"]):
            primitive["material"] = 0

    scene = import_trimesh().Scene()
    for name, part in parts.items():
        scene.add_geometry(_in_bytes(part, linear(part.colours)), name, name)
    return import_trimesh().exchange.gltf.export_glb(scene, include_normals=False, tree_postprocessor=give_material)


def _obj(parts: Mapping[str, Mesh]) -> bytes:
    scene = import_trimesh().Scene()
    for name, part in parts.items():
        scene.add_geometry(_in_bytes(part, part.colours), name, name)
    text = import_trimesh().exchange.obj.export_obj(scene, include_normals=False, digits=OBJ_DIGITS, header=OBJ_HEADER)
    return text.encode()


def _ply(part: Mesh) -> bytes:
    mesh = _in_bytes(part, part.colours)
    if part.labels is not None:
        mesh.vertex_attributes["label"] = part.labels
    return import_trimesh().exchange.ply.export_ply(mesh, vertex_normal=False)


def _in_bytes(part: Mesh, colours: Float[np.ndarray, "vertices 3"]) -> Any:
    """As trimesh holds it."""
    return import_trimesh().Trimesh(part.vertices, part.faces, process=False,
                                    vertex_colors=np.rint(colours.clip(0, 1) * 255).astype(np.uint8))
