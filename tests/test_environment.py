"""What the code imports is what the requirements name, and it can be imported on other systems."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE_OF_MODULE = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "imageio_ffmpeg": "imageio-ffmpeg",
    "facenet_pytorch": "facenet-pytorch", "skimage": "scikit-image",
    "torch_fidelity": "torch-fidelity", "h11": "uvicorn",
    "triton": "torch"}  # Triton is in PyTorch's wheels with CUDA, not in all
CORE = ["configs", "criteria", "datasets", "editing", "evaluation", "inference", "models", "options", "photos",
        "scripts", "training", "utils", "web"]
# imported by scripts/editor.py alone, which asks for its packages first
SERVER = ROOT / "web" / "server"


def names(lines):
    lines = (line.partition("#")[0].strip() for line in lines)
    return {re.split(r"[<>=!~ \[]", line)[0].lower() for line in lines if line and not line.startswith("-")}


def read(name):
    return (ROOT / "environment" / name).read_text().splitlines()


def modules_imported_by(folder):
    """(module, whether it is imported only once a function that needs it is called, file)."""
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        inside = {inner for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], node in inside, path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield node.module.partition(".")[0], node in inside, path


@pytest.mark.parametrize("folder", [*CORE, "synth_heads"])
def test_every_import_is_a_requirement(folder):
    own = {path.name for path in ROOT.iterdir() if path.is_dir()}
    core, _, for_heads = "\n".join(read("requirements.txt")).partition("# For synth_heads alone")
    required = names((core if folder in CORE else core + for_heads).splitlines())
    assert "numba" in names(for_heads.splitlines())
    # features that say what to install when they are asked for; some without the dependencies that they would bring
    alone = set(re.findall(r"--no-deps ([\w-]+)", "\n".join(read("README.md"))))
    optional = names(read("requirements-dev.txt")) | alone
    for module, lazily, path in modules_imported_by(folder):
        package = PACKAGE_OF_MODULE.get(module, module).lower()
        asked_for = lazily or SERVER in path.parents
        assert package in required | own | set(sys.stdlib_module_names) or (asked_for and package in optional), (
            f"{Path(path).relative_to(ROOT)} imports {module}")


def test_nothing_needs_triton_to_be_imported():
    """Files of its kernels are imported by functions, where there is a GPU."""
    kernels = {path.stem for folder in CORE for module, lazily, path in modules_imported_by(folder)
               if module == "triton" and not lazily}
    assert "march_kernel" in kernels
    for path in (ROOT / "models").rglob("*.py"):
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        imported = {name for node in top for name in (
            *(alias.name for alias in node.names), *(getattr(node, "module", None) or "").split("."))}
        assert path.stem in kernels or not imported & kernels, f"{path.relative_to(ROOT)} imports {imported & kernels}"


def test_training_starts_where_no_user_signals_exist():
    """Windows has no SIGUSR1."""
    code = "import signal; del signal.SIGUSR1; import training.loop, training.loading; print('imported')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.stdout == "imported\n", done.stderr
