"""An evaluation as one JSON file and one Markdown table, with the protocol in both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.files import write_text

# name of a score -> what it is, and which way is better; names that begin with `novel_` are those of other views
MEANINGS: dict[str, tuple[str, str]] = {
    "fid": ("FID to the true images", "lower"),
    "kid": ("KID to the true images", "lower"),
    "kid_std": ("KID, standard deviation over its subsets", ""),
    "is": ("Inception score", "higher"),
    "is_std": ("Inception score, standard deviation over ten splits", ""),
    "precision": ("precision (renders among the true images)", "higher"),
    "recall": ("recall (true images among the renders)", "higher"),
    "miou": ("mIoU of the parsed image and the mask, classes present, all pixels of the set", "higher"),
    "miou_per_image": ("mIoU of each image, mean", "higher"),
    "pixel_accuracy": ("pixel accuracy of the parsed image", "higher"),
    "psnr": ("PSNR to the true image, dB", "higher"),
    "psnr_matched": ("PSNR after matching each label's mean colour, dB", "higher"),
    "ssim": ("SSIM to the true image", "higher"),
    "lpips": ("LPIPS to the true image", "lower"),
    "depth_error": ("depth, median error as a fraction of the head's depth", "lower"),
    "diversity_lpips": ("diversity: LPIPS of 10 pairs among 6 styles", "higher"),
    "diversity_l2": ("diversity: root mean square difference of the same pairs", "higher"),
    "view_error": ("reprojection error of colours in [-1, 1] between neighbouring views", "lower"),
    "view_depth_error": ("reprojection error of the depth, world units", "lower"),
    "view_share": ("share of a view's surface that its neighbour shows", ""),
    "pose_yaw_deg": ("yaw read from the parsed image, median error, degrees", "lower"),
    "pose_pitch_deg": ("pitch read from the parsed image, median error, degrees", "lower"),
    "mask_yaw_deg": ("the same reading of the true masks, yaw, degrees", ""),
    "mask_pitch_deg": ("the same reading of the true masks, pitch, degrees", ""),
    "pose_yaw_correlation": ("correlation of the yaw that was read with the camera's", "higher"),
    "pose_faces": ("share of the images whose face could be read", "higher"),
}
NOVEL = "novel_"


@dataclass(frozen=True)
class Report:
    """What was measured, how, and what was left out."""

    protocol: Mapping[str, Any]
    results: Mapping[str, float]
    notes: Sequence[str] = ()

    def to_json(self) -> str:
        """Stable text: the same evaluation gives the same bytes. A score that is no number is null."""
        results = {name: value if math.isfinite(value) else None for name, value in self.results.items()}
        content = {"protocol": dict(self.protocol), "results": results, "notes": list(self.notes)}
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def to_markdown(self, title: str = "Evaluation") -> str:
        """Two tables (scores, IoU of each class), then the protocol."""
        lines = [f"# {title}", "", "| score | value | better |", "|---|---|---|"]
        for name, value in self.results.items():
            if not is_class(name):
                meaning, better = describe(name)
                lines.append(f"| {meaning} | {number(value)} | {better} |")
        classes = {name: value for name, value in self.results.items() if is_class(name) and name.startswith("iou_")}
        if classes:
            names = [name.removeprefix("iou_") for name in classes]
            lines += ["", "IoU of each class:", "", f"| {' | '.join(names)} |", "|" + "---|" * len(names),
                      f"| {' | '.join(number(value) for value in classes.values())} |"]
        lines += ["", "Protocol:", ""]
        lines += [f"- {key.replace('_', ' ')}: {_plain(value)}" for key, value in self.protocol.items()]
        if self.notes:
            lines += ["", "Left out or to be known:", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def write(self, json_path: Path, markdown_path: Path) -> None:
        """Both files, atomically.

        Raises:
            UserError: one cannot be written.
        """
        write_text(json_path, self.to_json())
        write_text(markdown_path, self.to_markdown())


def is_class(name: str) -> bool:
    """Whether a score is the IoU of one class."""
    return name.removeprefix(NOVEL).startswith("iou_")


def describe(name: str) -> tuple[str, str]:
    """Meaning of a score, and which way is better."""
    meaning, better = MEANINGS[name.removeprefix(NOVEL)]
    return (f"other views: {meaning}" if name.startswith(NOVEL) else meaning), better


def number(value: float) -> str:
    """Three or four digits that matter."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.5f}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
