"""Which masks of a data set train, and which validate and test: the lists of its authors, else a split of our own.

    <data_root>/train_paths.txt, val_paths.txt, test_paths.txt, vis_paths.txt    the lists that come with the data set
    <data_root>/own_train_paths.txt, own_val_paths.txt ...                       ours, where there are none

No mask is in two of our lists. The authors validated on test faces; `find_masks` leaves those out.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from configs.data_configs import DataConfig
from datasets.masks.lists import entry_stem, find_mask_folder, list_folder, list_names, read_entries
from datasets.poses import image_id
from utils.errors import UserError, settings_named
from utils.files import here, write_text

FULL_SET, TEST, VAL = 30_000, 2_000, 500     # a set of another size has the same shares
VIS = 16                                     # masks to look at, of the test list
OWN = "own_"
HELD_OUT = 50                                # one image in 50 is held out for validation where no list says which


def find_list(root: Path, side: str) -> Path | None:
    """The list of a side ('train', 'val', 'test', 'vis'): the one that came with the data set, else our own."""
    names = (f"{side}_paths.txt", f"{OWN}{side}_paths.txt")
    return next((root / name for name in names if (root / name).is_file()), None)


def list_digest(path: str | Path) -> str:
    """SHA-256 of a list file's names, whatever their order, suffixes and line ends."""
    names = {entry_stem(entry) for _, entry in read_entries(path)}
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def describe(path: str | Path, config: DataConfig) -> str:
    """A list in words, for reports and tables; those of the authors are known by their digests."""
    name, found = Path(path).name, list_digest(path)
    for side, known in config.authors_lists:
        if known == found:
            return f"the authors' {side} list ({name})"
    if name.startswith(OWN) or (config.authors_lists and name.endswith("_paths.txt")):
        return f"own split ({name})"
    return name


def test_ids(root: Path) -> set[int]:
    """Image ids of the test list; none where there is no list.

    Raises:
        UserError: the list cannot be read.
    """
    path = find_list(root, "test")
    ids = set()
    for _, entry in read_entries(path) if path else ():
        try:
            ids.add(image_id(entry_stem(entry)))
        except UserError:
            continue  # a name without an id: no image of a training has it
    return ids


def split_ids(ids: Sequence[int]) -> dict[str, list[int]]:
    """Sorted ids -> {'train', 'val', 'test', 'vis'}: by number, so that every machine has the same split.

    Of 30,000 faces the last 2,000 test, the 500 before them validate, and the others train; of fewer, the same shares,
    at least one of each (a set of two has no validation faces, a single face trains). `vis` is 16 of the test faces.
    """
    ids = sorted(ids)
    test = max(1, round(len(ids) * TEST / FULL_SET)) if len(ids) > 1 else 0
    val = max(1, round(len(ids) * VAL / FULL_SET)) if len(ids) > 2 else 0
    held_out = ids[len(ids) - test:]
    vis = [held_out[i * test // VIS] for i in range(VIS)] if test > VIS else held_out
    return {"train": ids[:len(ids) - test - val], "val": ids[len(ids) - test - val:len(ids) - test], "test": held_out,
            "vis": vis}


def write_lists(root: Path, ids: Sequence[int]) -> str:
    """Write our own lists of these masks, unless the data set came with lists; what was done, in words.

    Lists of ours from an earlier time are brought up to date.

    Raises:
        UserError: a list cannot be written.
    """
    if all((root / f"{side}_paths.txt").is_file() for side in ("train", "test")):
        return "lists: those that are there (train_paths.txt, test_paths.txt)"
    counts, renewed = [], False
    for side, members in split_ids(ids).items():
        path = root / f"{OWN}{side}_paths.txt"
        text = "".join(f"{number}.png\n" for number in members)
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        renewed |= before not in (None, text)
        if members and before != text:
            write_text(path, text)
        elif not members:
            path.unlink(missing_ok=True)
        counts.append(f"{side} {len(members)}")
    return (f"lists: own split in {root}/{OWN}*_paths.txt ({', '.join(counts)})"
            + ("; they were of other masks, and are new: weights trained with the earlier lists may have been trained "
               "on faces of the new test list" if renewed else ""))


def find_masks(root: Path, config: DataConfig, train_list: str | None = None, val_list: str | None = None
               ) -> tuple[list[Path], list[Path], str]:
    """Masks for training, masks for validation, and where they come from in words.

    Lists given win over the data root's own. Without a list for validation, every 50th image (at least one, if there
    are two) of the others is held out; where only one list is given, the other side takes the remaining masks. Images
    of the data root's test list are never in the validation set, and train only if a list says so.

    Raises:
        UserError: a folder or list is missing or empty, or names a mask that is not there.
    """
    if not root.is_dir():
        raise UserError(f"`data_root` {root}: there is no such folder{here(root)}; docs/training.md says how data sets "
                        "are laid out and how to get or make one")
    folder = find_mask_folder(root, config)
    if folder is None:
        raise UserError(f"`data_root` {root}: it has no folder {config.mask_folders[0]}/ of label PNGs; make it with "
                        "scripts/build_celeba_mask.py, or give the data set's folder")
    with settings_named(data_path="data_root"):
        paths = list_folder(folder)
    test = test_ids(root)

    def read(setting: str, file: Path | None) -> list[Path] | None:
        if file is None:
            return None
        with settings_named(paths_list=setting, data_path="data_root"):
            return list_names(file, folder, paths)

    if train_list or val_list:
        lists = {side: Path(file) if file else None for side, file in (("train", train_list), ("val", val_list))}
    else:
        lists = {side: find_list(root, side) for side in ("train", "val")}
        if lists["train"] is None:
            lists["val"] = None
        elif lists["train"].name.startswith(OWN):  # then a val_paths.txt is not of this split
            lists["val"] = root / f"{OWN}val_paths.txt" if (root / f"{OWN}val_paths.txt").is_file() else None
    train = read("train_paths_conf", lists["train"])
    val = read("test_paths_conf", lists["val"])
    words = [describe(file, config) for file in lists.values() if file]

    def others(taken: list[Path] | None) -> list[Path]:
        ids = {image_id(path) for path in taken or ()} | test
        return [path for path in paths if image_id(path) not in ids]

    if val is not None:
        if not (train_list or val_list):  # mask_samples/ may hold masks without a photograph here
            known = {image_id(path) for path in paths}
            val = [path for path in val if image_id(path) in known]
        tested = [path for path in val if image_id(path) in test]
        if tested:
            words.append(f"without {len(tested)} test masks of the validation list")
            val = [path for path in val if image_id(path) not in test]
    elif train is not None:
        val = others(train)
        words.append("the remaining masks")
    if train is None:
        train = others(val)
        words.append("the remaining masks" if val else "no lists")
    elif leaked := len(test & {image_id(path) for path in train}):
        words.append(f"{leaked} images of the test list are trained on")
    if not val:
        ids = sorted({image_id(path) for path in train})
        held_out = set(ids[::HELD_OUT]) if len(ids) > 1 else set()
        val = [path for path in train if image_id(path) in held_out]
        train = [path for path in train if image_id(path) not in held_out]
        words.append(f"every {HELD_OUT}th is held out")
    if not train:
        raise UserError(f"{lists['val'] or root}: validation and test take all masks of {folder}; give "
                        "`train_paths_conf` as well")
    return train, val, ", ".join(words)
