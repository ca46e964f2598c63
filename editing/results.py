"""The files of an edit, or of a scene that is about to be edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from configs.label_spaces import shown_palette
from datasets.masks.map_files import save_map
from editing.editor import Attempt, Editor, EditReport, Labels, labels_of
from editing.files import save_codes
from inference.results import VideoSettings
from inference.view_renderer import ViewRenderer
from models.pigan.cameras import Camera
from models.pigan.trajectories import trajectory
from models.scene import Scene
from models.view import View
from utils.files import write_text
from utils.images import colour_labels, save_png, stack_rows, to_uint8
from utils.video import write_video

WRITTEN = ("map.png", "view.png", "edited_map.png", "edited_view.png", "edits.png")  # images that a run may write

Image = UInt8[np.ndarray, "size size 3"]


@dataclass(frozen=True)
class Edited:
    """An edit that has been made.

    Attributes:
        drawn: the label map as it was wanted.
        tried: by the way the codes were found, in the order in which that was done; the last is the result.
    """

    drawn: Labels
    tried: dict[str, Attempt]

    @property
    def result(self) -> Attempt:
        return list(self.tried.values())[-1]

    @property
    def reports(self) -> dict[str, EditReport]:
        return {name: attempt.report for name, attempt in self.tried.items()}


class EditResults:
    """Writes the files of one editor into a folder.

    Args:
        others: cameras of further views.
    """

    def __init__(self, editor: Editor, renderer: ViewRenderer, folder: Path, others: Sequence[Camera],
                 video: VideoSettings | None = None) -> None:
        self.editor, self.renderer, self.folder, self.others, self.video = editor, renderer, folder, others, video

    def write_map(self) -> list[Path]:
        """map.png, to draw on, view.png, and perhaps a video, of the scene as it is.

        Raises:
            UserError: a file cannot be written.
        """
        return [*self._images(self.editor.before, ""), *self._video(self.editor.scene, "")]

    def write_answer(self, edited: Edited) -> list[Path]:
        """edited_map.png, edited_view.png, codes.pt and report.json: what takes no time once an edit is made. Files of
        an earlier answer are replaced.

        Raises:
            UserError: a file cannot be written.
        """
        answer, report = edited.result, self.folder / "report.json"
        files = [*self._images(answer.view, "edited_"),
                 save_codes(self.folder / "codes.pt", answer.codes, self.editor.net.siren), report]
        write_text(report, as_json(edited.reports))
        return files

    def write_views(self, edited: Edited) -> list[Path]:
        """edits.png (views before and after), perhaps a video.

        Raises:
            UserError: a file cannot be written.
        """
        editor, scene = self.editor, self.renderer.scene(edited.result.codes)
        rows = [[self._painted(labels), to_uint8(view.rgb), *self.renderer.views(of, self.others)] for labels, view, of
                in ((editor.labels, editor.before, editor.scene), (edited.drawn, edited.result.view, scene))]
        return [save_png(self.folder / "edits.png", stack_rows(rows)), *self._video(scene, "edited_")]

    def _images(self, view: View, prefix: str) -> list[Path]:
        space = self.editor.head.space
        return [save_map(self.folder / f"{prefix}map.png", labels_of(view), space, self.editor.net.input.space),
                save_png(self.folder / f"{prefix}view.png", to_uint8(view.rgb))]

    def _video(self, scene: Scene, prefix: str) -> list[Path]:
        if not self.video:
            return []
        path = self.folder / f"{prefix}video.{self.video.suffix}"
        cameras = trajectory(self.video.trajectory, self.video.frames, self.editor.net.config.camera.fov_deg)
        write_video(path, self.renderer.views(scene, cameras), self.renderer.settings.size)
        return [path]

    def _painted(self, labels: Labels) -> Image:
        return colour_labels(labels, shown_palette(self.editor.head.space))


def as_json(reports: dict[str, EditReport]) -> str:
    """Every report by its name, numbers rounded to what they mean."""
    rounded = {name: {key: round(value, 5) for key, value in asdict(report).items()}
               for name, report in reports.items()}
    return json.dumps(rounded, indent=2) + "\n"


def in_words(reports: dict[str, EditReport]) -> str:
    """A few lines for the console."""
    first = next(iter(reports.values()))
    lines = [f"edited: {first.region:.1%} of the view, where {first.wanted_before:.0%} had the wanted label before"]
    for name, report in reports.items():
        lines.append(f"{name}: {report.wanted:.0%} have it now; outside, {report.labels_outside:.1%} of the labels "
                     f"changed, and colours by {report.colours_outside:.4f} on average (of 1)")
    return "\n".join(lines)
