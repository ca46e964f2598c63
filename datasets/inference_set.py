"""The masks that a run of inference reads: from a folder, or from a list of names.

    data = InferenceDataset("data/CelebAMask-HQ/mask_samples", data_config("celebahq_seg_to_3dface"), net.input)
    for item in read_all(data):
        x = net.input.tensor(item.planes)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from configs.data_configs import DataConfig
from datasets.masks.files import Encoding
from datasets.masks.lists import list_folder, list_names, resolve_mask_folder
from datasets.masks.maps import PreparedMask
from datasets.masks.mask_input import MaskInput
from datasets.poses import image_id, poses_of
from utils.errors import UserError
from utils.parallel import prefetch_map
from utils.progress import progress_bar

KEPT = 200  # masks that `read_all` keeps in memory after its check, a megabyte each at 512 px


@dataclass(frozen=True)
class MaskItem:
    """One mask."""

    path: Path
    planes: PreparedMask                               # for `MaskInput.tensor`
    pose: tuple[float, float] | None                   # (yaw, pitch), radians; None unless poses are wanted
    painted: UInt8[np.ndarray, "display display 3"]    # the mask as the network sees it, in the labels' colours

    @property
    def name(self) -> str:
        """The file's name without its suffix: the stem of the output."""
        return self.path.stem


class InferenceDataset(Dataset[MaskItem]):
    """Masks in the order of their paths as text (10 before 2), or shuffled; looked up at once, read when asked for.

    `paths` and `poses` may be read.
    """

    def __init__(self, data_path: str | Path, config: DataConfig, reader: MaskInput | None = None, *,
                 encoding: Encoding = "auto", display_size: int = 256, paths_list: str | Path | None = None,
                 use_original_pose: bool = False, n_images: int | None = None, use_shuffle: bool = False,
                 seed: int = 0) -> None:
        """
        Args:
            data_path: a folder of masks, or one mask.
            config: the data set whose folder names and pose format apply.
            reader: how masks are read, e.g. `net.input`; default: as by the published model of this data set.
            encoding: of the files, see `datasets.masks.files.read_mask`.
            display_size: pixels along each side of `MaskItem.painted`.
            paths_list: a text file with one mask of the folder per line (a name or an id): only these, in this order.
                Names that are not there are looked for in mask_samples/ beside it.
            use_original_pose: every mask needs a pose in the data set's pose file.
            n_images: at most this many (the first ones, after shuffling).
            use_shuffle, seed: a random order that depends on the seed alone.

        Raises:
            UserError: nothing there to read, or a mask, list entry or pose is missing.
        """
        if n_images is not None and n_images < 1:
            raise UserError(f"`n_images` {n_images}: give at least 1, or leave it out for all masks")
        self.reader = reader or MaskInput.of_data(config)
        self.encoding: Encoding = encoding
        self.display_size = display_size
        self.paths = _find_masks(Path(data_path), config, paths_list)
        if use_shuffle:
            order = np.random.default_rng(seed).permutation(len(self.paths))
            self.paths = [self.paths[i] for i in order]
        self.paths = self.paths[:n_images]
        self.poses = poses_of(self.paths, config, "leave out `use_original_pose`") if use_original_pose else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> MaskItem:
        """
        Raises:
            UserError: the file is no mask of this data set, or the network would see no face in it.

        Warns:
            MaskWarning: see `MaskInput.labels`.
        """
        path = self.paths[index]
        pose = None if self.poses is None else self.poses[image_id(path)]
        planes = self.reader.prepare(self.reader.labels(path, self.encoding), path)
        return MaskItem(path, planes, pose, self.reader.painted(planes, self.display_size))


def read_all(data: InferenceDataset, threads: int = 1, ahead: int = 1) -> Iterator[MaskItem]:
    """All masks in order. Each is read once before this returns, and a small set is not read again.

    So a file that is no mask is found before hours of rendering and not after; how far that is is shown.

    Args:
        threads: how many read at a time; 0: masks are read in the caller's thread.
        ahead: how many masks are read before they are asked for.

    Raises:
        UserError: see `InferenceDataset.__getitem__`.
    """
    def read(first: int) -> Iterator[MaskItem]:
        return prefetch_map(data.__getitem__, range(first, len(data)), threads, ahead)

    kept = [item for index, item in enumerate(progress_bar(read(0), "masks read", len(data))) if index < KEPT]
    return chain(kept, read(len(kept)))


def _find_masks(data_path: Path, config: DataConfig, paths_list: str | Path | None) -> list[Path]:
    """The masks to read, each of which exists."""
    if data_path.is_file():
        if paths_list is not None:
            raise UserError(f"`data_path` {data_path}: `paths_list` needs a folder here, not a file")
        return [data_path]
    folder = resolve_mask_folder(data_path, config)
    paths = list_folder(folder)
    return paths if paths_list is None else list_names(paths_list, folder, paths)
