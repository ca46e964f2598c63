"""The rules of docs/architecture.md that a program can check: which room may import which, what a command loads."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from tiny_training import make_all

CORE = ("configs", "criteria", "datasets", "editing", "evaluation", "inference", "models", "options", "photos",
        "pretraining", "scripts", "semantics", "training", "utils", "web")
LIBRARY = ("models", "datasets", "criteria", "training", "evaluation", "inference", "editing", "photos", "pretraining",
           "semantics", "utils", "configs", "web")
# room -> rooms it may import, besides itself; nothing points back
ALLOWED = {
    "utils": set(),
    "configs": {"utils"},
    "options": {"configs", "utils"},
    "datasets": {"configs", "utils"},
    "models": {"configs", "datasets", "utils"},
    "criteria": {"configs", "models", "utils"},
    "evaluation": {"configs", "criteria", "datasets", "models", "utils"},
    "inference": {"configs", "datasets", "models", "utils"},
    "web": {"configs", "datasets", "editing", "inference", "models", "options", "photos", "utils"},
    "editing": {"configs", "datasets", "inference", "models", "options", "utils"},
    "photos": {"configs", "datasets", "editing", "evaluation", "models", "utils"},
    "training": {"configs", "criteria", "datasets", "evaluation", "models", "utils"},
    "pretraining": {"configs", "criteria", "datasets", "evaluation", "models", "options", "training", "utils"},
    "semantics": {"configs", "datasets", "evaluation", "models", "options", "training", "utils"},
    "scripts": set(CORE),
}
LONGEST = 300  # lines of a file


def library() -> list[Path]:
    """Without the command lines of rooms."""
    return [path for path in files_of(*LIBRARY) if path.name != "options.py"]


def files_of(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_point_one_way(room):
    assert files_of(room)
    for path in files_of(room):
        rooms = {name.partition(".")[0] for name in imports_of(path)} & {*CORE, "synth_heads"}
        assert rooms <= ALLOWED[room] | {room}, f"{path.relative_to(ROOT)} imports {rooms - ALLOWED[room] - {room}}"


def test_datasets_and_their_masks_are_read_without_the_model():
    """models imports datasets.masks alone: reading a mask is part of the model, reading photographs is not."""
    for path in files_of("models"):
        used = {name for name in imports_of(path) if name.startswith("datasets")}
        assert all(name.startswith("datasets.masks") or name == "datasets" for name in used), path


def test_no_cycle_between_files():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files_of(*CORE, "synth_heads")}
    graph = {name: {used for used in imports_of(path) if used in modules and used != name}
             for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for used in graph[name]:
                visit(used, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_library_errors_are_about_settings_not_flags():
    """Strings of the library name no flag; a command adds it (see `utils.cli.command`)."""
    for path in library():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        raised = [part for node in ast.walk(tree) if isinstance(node, ast.Call) for part in ast.walk(node)
                  if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        for part in raised:
            found = re.search(r"(?<![\w-])--[a-z]\w*", part.value)
            assert found is None or path.name == "cli.py", f"{path.relative_to(ROOT)}:{part.lineno}: {found[0]}"


def test_backticks_in_errors_mark_settings():
    """A command shows what stands in backticks as a flag: there must be one, of some command."""
    commands = "".join(path.read_text(encoding="utf-8") for path in files_of(*CORE, "synth_heads")
                       if path not in library())
    flags = set(re.findall(r'"--(\w+)"', commands)) | {"paths_list"}  # which commands call otherwise
    for path in (*library(), *files_of("synth_heads")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError":
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                settings = set(re.findall(r"`(\w+)`", " ".join(str(text) for text in texts)))
                assert settings <= flags, f"{path.relative_to(ROOT)}:{node.lineno}: {settings - flags} are no settings"


def test_files_are_short():
    for path in files_of(*CORE, "synth_heads", "tests"):
        if "golden" in path.parts:
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST, f"{path.relative_to(ROOT)} has {lines} lines"


LOADED = """
import json, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, {root!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("\\nMODULES", *sorted(sys.modules))
"""


def modules_loaded_by(script: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOADED.format(root=str(ROOT)), script, *arguments], cwd=ROOT,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_training_on_photographs_loads_nothing_of_the_synthetic_heads(tmp_path):
    loaded = modules_loaded_by("scripts/train3d.py", f"--exp_dir={tmp_path / 'run'}", "--max_steps=1",
                               "--val_interval=0", *make_all(tmp_path))
    assert "training.step" in loaded
    for name in ("synth_heads", "numba", "scipy.interpolate", "timm"):
        assert not any(module == name or module.startswith(f"{name}.") for module in loaded), name


def test_inference_loads_neither_training_nor_the_synthetic_heads(tmp_path, weights, faces):
    loaded = modules_loaded_by("scripts/inference3d.py", f"--exp_dir={tmp_path / 'out'}", f"--data_path={faces}",
                               f"--checkpoint_path={weights}", "--test_output_size=16", "--pigan_infer_ray_step=4",
                               "--device=cpu")
    assert "models.sem2nerf" in loaded
    for name in ("synth_heads", "training", "evaluation", "numba", "scipy", "timm", "lpips"):
        assert not any(module == name or module.startswith(f"{name}.") for module in loaded), name
