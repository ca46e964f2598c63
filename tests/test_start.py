"""What a run of inference loads before its first image."""

import subprocess
import sys

from conftest import ROOT

HEAVY = ("timm", "torchvision", "huggingface_hub", "torch._dynamo", "tensorboard", "lpips", "matplotlib")


def test_inference_loads_nothing_heavy():
    code = ("import sys; sys.path.insert(0, '.'); import inference.view_renderer, datasets.inference_set; "
            f"print([name for name in {HEAVY} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
