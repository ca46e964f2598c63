"""A device made of Python, for machines without a GPU: its tensors refuse the company of the CPU's.

Take the fixture `pretend` of conftest.py and move modules to its device: whatever asks `device.type != "cpu"` goes the
way that it goes on a GPU.

    def test_something(pretend):
        net = copy.deepcopy(net).to(pretend.device)
        with pretend.counting() as waits:                   # where would the host have waited for a GPU?
            loss = step(net, batch)
        assert sum(waits.values()) <= 3, waits              # {"aten::nonzero": 2, "upload": 1, ...}

Every tensor keeps its values in a tensor of the CPU, so results can be compared with the CPU's, and autograd works. An
operation that mixes the two devices where CUDA would refuse to, and one that only CPUs have, raises. What it cannot
show: speed, streams, pinned memory, NCCL, Triton.

It needs the Python hooks of PyTorch 2.9 (`torch.utils.backend_registration`), and that there is no real GPU; see
`why_not()`.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretend"
# CUDA, too, takes indices on the CPU and copies between devices
MAY_MIX = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::copy_",
           "aten::_to_copy"}
# the size or the value of the result has to come back to the host before it can go on
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2",
         "aten::unique_dim", "aten::unique_consecutive", "aten::bincount", "aten::is_nonzero",
         "aten::repeat_interleave", "aten::_linalg_check_errors", "aten::histc"}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}  # by a mask: by nonzero
COPIES = {"aten::copy_", "aten::_to_copy"}
DOWNLOAD, UPLOAD = "download", "upload"  # a copy to the CPU, and one from it that is not `non_blocking`
# what `torch.autocast` casts on CUDA
LOWER_PRECISION = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "conv2d", "scaled_dot_product_attention")
FULL_PRECISION = ("layer_norm", "group_norm", "softmax.int", "log_softmax.int", "mse_loss", "l1_loss", "softplus",
                  "exp", "log", "pow.Tensor_Scalar")


class PretendTensor(torch.Tensor):
    """Seen from outside a tensor of the device; `value` is the tensor of the CPU that it stands for."""

    value: torch.Tensor

    @staticmethod
    def __new__(cls, value: torch.Tensor) -> "PretendTensor":
        return torch.Tensor._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), storage_offset=value.storage_offset(), dtype=value.dtype,
            layout=value.layout, device=torch.device(NAME, 0))

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value

    @property
    def data(self) -> torch.Tensor:
        return self.detach()

    @data.setter
    def data(self, other: "PretendTensor") -> None:
        torch.Tensor.data.__set__(self, other)
        self.value = other.value

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.dim() == 0 else self.cpu(), spec)

    def __repr__(self, **_: Any) -> str:
        return f"{self.value!r} on the {NAME} device"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In a file it is a tensor of the CPU, as everything is when a checkpoint is read."""
        return self.value.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})


