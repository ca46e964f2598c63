"""timm's Swin transformer, and nothing else of timm.

`import timm` reads a hundred other architectures, the Hugging Face client, torchvision and PyTorch's compiler, which
takes longer than all else that happens before a first image. A Swin needs none of them. So its module is imported
while the packages around it are empty shells; then all of that is forgotten again, and whoever imports timm or
torchvision later gets them whole.
"""

import importlib
import importlib.util
import sys
from types import ModuleType

SHELLS = ("timm", "timm.models", "timm.data")
NAMES_FROM_TORCHVISION = {"torchvision.ops.misc": ("FrozenBatchNorm2d",)}  # named in timm's table of norms, not used


def load_swin() -> type:
    """The class `timm.models.swin_transformer.SwinTransformer`; imported plainly if the short way fails."""
    before = {name: module for name, module in sys.modules.items() if _concerned(name)}
    if "timm" not in before:
        for name in before:
            del sys.modules[name]
        try:
            return _load_alone()
        except (ImportError, AttributeError):  # a timm that is built otherwise
            pass
        finally:
            for name in [name for name in sys.modules if _concerned(name)]:
                del sys.modules[name]
            sys.modules.update(before)
    return importlib.import_module("timm.models.swin_transformer").SwinTransformer


def _concerned(name: str) -> bool:
    return name.partition(".")[0] in ("timm", "torchvision", "huggingface_hub")


def _load_alone() -> type:
    root = importlib.util.find_spec("timm").submodule_search_locations[0]
    for name in SHELLS:
        shell = sys.modules[name] = ModuleType(name)
        shell.__path__ = ["/".join([root, *name.split(".")[1:]])]
    vars(sys.modules["timm.data"]).update(vars(importlib.import_module("timm.data.constants")))
    sys.modules["timm"].__version__ = importlib.import_module("timm.version").__version__
    for name, members in NAMES_FROM_TORCHVISION.items():
        module = sys.modules[name] = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (), {}))
        while "." in name:
            name = name.rpartition(".")[0]
            sys.modules[name] = ModuleType(name)
    sys.modules["huggingface_hub"] = None  # an optional import then fails at once
    return importlib.import_module("timm.models.swin_transformer").SwinTransformer
