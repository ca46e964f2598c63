"""The mesh files of one mask.

    for item in read_all(data):
        paths = write_mesh_of(net, item, MeshSettings(resolution=160), Path("out"))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from datasets.inference_set import MaskItem
from inference.mesh_files import write_mesh
from inference.results import stem_of
from models.sem2nerf import Sem2NeRF


@dataclass(frozen=True)
class MeshSettings:
    """How meshes are made and written."""

    resolution: int = 160                    # see `models.meshing.extract.mesh_of`, the level too
    level: float | None = None
    formats: Sequence[str] = ("glb",)        # of glb, ply, obj
    by_label: str | None = None              # paint or split, see `inference.mesh_files.write_mesh`
    style_layers: tuple[int, ...] = (8,)     # FiLM layers whose codes come from a style
    style_seed: int = 0
    style_weight: float = 1.0                # below 1 the style is blended in
    max_block: int | None = None             # most points evaluated at a time; None: as the device likes best


@torch.no_grad()
def write_mesh_of(net: Sem2NeRF, item: MaskItem, settings: MeshSettings, folder: Path) -> list[Path]:
    """Write the mesh of a mask's head; gives the paths.

    Raises:
        NoSurfaceError: the field has no surface.
        UserError: a file cannot be written, or labels are wanted of weights without a semantic head.
    """
    codes = net.encode(net.input.tensor(item.planes, net.latent_avg.frequencies.device)[None])
    codes = net.styled(codes, settings.style_seed, settings.style_layers, settings.style_weight)
    mesh = net.scene_of(codes, settings.max_block).mesh(settings.resolution, settings.level)
    space = None if net.semantic_head is None else net.semantic_head.space
    return write_mesh(folder, stem_of(item.name, settings.style_layers, settings.style_seed), mesh, space,
                      settings.formats, settings.by_label)
