"""Weight files of any origin: read without executing anything in them, and searched for the weights of one network.

    contents = read_file("generator.pth", objects=True)       # tensors and plain values
    find_weights(contents, "siren.final_layer.weight")        # names from `siren.` on, wherever they were kept
"""

from __future__ import annotations

import argparse
import datetime
import pickle
import re
import sys
import types
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError

# parts of a weight's name that wrappers put there: DDP and DataParallel, torch.compile, FSDP, activation checkpoints
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
MOST_CLASSES = 500  # that a pickled module may name
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files of PyTorch before 1.6 begin

# What plain values are made of, by the names that Python 3.10 to 3.14 and numpy 1 and 2 have for it in files. Not among
# them: numpy's object, structured and string types, whose bytes may hold addresses.
_PLAIN: list[Any] = [
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((np.zeros(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((np.zeros(1).__reduce_ex__(5)[0], f"numpy.{core}.numeric._frombuffer") for core in ("core", "_core")),
    np.ndarray, np.dtype, *{type(np.dtype(letter)) for letter in "?bBhHiIlLqQefdgFDGSUMm"},
    argparse.Namespace, types.SimpleNamespace, (lambda *_: {}, "collections.defaultdict"),
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone,
    *((lambda *parts: str(PurePosixPath(*parts)), f"{module}.{kind}") for module in ("pathlib", "pathlib._local")
      for kind in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath", "Path", "PurePath")),
    *((kind, f"builtins.{kind.__name__}") for kind in (int, float, bool, str, list, dict, tuple, frozenset, slice,
                                                       range)),
]


class _Object:
    """Stands for an object of a class that is not known here: what was stored in it, and no code of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                vars(self).update(part)


def read_file(path: str | Path, objects: bool = False) -> Any:
    """Load a file that holds tensors and plain values; nothing in it is executed.

    numpy's scalars become Python's, its arrays tensors (lists where they hold no numbers), namespaces dictionaries, and
    paths strings.

    Args:
        objects: whole pickled modules are read too: of each object, whatever its class, only what is stored in it is
            taken, a module as its state dict.

    Raises:
        UserError: missing, truncated, not a PyTorch file, or (without `objects`) it holds code or foreign objects.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file; see pretrained_models/README.md for where to get weights")
    allowed = list(_PLAIN)
    while True:
        try:
            with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle protocols: whether the file can be read is said below
                return _plain(torch.load(path, map_location="cpu", weights_only=True))
        except pickle.UnpicklingError as error:
            unknown = re.search(r"GLOBAL ([\w.<>]+) ", str(error))
            if objects and unknown and _of_a_network(unknown[1]) and len(allowed) < len(_PLAIN) + MOST_CLASSES:
                name = unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"
                allowed.append((type("Object", (_Object,), {}), name))
                continue
            raise UserError(f"{path}: {_refusal(path, error, unknown)}") from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(f"{path}: damaged or incomplete, it cannot be read as a PyTorch checkpoint; "
                            "get the file again") from error


def _of_a_network(name: str) -> bool:
    """Whether a pickled module may well name this. Of Python itself (torch leaves out `builtins.`) that are ways to
    write functions among a module's attributes; anything else is there to be executed, and none of it is."""
    known = name.partition(".")[0] in sys.stdlib_module_names or "." not in name
    return not known or name in ("getattr", "functools.partial")


def _refusal(path: Path, error: Exception, unknown: re.Match[str] | None) -> str:
    if unknown:
        return (f"refused, since it holds more than tensors and plain values ({unknown[1]}) and loading that would run "
                "code. If you trust its source, load it where that code is and save the weights alone: "
                "torch.save(net.state_dict(), FILE)")
    with path.open("rb") as file:
        if not zipfile.is_zipfile(path) and file.read(len(LEGACY)) != LEGACY:
            return "not a PyTorch checkpoint; get the file again"
    text = str(error).partition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
    if "Unsupported operand" in text:
        return ("written with a pickle protocol that PyTorch does not read safely; where it comes from, save it with "
                "torch.save(contents, FILE), without a protocol")
    reason = " ".join(text.replace("`", "").split())
    return (f"holds more than tensors and plain values ({reason}); where it comes from, save the weights alone: "
            "torch.save(net.state_dict(), FILE)")


def _plain(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """See `read_file`. What holds itself is left out there; `inside` are the containers around the value."""
    if id(value) in inside:
        return None
    inside = (*inside, id(value))
    match value:
        case _Object() if "_parameters" in vars(value):
            return _state_dict(value)
        case _Object() | argparse.Namespace() | types.SimpleNamespace():
            return _plain(vars(value), inside)
        case dict():
            return {_plain(key): _plain(item, inside) for key, item in value.items()}
        case list() | tuple():
            return type(value)([_plain(item, inside) for item in value])
        case np.generic():
            item = value.item()
            if isinstance(item, np.generic):  # Python has no number as long as this one
                return complex(item) if item.dtype.kind == "c" else float(item)
            return item
        case np.ndarray() if value.dtype.kind in "biufc":
            kind = {"g": np.float64, "G": np.complex128}.get(value.dtype.char, value.dtype.newbyteorder("="))
            return torch.from_numpy(value.astype(kind))
        case np.ndarray():
            return value.tolist()
    return value


def _state_dict(module: _Object) -> dict[str, Tensor]:
    """Of a pickled module, as `torch.nn.Module.state_dict` names it."""
    parts = vars(module)
    transient = parts.get("_non_persistent_buffers_set", ())
    own = {**parts["_parameters"], **{k: v for k, v in parts.get("_buffers", {}).items() if k not in transient}}
    out = {name: value.detach() for name, value in own.items() if isinstance(value, Tensor)}
    for name, child in parts.get("_modules", {}).items():
        if isinstance(child, _Object) and "_parameters" in vars(child):
            out |= {f"{name}.{key}": value for key, value in _state_dict(child).items()}
    return out


def unwrapped(state: Mapping[str, Any], wrappers: Collection[str] = WRAPPERS) -> dict[str, Any]:
    """Weights without what wrappers have put into their names, wherever it stands in them."""
    return {".".join(part for part in key.split(".") if part not in wrappers): value for key, value in state.items()}


def find_weights(contents: Any, anchor: str) -> tuple[str, dict[str, Tensor]] | None:
    """The weights of a network that has one called `anchor`, and under which entry they lie in a file's contents ('':
    they are the contents). None if there are none.

    Whatever stands before `anchor` in its name is taken off, and weights that do not begin so are left out: other
    networks, such as what stands on a detector's backbone. Entries called state_dict or model go before others.
    """
    if not isinstance(contents, dict):
        return None
    if all(isinstance(key, str) for key in contents):
        state = unwrapped({key: value for key, value in contents.items() if isinstance(value, Tensor)})
        found = next((key for key in state if f".{key}".endswith(f".{anchor}")), None)
        if found is not None:
            before = found.removesuffix(anchor)
            return "", {key.removeprefix(before): value for key, value in state.items() if key.startswith(before)}
    for name in sorted(contents, key=lambda name: name not in ("state_dict", "model")):
        if (inside := find_weights(contents[name], anchor)) is not None:
            return ".".join(filter(None, (str(name), inside[0]))), inside[1]
    return None


def described(contents: Any) -> str:
    """What a file holds, in a few words, for a message."""
    if not isinstance(contents, dict):
        return f"a {type(contents).__name__}"
    names = list(map(str, contents))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more entries" if len(names) > 4 else "") or "nothing"
