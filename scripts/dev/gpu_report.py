"""What gpu_check.sh has found up to now: results.json, and results.md for docs/performance.md."""

import argparse
import contextlib
import json
import math
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.cli import command, run
from utils.files import write_text

PACKAGES = ("torch", "triton", "numpy", "timm", "lpips", "numba", "scipy", "opencv-python-headless", "jaxtyping")
STEP = re.compile(r"^step (\d+)/.*?\bloss ([\d.e+-]+|nan|inf).*?([\d.e+-]+) s/step", re.MULTILINE)
OUTCOME = {0: "done", 124: "ran into its limit", 137: "ran into its limit"}


@command()
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where gpu_check.sh writes")
    parser.add_argument("--machine", action="store_true", help="describe the machine, and no more")
    args = parser.parse_args(argv)
    if args.machine:
        write_text(args.folder / "machine.json", json.dumps(machine(), indent=2) + "\n")
        print((args.folder / "machine.json").read_text(encoding="utf-8"))
        return
    results = collect(args.folder)
    write_text(args.folder / "results.json", json.dumps(results, indent=2) + "\n")
    write_text(args.folder / "results.md", table(results))


def machine() -> dict[str, Any]:
    """The card, the driver and the versions that matter."""
    import torch

    facts: dict[str, Any] = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            facts[package] = version(package)
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts |= {"card": properties.name, "memory, GB": round(properties.total_memory / 1e9, 1),
                  "compute capability": f"{properties.major}.{properties.minor}", "CUDA": torch.version.cuda}
        with contextlib.suppress(OSError):
            facts["driver"] = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                                             capture_output=True, text=True, check=False).stdout.strip()
    return facts


def collect(folder: Path) -> dict[str, Any]:
    """Parts with their outcome, and the figures that they left."""
    parts: dict[str, Any] = {}
    for line in (folder / "parts.tsv").read_text(encoding="utf-8").splitlines():
        name, status, milliseconds = line.split("\t")
        outcome = OUTCOME.get(int(status), f"failed (status {status})")
        parts[name] = {"outcome": outcome, "seconds": int(milliseconds) / 1000}
        log = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        figures = folder / f"{name}.json"
        if figures.is_file():
            parts[name]["figures"] = json.loads(figures.read_text(encoding="utf-8"))
        elif name == "training":
            parts[name]["figures"] = training_figures(log)
        elif log.strip():
            parts[name]["last line"] = log.strip().splitlines()[-1]
    return parts


def training_figures(log: str) -> dict[str, Any]:
    """Loss at the first and the last line, and the median seconds per step of those between."""
    lines = [(int(step), float(loss), float(seconds)) for step, loss, seconds in STEP.findall(log)]
    if not lines:
        return {}
    seconds = sorted(line[2] for line in lines[1:] or lines)
    stalls = [line for line in log.splitlines() if "waiting for data" in line]
    return {"steps": lines[-1][0], "loss, first line": lines[0][1], "loss, last line": lines[-1][1],
            "seconds per step, median of the lines": seconds[len(seconds) // 2],
            "lines in which over 10% of the time waits for data": len(stalls)}


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| part | outcome | seconds |", "|---|---|---|"]
    lines += [f"| {name} | {part['outcome']} | {part['seconds']:.0f} |" for name, part in results.items()]
    for name, part in results.items():
        if part.get("figures"):
            lines += ["", f"| {name} | |", "|---|---|"]
            lines += [f"| {what} | {shown(value)} |" for what, value in part["figures"].items()]
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)


if __name__ == "__main__":
    run(main)
