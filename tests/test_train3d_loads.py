"""What the paper's training loads: nothing that exists for computer-made heads alone."""

import subprocess
import sys

from conftest import ROOT


def test_training_on_photographs_loads_nothing_of_synthetic_heads():
    code = ("import sys; sys.path.insert(0, '.'); import scripts.train3d, training.loop, training.objectives.sem2nerf, "
            "training.runtime.start; print(sorted({name.split('.')[0] for name in sys.modules} & {'synth_heads', "
            "'numba'} | {'scipy.interpolate'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
