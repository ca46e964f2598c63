"""Draw a turning mesh (docs/mesh.gif): colours, shape and, with a semantic head, labels.

    python synth_heads/scripts/draw_mesh.py --data_path data/CelebAMask-HQ/mask_samples/90001.png --out docs/mesh.gif
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from configs.paths_config import DEMO_CHECKPOINT
from options.arguments import HelpFormatter, Parser, positive
from utils.cli import command, run

if TYPE_CHECKING:
    import numpy as np

    from models.meshing.extract import Mesh

ZOOM = 1.15  # the image is so much wider than the model's own
AMBIENT, LIGHT = 0.35, (0.42, 0.53, 0.74)  # from the upper right, before the camera


@command()
def main(argv: Sequence[str]) -> None:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--checkpoint_path", default=str(DEMO_CHECKPOINT), help="weights")
    parser.add_argument("--data_path", default="data/CelebAMask-HQ/mask_samples/90001.png", help="one mask")
    parser.add_argument("--out", default="docs/mesh.gif", help="the picture, a GIF")
    parser.add_argument("--size", type=positive, default=200, help="pixels along each side of a tile")
    parser.add_argument("--frames", type=positive, default=30, help="of one turn")
    parser.add_argument("--resolution", type=positive, default=160, help="of the mesh")
    opts = parser.parse_args(argv)

    import math

    import numpy as np

    from configs.label_spaces import shown_palette
    from models.sem2nerf import Sem2NeRF
    from utils.video import write_video

    net = Sem2NeRF.from_checkpoint(opts.checkpoint_path)
    mesh = net.scene(opts.data_path).mesh(opts.resolution)
    paints = [(mesh.colours, False), (np.full_like(mesh.colours, 0.8), True)]
    if mesh.labels is not None and net.semantic_head is not None:
        paints.append((np.array(shown_palette(net.semantic_head.space), np.float32)[mesh.labels] / 255, True))
    turns = [math.pi / 2 + 2 * math.pi * frame / opts.frames for frame in range(opts.frames)]
    frames = (tiles(mesh, paints, yaw, opts.size, net.config.camera.fov_deg) for yaw in turns)
    write_video(opts.out, frames, opts.size)


def tiles(mesh: "Mesh", paints: "list[tuple[np.ndarray, bool]]", yaw: float, size: int, fov_deg: float) -> "np.ndarray":
    """The mesh from one side, in each of the colours; those with True are lit."""
    import math

    import numpy as np
    import torch

    from models.pigan.cameras import camera_origins, camera_to_world
    from synth_heads.generator.raster import rasterise

    to_world = camera_to_world(camera_origins(torch.tensor([yaw]), torch.tensor([math.pi / 2])))[0].numpy()
    local = (mesh.vertices - to_world[:3, 3]) @ to_world[:3, :3]
    scale = (size - 1) / 2 / (math.tan(math.radians(fov_deg) / 2) * ZOOM)
    middle = (size - 1) / 2
    points = np.stack([middle - scale * local[:, 0] / local[:, 2], middle + scale * local[:, 1] / local[:, 2],
                       -local[:, 2]], 1).astype(np.float32)
    nearness, weights = np.zeros((size, size), np.float32), np.zeros((size, size, 2), np.float32)
    face = np.full((size, size), -1, np.int32)
    rasterise(points, mesh.faces, np.ones(len(points), np.float32), nearness, face, weights)
    shown = face >= 0
    corners = mesh.faces[face[shown]]
    share = np.concatenate([weights[shown], 1 - weights[shown].sum(1, keepdims=True)], 1)[..., None]
    normals = (mesh.normals[corners] * share).sum(1)
    light = AMBIENT + (1 - AMBIENT) * (normals @ (to_world[:3, :3] @ np.array(LIGHT))).clip(0, 1)[:, None]
    images = []
    for colours, lit in paints:
        image = np.ones((size, size, 3))
        image[shown] = (colours[corners] * share).sum(1) * (light if lit else 1)
        images.append((image.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    return np.concatenate(images, 1)


if __name__ == "__main__":
    run(main)
