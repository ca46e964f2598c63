"""Which processors a run uses."""

import torch

from utils.errors import UserError


def pick_device(name: str, gpu_ids: str = "0") -> torch.device:
    """`auto` (the first of `gpu_ids` if there is a GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        UserError: the name is wrong or there is no such GPU.
    """
    ids = [part.strip() for part in gpu_ids.split(",") if part.strip()]
    if not ids or not all(part.isdigit() for part in ids):
        raise UserError(f"`gpu_ids` {gpu_ids}: give GPU numbers separated by commas, such as 0 or 0,1")
    if name == "auto":
        name = f"cuda:{ids[0]}" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise UserError(f"`device` {name}: give auto, cpu, cuda or cuda:N")
    if kind == "cuda":
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise UserError(f"`device` {name}: PyTorch finds {count} GPUs here; use `device` cpu or another number "
                            "(nvidia-smi lists them)")
    return torch.device(name)


def pick_devices(name: str, gpu_ids: str = "0") -> list[torch.device]:
    """All of `gpu_ids` if there are GPUs and the name is `auto`, else the one that `pick_device` gives.

    Raises:
        UserError: see `pick_device`.
    """
    first = pick_device(name, gpu_ids)
    if name != "auto" or first.type != "cuda":
        return [first]
    return [pick_device(f"cuda:{part.strip()}") for part in gpu_ids.split(",") if part.strip()]
