"""An evaluation as one JSON file and one Markdown table, with the protocol in both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.metrics.registry import NOVEL, score_meanings
from utils.files import write_text

SEMANTIC = "semantic_"  # begins the names of scores of rendered label maps


@dataclass(frozen=True)
class Report:
    """What was measured, how, and what was left out."""

    protocol: Mapping[str, Any]
    results: Mapping[str, float]
    notes: Sequence[str] = ()
    goals: Mapping[str, float] = field(default_factory=dict)      # what some of the scores should reach

    @property
    def goals_met(self) -> dict[str, bool]:
        """Whether each goal is reached: at least, or at most where lower is better."""
        return {name: self.results[name] >= goal if describe(name)[1] == "higher" else self.results[name] <= goal
                for name, goal in self.goals.items() if name in self.results}

    def to_json(self) -> str:
        """Stable text: the same evaluation gives the same bytes. A score that is no number is null."""
        results = {name: value if math.isfinite(value) else None for name, value in self.results.items()}
        content = {"protocol": dict(self.protocol), "results": results, "notes": list(self.notes)}
        if self.goals:
            content["goals_met"] = self.goals_met
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def to_markdown(self, title: str = "Evaluation") -> str:
        """Two tables (scores, IoU of each class), then the protocol."""
        goal = ("goal | | ", "---|---|") if self.goals else ("", "")
        lines = [f"# {title}", "", f"| score | value | better | {goal[0]}".rstrip(), f"|---|---|---|{goal[1]}"]
        for name, value in self.results.items():
            if not is_class(name):
                meaning, better = describe(name)
                lines.append(f"| {meaning} | {number(value)} | {better} |{self._verdict(name)}")
        for prefix, title in (("", "IoU of each class:"), (SEMANTIC, "IoU of each class in the rendered label maps:")):
            classes = {name.removeprefix(f"{prefix}iou_"): value for name, value in self.results.items()
                       if name.startswith(f"{prefix}iou_")}
            if classes:
                lines += ["", title, "", f"| {' | '.join(classes)} |", "|" + "---|" * len(classes),
                          f"| {' | '.join(number(value) for value in classes.values())} |"]
        lines += ["", "Protocol:", ""]
        lines += [f"- {key.replace('_', ' ')}: {_plain(value)}" for key, value in self.protocol.items()]
        if self.notes:
            lines += ["", "Left out or to be known:", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def _verdict(self, name: str) -> str:
        """Two more cells of a score's row: its goal, and whether it was missed."""
        if name not in self.goals_met:
            return " | |" if self.goals else ""
        return f" {self.goals[name]:g} | {'' if self.goals_met[name] else 'missed'} |"

    def write(self, json_path: Path, markdown_path: Path) -> None:
        """Both files, atomically.

        Raises:
            UserError: one cannot be written.
        """
        write_text(json_path, self.to_json())
        write_text(markdown_path, self.to_markdown())


def is_class(name: str) -> bool:
    """Whether a score is the IoU of one class."""
    return name.removeprefix(NOVEL).removeprefix(SEMANTIC).startswith("iou_")


def describe(name: str) -> tuple[str, str]:
    """Meaning of a score, and which way is better."""
    meanings = score_meanings()
    if name in meanings:
        return meanings[name]
    meaning, better = meanings[name.removeprefix(NOVEL)]
    return f"other views: {meaning}", better


def number(value: float) -> str:
    """Three or four digits that matter."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.5f}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
