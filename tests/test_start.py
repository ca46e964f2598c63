"""What a run of inference loads before its first image."""

import subprocess
import sys

import torch
from conftest import ROOT

from models.encoders.swin_encoder import SwinEncoder
from models.encoders.timm_swin import load_swin

HEAVY = ("timm", "torchvision", "huggingface_hub", "torch._dynamo", "tensorboard", "lpips", "matplotlib")


def test_inference_loads_nothing_heavy():
    code = ("import sys; sys.path.insert(0, '.'); import inference.view_renderer, datasets.inference_set; "
            f"print([name for name in {HEAVY} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_swin_loaded_alone_is_the_one_of_the_whole_package(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    alone = load_swin()
    assert "timm" not in sys.modules
    from timm.models.swin_transformer import SwinTransformer

    assert load_swin() is SwinTransformer is not alone
    settings = {"img_size": 56, "patch_size": 4, "in_chans": 2, "embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2),
                "num_classes": 5}
    models = [swin(**settings).eval() for swin in (alone, SwinTransformer)]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.rand(2, 2, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(models[0](x), models[1](x))
    assert SwinEncoder.__mro__[1].__name__ == "SwinTransformer"
