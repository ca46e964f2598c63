"""Edits of a scene, drawn on its label map from any side.

    editor = Editor(net, net.scene("90001.png"), Camera(yaw=FRONTAL + 0.5), size=128)
    edited = editor.labels.copy()               # what there is to draw on, and then what is wanted
    codes = editor.delta(edited)                # at once
    codes = editor.refine(edited, codes, 20)    # true to the drawing, after some seconds
    editor.report(edited, codes)                # what came out as wanted, and what changed elsewhere
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from editing.directions import code_directions
from editing.glance import Glance
from editing.refine import QUICK, QUICK_STEPS, Refiner, RefineSettings
from editing.region import EditRegion, edit_region
from models.pigan.cameras import Camera
from models.pigan.codes import Codes
from models.pigan.semantic_head import SemanticHead
from models.scene import Scene
from models.sem2nerf import Sem2NeRF
from models.view import View
from utils.errors import UserError

Labels = UInt8[np.ndarray, "size size"]
STEPS, USUAL = 60, RefineSettings()  # of a refinement
MOST_OUTSIDE = 0.02  # mean change of colours in [0, 1] outside of the region, of an encoding that is followed whole
REMEMBERED = 4  # views


def editable(net: Sem2NeRF) -> bool:
    """Whether heads of this model can be edited from any side: it must know which part is where, by the tables of mask
    files and of its own encoder."""
    if net.semantic_head is None:
        return False
    space, files, read = net.semantic_head.space, net.input.space, net.input.network_space
    return space in (files, files.merged) and read in (space, space.merged)


@dataclass(frozen=True)
class EditReport:
    """What an edit did to the view on which it was drawn, as the semantic head sees it. Shares are in [0, 1]."""

    region: float           # share of the view that is edited
    wanted_before: float    # share of the edited region that had the wanted label before ...
    wanted: float           # ... and has it now
    labels_outside: float   # share of the pixels outside of the region and its margin whose label changed
    colours_outside: float  # mean change of their colours, in [0, 1]

    @property
    def score(self) -> float:
        """How well the view shows what was drawn and nothing else that is new; the greater, the better. Errors weigh as
        in the loss of a refinement."""
        return (self.wanted - USUAL.outside_weight * self.labels_outside
                - USUAL.colour_weight * max(self.colours_outside - USUAL.tolerated, 0))


@dataclass(frozen=True)
class Attempt:
    """Codes of an edit, and what they show from its side."""

    codes: Codes
    view: View
    report: EditReport


class Editor:
    """One scene seen from one side, and edits of what is seen.

    Args:
        net: the model the scene is of, with a semantic head.
        size: pixels along each side of the label map.
        samples, sampler, on_rays: of the views that are compared, see `Scene.render`.

    Raises:
        UserError: the model has no semantic head, or one that tells other parts apart than the encoder needs.
    """

    def __init__(self, net: Sem2NeRF, scene: Scene, camera: Camera, size: int = 256, samples: int = 24,
                 sampler: str = "auto", on_rays: Callable[[int], None] | None = None) -> None:
        self.net, self.scene, self.camera, self.size = net, scene, camera, size
        self.samples, self.sampler, self.on_rays = samples, sampler, on_rays
        self.before, self._directions = self.view(scene), code_directions(net.siren)
        self._seen: deque[tuple[Codes, View]] = deque(maxlen=REMEMBERED)

    @property
    def head(self) -> SemanticHead:
        return self.scene.labelled_field.head

    @property
    def labels(self) -> Labels:
        """The label map of the scene as it is, in the numbers of `head.space`."""
        return labels_of(self.before)

    def region(self, edited: Labels) -> EditRegion:
        """Where an edited map differs.

        Raises:
            UserError: nowhere, or the map has another size, or numbers that are no labels.
        """
        if edited.shape != self.labels.shape:
            raise UserError(f"`edit`: this map has {edited.shape[1]} x {edited.shape[0]} pixels, that of the view has "
                            f"{self.size} x {self.size}; draw on the view's own map and keep its size, or say in "
                            "`test_output_size` at which size it was made")
        if edited.max() >= len(self.head.space):
            raise UserError(f"`edit`: this map has label {edited.max()}, but those of {self.head.space.name} are 0 to "
                            f"{len(self.head.space) - 1}; draw with these")
        region = edit_region(self.labels, edited)
        if not region.inside.any():
            raise UserError("`edit`: this map shows the labels that the view has already, so there is nothing to edit; "
                            "change the labels of a part (a patch of a pixel or two does not count)")
        return region

    def delta(self, edited: Labels) -> Codes:
        """The codes after a delta encoding (`Sem2NeRF.edited_codes`) and the first steps towards the drawing
        (`editing.refine`): these mend most of what the encoder leaves undone where an edit is small. An encoding that
        changes more colours outside than MOST_OUTSIDE, as large edits may, is followed as far as that.

        Raises:
            UserError: see `region`.
        """
        region, codes = self.region(edited), self.net.edited_codes(self.scene, edited, self.labels)
        moved = self._moved(region, codes)
        if moved > MOST_OUTSIDE:
            codes = self.scene.codes.lerp(codes, MOST_OUTSIDE / moved)
        return self._refiner(edited, region, QUICK).run(codes, QUICK_STEPS)

    def _moved(self, region: EditRegion, codes: Codes) -> float:
        """`EditReport.colours_outside`, by a few rays."""
        if not region.outside.any():
            return 0.0
        nowhere = np.zeros_like(region.outside)
        glance = Glance(self.camera, self.scene.preset, EditRegion(nowhere, nowhere, region.outside))
        (_, before), (_, after) = (glance.look(scene) for scene in (self.scene, self.net.scene_of(codes)))
        change = np.abs(before - after)[glance.sampled.outside]
        return float(change.mean() / 2) if change.size else 0.0

    def _refiner(self, edited: Labels, region: EditRegion, settings: RefineSettings) -> Refiner:
        return Refiner(self.net.siren, self.scene.preset, self.head, self._directions, self.camera, self.before, edited,
                       region, settings)

    def refine(self, edited: Labels, codes: Codes, steps: int = STEPS, settings: RefineSettings = USUAL,
               on_step: Callable[[int], None] | None = None) -> Codes:
        """Codes nearer to the edited map, from those of a delta encoding (or any others), see `editing.refine`: the
        given ones, where a few hundred rays of the view show the drawing no better with those that are found
        (`EditReport.score`).

        Args:
            on_step: called with the number of steps that are done, before each; what it raises ends the refinement.

        Raises:
            UserError: see `region`.
        """
        region = self.region(edited)
        found = self._refiner(edited, region, settings).run(codes, steps, on_step)
        glance = Glance(self.camera, self.scene.preset, region)
        return max((codes, found), key=lambda each: self._glimpse(glance, edited, each).score)

    def _glimpse(self, glance: Glance, edited: Labels, codes: Codes) -> EditReport:
        """A report by a few rays."""
        labels, colours = glance.look(self.net.scene_of(codes))
        rgb = self.before.rgb.permute(1, 2, 0).numpy()
        return _report(glance.of(self.labels), labels, np.abs(glance.of(rgb) - colours).mean(1) / 2, glance.of(edited),
                       glance.sampled)

    def report(self, edited: Labels, codes: Codes) -> EditReport:
        """Render the view with these codes and compare.

        Raises:
            UserError: see `region`.
        """
        return self.attempt(edited, codes).report

    def attempt(self, edited: Labels, codes: Codes) -> Attempt:
        """The same, with the view. That of codes that have been seen before is not rendered again.

        Raises:
            UserError: see `region`.
        """
        region = self.region(edited)
        view = next((view for known, view in self._seen if known is codes), None)
        if view is None:
            view = self.view(self.net.scene_of(codes))
            self._seen.append((codes, view))
        return Attempt(codes, view, compare(self.before, view, edited, region))

    def view(self, scene: Scene) -> View:
        """Any scene of the model, from this side."""
        return scene.render(self.camera, self.size, self.samples, sampler=self.sampler, labels=True,
                            on_rays=self.on_rays)


def compare(before: View, after: View, edited: Labels, region: EditRegion) -> EditReport:
    """Views with labels, before and after an edit."""
    old, new = labels_of(before), labels_of(after)
    change = (before.rgb - after.rgb).abs().mean(0).numpy() / 2
    return _report(old, new, change, edited, region)


def _report(old: np.ndarray, new: np.ndarray, change: np.ndarray, edited: np.ndarray, region: EditRegion
            ) -> EditReport:
    """Of labels before and after, and of how much colours have changed, at the same pixels."""
    def share(what: np.ndarray, where: np.ndarray) -> float:
        return float(what[where].mean()) if where.any() else 0.0

    return EditReport(float(region.inside.mean()), share(old == edited, region.inside),
                      share(new == edited, region.inside), share(new != old, region.outside),
                      share(change, region.outside))


def labels_of(view: View) -> Labels:
    """Labels of a view that was rendered with them."""
    assert view.labels is not None, "rendered without labels"
    return view.labels.numpy()
