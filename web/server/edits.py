"""Edits of a head from any side: its label map to draw on, and the head that looks like what was drawn.

The page keeps what edits add to the codes, and sends it with everything it asks: the server remembers no head.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from datasets.masks.relabel import merged_to, unmerged_to
from editing.editor import STEPS, Editor, editable, labels_of
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from models.semantic_files import decoder_sha256
from utils.errors import UserError
from web.server.painting import Drawing, Painting
from web.server.queries import Send, codes_bytes
from web.server.turns import Job
from web.volume.baking import Cancelled

# of label maps to draw on: pixels along each side (more than the encoder reads of what the camera sees), and samples
# per ray in the first pass
SIZE, SAMPLES = 192, 12
LEAST_NEWS = 0.01        # how much further a map must be, in parts of all, to be worth a word


def describe(net: Sem2NeRF) -> dict[str, Any]:
    """What a page needs to know of edits, as JSON can say it: the side of a label map in pixels (`map`), steps of a
    refinement, and a name of the decoder, whose codes are nothing to others. None where edits are not possible."""
    ours = {"map": SIZE, "steps": STEPS} if editable(net) else None
    return {"edits": ours, "decoder": decoder_sha256(net.siren)[:16]}


def send_map(net: Sem2NeRF, scene: Scene, camera: Camera, job: Job, send: Send) -> None:
    """Send the label map of a view, in labels of mask files; before it, how far it is (`progress`, 0 to 1).

    Raises:
        UserError: the model has no semantic head.
        Cancelled: nobody waits for it any more.
    """
    assert net.semantic_head is not None
    labels = label_map(scene, camera, SIZE, watch(job.ended, send))
    data = zlib.compress(unmerged_to(labels, net.semantic_head.space, net.input.space).tobytes(), 6)
    send(({"width": SIZE, "height": SIZE, "warnings": []}, data))


def label_map(scene: Scene, camera: Camera, size: int, on_rays: Callable[[int], None] | None = None
              ) -> UInt8[np.ndarray, "size size"]:
    """Labels of the semantic head's space."""
    return labels_of(scene.render(camera, size, SAMPLES, sampler=sampler_of(scene), labels=True, on_rays=on_rays))


def sampler_of(scene: Scene) -> str:
    """The fastest way of rendering that a scene knows."""
    return "grid" if scene.preset.clamp_mode == "relu" else "exact"


def draw(net: Sem2NeRF, scene: Scene, painting: Painting, job: Job, send: Send) -> Scene:
    """The scene that looks like the drawing. Sends what edits, this one included, add to the codes (`edit`).

    Args:
        scene: of the painting without its drawing.

    Raises:
        UserError: the drawing leaves nothing of the head, or the model cannot tell where its parts are.
        Cancelled: the job is not wanted any more.
    """
    if not editable(net):
        raise UserError("these weights do not know which part is where: a head cannot be drawn on")
    assert painting.drawing is not None
    assert net.semantic_head is not None
    drawing, space = painting.drawing, net.semantic_head.space
    before, after = (merged_to(labels, net.input.space, space) for labels in (drawing.before, drawing.after))
    codes, nearer = scene.codes, True
    if not np.array_equal(before, after):
        if drawing.steps:
            codes, nearer = _refined(net, scene, drawing, after, job, send)
        else:
            codes = net.edited_codes(scene, after, before)
    added = codes - scene.codes
    if painting.edit is not None:
        added = painting.edit.to(added.frequencies) + added
    if job.ended():
        raise Cancelled
    send(({"edit": True, "nearer": nearer}, codes_bytes(added)))
    return net.scene_of(codes)


def _refined(net: Sem2NeRF, scene: Scene, drawing: Drawing, after: UInt8[np.ndarray, "size size"], job: Job,
             send: Send) -> tuple[Codes, bool]:
    """Codes, and whether they are nearer to the drawing than those it began with."""
    def step(done: int) -> None:
        if job.ended():
            raise Cancelled
        send(({"progress": done / drawing.steps}, b""))

    editor = Editor(net, scene, drawing.camera, len(after), SAMPLES, sampler_of(scene), on_rays=watch(job.ended))
    first = editor.delta(after)
    found = editor.refine(after, first, drawing.steps, on_step=step)
    return found, found is not first


def watch(ended: Callable[[], bool], send: Send | None = None) -> Callable[[int], None]:
    """For `on_rays` of `Scene.render`: ends it when its job is to end, and says how far a label map is."""
    done = told = 0

    def on_rays(count: int) -> None:
        nonlocal done, told
        if ended():
            raise Cancelled
        done += count
        if send is not None and done - told >= LEAST_NEWS * SIZE**2:
            told = done
            send(({"progress": round(min(done / SIZE**2, 1), 3)}, b""))

    return on_rays
