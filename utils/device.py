"""Which GPU, or whether the CPU, a program computes on: one choice for inference, evaluation and training."""

import torch

from utils.errors import UserError


def pick_device(name: str = "auto", gpu_ids: str = "0") -> torch.device:
    """The first of `pick_devices`."""
    return pick_devices(name, gpu_ids)[0]


def pick_devices(name: str = "auto", gpu_ids: str = "0") -> list[torch.device]:
    """The devices that one program may use.

    Args:
        name: `auto` (the GPUs of `gpu_ids` if PyTorch finds any, else the CPU), `cpu`, `cuda` (the GPUs of `gpu_ids`),
            or `cuda:N` (that GPU alone).
        gpu_ids: GPU numbers from 0, separated by commas; -1 among them: the CPU, if `name` is auto.

    Raises:
        UserError: the name or a number is wrong, or there is no such GPU.
    """
    ids = [part.strip() for part in gpu_ids.split(",") if part.strip()]
    if "-1" in ids:
        name, ids = ("cpu" if name == "auto" else name), ["0"]
    if not ids or not all(_is_number(part) for part in ids):
        raise UserError(f"`gpu_ids` {gpu_ids}: give GPU numbers separated by commas, such as 0 or 0,1")
    if _on_cpu(name):
        return [torch.device("cpu")]
    if ":" in name:
        return [_gpu(int(name.partition(":")[2]), f"`device` {name}")]
    return [_gpu(int(part), f"`gpu_ids` {gpu_ids}") for part in ids]


def pick_local_device(name: str, local_rank: int, own_gpus: bool = False) -> torch.device:
    """The device of one of several processes on a machine: the GPU of its number among them.

    Args:
        name: see `pick_devices`; a GPU's number in it is not used.
        local_rank: number of this process among those on this machine, from 0.
        own_gpus: the launcher may show each process only the GPUs that it has for itself, as SLURM's srun does. A
            single GPU is then this process's own, and has the number 0.

    Raises:
        UserError: the name is wrong, or there are more processes than GPUs.
    """
    if _on_cpu(name):
        return torch.device("cpu")
    return _gpu(0 if own_gpus and visible_gpus() == 1 else local_rank, f"process {local_rank} of this machine")


def visible_gpus() -> int:
    """How many GPUs PyTorch can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _on_cpu(name: str) -> bool:
    """Whether `name` means the CPU here.

    Raises:
        UserError: the name is none of those that `pick_devices` knows, or asks for a GPU where there is none.
    """
    kind, colon, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and _is_number(number))):
        raise UserError(f"`device` {name}: give auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not visible_gpus():
        raise UserError(f"`device` {name}: PyTorch finds no GPU here; use `device` cpu, or install PyTorch with CUDA")
    return kind == "cpu" or not visible_gpus()


def _gpu(index: int, asked_by: str) -> torch.device:
    count = visible_gpus()
    if index >= count:
        raise UserError(f"{asked_by}: GPU {index} (counted from 0) is asked for, and PyTorch finds {count} here "
                        "(nvidia-smi lists them)")
    return torch.device("cuda", index)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
