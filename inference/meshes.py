"""The mesh files of one mask.

    for item in read_all(data):
        paths = write_mesh_of(net, item, Path("out"), resolution=160)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from datasets.inference_set import MaskItem
from inference.mesh_files import write_mesh
from inference.results import stem_of
from models.sem2nerf import Sem2NeRF


@torch.no_grad()
def write_mesh_of(net: Sem2NeRF, item: MaskItem, folder: Path, resolution: int = 160, level: float | None = None,
                  formats: Sequence[str] = ("glb",), by_label: str | None = None, style_layers: tuple[int, ...] = (8,),
                  style_seed: int = 0, style_weight: float = 1.0, max_block: int | None = None) -> list[Path]:
    """Write the mesh of a mask's head; gives the paths.

    Args:
        resolution, level: see `models.meshing.extract.mesh_of`.
        formats, by_label: see `inference.mesh_files.write_mesh`.
        style_layers: FiLM layers whose codes come from a style, that of `style_seed`; below a `style_weight` of 1 it is
            blended in.
        max_block: most points evaluated at a time; None: as the device likes best.

    Raises:
        NoSurfaceError: the field has no surface.
        UserError: a file cannot be written, or labels are wanted of weights without a semantic head.
    """
    codes = net.encode(net.input.tensor(item.planes, net.latent_avg.frequencies.device)[None])
    codes = net.styled(codes, style_seed, style_layers, style_weight)
    mesh = net.scene_of(codes, max_block).mesh(resolution, level)
    space = None if net.semantic_head is None else net.semantic_head.space
    return write_mesh(folder, stem_of(item.name, style_layers, style_seed), mesh, space, formats, by_label)