class PretendDevice(TorchDispatchMode):
    """While it is entered, tensors can be made on the device and moved to it."""

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device(NAME, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _run(func, args, kwargs or {})

    @contextlib.contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """How often the host would wait for a GPU, by operation; copies are named `download` and `upload`."""
        counted: Counter[str] = Counter()
        _counters.append(counted)
        try:
            yield counted
        finally:
            _counters.remove(counted)


_libraries: list[torch.library.Library] = []
_users: list[None] = []  # as long as it is in use
_counters: list[Counter[str]] = []


def why_not() -> str | None:
    """Why this machine has no such device, if it has none."""
    if torch.cuda.is_available():  # autograd and pinned memory serve one kind of device per process
        return "a real GPU is there, which would not work beside the pretended one"
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        return "this PyTorch has no devices made of Python; 2.9 has"
    return None


def enable() -> None:
    """Register the device, where that can be; before the first gradient of the process is computed."""
    if why_not() or torch._C._get_privateuse1_backend_name() == NAME:
        return

    class Module(backend_registration._DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16]

        def is_available(self) -> bool:  # `DataParallel` would take it
            return bool(_users)

    backend_registration._setup_privateuseone_for_python_backend(NAME, Module())
    _enable_autocast()


def _enable_autocast() -> None:
    """`torch.autocast` as on CUDA, for the operations that matter here: products in half precision, norms and sums of
    exponentials in float32."""
    key = "AutocastPrivateUse1"
    others, aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    others.fallback(torch.library.fallthrough_kernel, key)
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def register(name: str, dtype: torch.dtype | None) -> None:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")

        def cast(*args: Any, **kwargs: Any) -> Any:
            wanted = dtype or torch.get_autocast_dtype(NAME)
            with torch._C._ExcludeDispatchKeyGuard(keys):
                args, kwargs = _mapped(lambda x: x.to(wanted) if x.is_floating_point() else x, (args, kwargs))
                return operation(*args, **kwargs)

        aten.impl(name, cast, key)

    for name in LOWER_PRECISION:
        register(name, None)
    for name in FULL_PRECISION:
        register(name, torch.float32)
    _libraries.extend((others, aten))  # what they register goes with them


@contextlib.contextmanager
def entered() -> Iterator[PretendDevice]:
    """The device (see `enable`), for the length of a `with`; after it PyTorch is as before."""
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # or Module.to would keep Parameter's class
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) is made on the CPU and copied, as on CUDA
    _users.append(None)
    try:
        with PretendDevice() as device:
            yield device
    finally:
        _users.pop()
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        torch._C._set_only_lift_cpu_tensors(False)


def _mapped(function: Callable[[torch.Tensor], Any], values: Any) -> Any:
    """`function` of every tensor in nested lists, tuples and dictionaries."""
    if isinstance(values, torch.Tensor):
        return function(values)
    if isinstance(values, (list, tuple)):
        return type(values)([_mapped(function, value) for value in values])
    return {key: _mapped(function, value) for key, value in values.items()} if isinstance(values, dict) else values


def _run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    name, device = func._schema.name, kwargs.get("device")
    given: list[torch.Tensor] = []
    _mapped(given.append, (args, kwargs))
    inside = [x for x in given if isinstance(x, PretendTensor)]
    if inside and name not in MAY_MIX:
        for x in given:  # a single number of the CPU is passed along with the operation, on CUDA too
            if x.dim() > 0 and not isinstance(x, PretendTensor):
                raise RuntimeError(f"{name}: a CPU tensor of shape {tuple(x.shape)} among tensors of the device")
    if inside and name.startswith("mkldnn::"):
        raise RuntimeError(f"{name} is for the CPU alone")
    stays = bool(inside) if device is None else torch.device(device).type == NAME
    if name == "aten::copy_":  # it is the first one's device that counts
        stays = isinstance(args[0], PretendTensor)
    for counted in _counters:
        _count(counted, name, args, kwargs, bool(inside), stays)
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = _mapped(lambda x: getattr(x, "value", x), (args, kwargs))
    if func is torch.ops.aten.mm.dtype:  # with float32 sums; only CUDA has it
        out = (args[0].float() @ args[1].float()).to(args[2])
    else:
        out = func(*args, **kwargs)
    known = {id(x.value): x for x in inside} if func._schema.is_mutable else {}

    def seen(x: torch.Tensor) -> torch.Tensor:
        if id(x) in known:  # what was changed in place
            return known[id(x)]
        return PretendTensor(x) if stays else x

    return _mapped(seen, out)


def _count(counted: Counter[str], name: str, args: tuple, kwargs: dict[str, Any], inside: bool, stays: bool) -> None:
    if name in COPIES:
        source = args[1] if name == "aten::copy_" else args[0]
        from_device = isinstance(source, PretendTensor)
        if from_device and not stays:
            counted[DOWNLOAD] += 1
        elif stays and not from_device and not kwargs.get("non_blocking", len(args) > 2 and args[2]):
            counted[UPLOAD] += 1
        return
    if name == "aten::cumprod" and inside and torch.is_grad_enabled() and args[0].requires_grad:
        counted["gradient of cumprod"] += 1  # it looks for zeros, but not among the tensors of a subclass
    by_mask = name in INDEXING and any(x is not None and x.dtype == torch.bool for x in args[1])
    if inside and (name in WAITS or by_mask):
        counted[name] += 1
