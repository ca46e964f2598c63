"""SynthHeads on disk, in the layout of CelebAMask-HQ: any number of heads, each seen from several sides.

    settings = Settings(num_heads=1000, views=4, size=256, seed=0)
    build_dataset(Path("data/SynthHeads"), settings, workers=8)

Everything follows from the settings: the same settings give the same bytes, however many processes work, and however
often the build is killed and continued. Picture `head * 100 + view` is view `view` of head `head`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt16
from PIL import Image
from scipy.special import ndtr, ndtri

from configs.data_configs import DATA_CONFIGS
from datasets.layout import DEPTH_FOLDER, DEPTH_UNIT
from datasets.split import FULL_SET, TEST, VIS
from synth_heads.data.card import dataset_card
from synth_heads.data.record import RECORD, VIEWS_A_HEAD, Record, Settings, read_record, save_record
from synth_heads.generator.head import Head
from synth_heads.generator.labels import LABEL_NAMES
from synth_heads.generator.latent import COLOUR, ENTRIES, LATENT_DIM, SHAPE, edit_latent
from synth_heads.generator.renderer import HeadView, render
from utils.errors import UserError
from utils.files import atomic_path, make_folder, write_text
from utils.parallel import process_map

_CONFIG = DATA_CONFIGS["synthheads_seg_to_3dface"]
IMAGES, PARTS, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", _CONFIG.mask_folders[0]
_IDS_A_FOLDER = 2000   # of the part images, as in CelebAMask-HQ
_RECORD_SECONDS = 20   # between two records of how far a build has come
_SPREAD_DEG = np.array([(17.0, 45.0), (9.0, 24.0)])  # yaw, pitch of the heads: standard deviation, limit


def draw_head(settings: Settings, head: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "views 2"]]:
    """The latent code (float32) of a head, and the head's yaw and pitch in all views, in the pose file's degrees.

    They depend on nothing but the seed and the head's number (the code also on palette and norms), so that a larger
    dataset begins with the smaller one. The angles are normally distributed, cut off at a limit and rounded to what the
    pose file holds: the file's poses are exact. With `edits` every second head is the one before with a part edited,
    seen from the same sides, and of the pairs every second one has a varied norm.
    """
    drawn, number = (head - head % 2, head // 2) if settings.edits else (head, head)
    rng = np.random.default_rng((settings.seed, drawn))
    z = rng.standard_normal(LATENT_DIM, dtype=np.float32)
    angles_at = rng.random((settings.views, 2))
    if settings.norms == "varied" and number % 2:
        for part, factor in zip((SHAPE, COLOUR), np.random.default_rng((settings.seed, drawn, 1)).random(2)):
            z[part] *= np.float32(factor)
    if drawn != head:
        z = edit_latent(z, np.random.default_rng((settings.seed, head, 2)))
    if settings.palette == "fixed":
        z[COLOUR] = 0
    spread, limit = _SPREAD_DEG.T
    low = ndtr(-limit / spread)
    angles = spread * ndtri(low + (1 - 2 * low) * angles_at)
    return z, angles.round(2) + 0.0  # + 0: never -0.0


def camera_angles(pose_deg: Float[np.ndarray, "*any 2"]) -> Float[np.ndarray, "*any 2"]:
    """The camera's yaw and pitch, radians, for a head's angles in the pose file (see `datasets.poses.read_poses`)."""
    return np.radians(90 + pose_deg * (-1.0, 1.0))


def split_heads(count: int, together: int = 1) -> dict[str, list[int]]:
    """Numbers of the heads for 'train', 'val' and 'test', by number; val and test are CelebAMask-HQ's share each.

    Each holds at least one head; two heads make one to train on and one to hold out, a single one is in every list.
    """
    held_out = max(1, round(count * TEST / FULL_SET / together)) * together
    heads = list(range(count))
    if count < 3 * together:
        return {"train": heads[:together], "val": heads[-together:], "test": heads[-together:]}
    return {"train": heads[:-2 * held_out], "val": heads[-2 * held_out:-held_out], "test": heads[-held_out:]}


def build_dataset(out: Path, settings: Settings, workers: int,
                  track: Callable[[Iterator[int], int], Iterator[int]] = lambda heads, before: heads) -> int:
    """Render what is missing in `out`, then write poses, codes, lists and the card.

    Args:
        workers: processes, each with a single thread.
        track: called with the numbers of the heads as they are finished and with how many were finished before, it
            passes the former on; for a progress bar.

    Returns:
        how many heads were finished before.

    Raises:
        UserError: the folder cannot be written to, or holds a dataset made with other settings.
    """
    record = read_record(out / RECORD, settings)
    for folder in (IMAGES, MASKS if settings.merged else PARTS, *([DEPTH_FOLDER] if settings.depth else [])):
        make_folder(out / folder)
    before = record.heads
    jobs = [(out, settings, head) for head in range(before, settings.num_heads)]

    def heads() -> Iterator[int]:
        nonlocal record
        saved = time.monotonic()
        for counts in process_map(render_head, jobs, min(workers, len(jobs))):
            record = record.plus(counts)
            if time.monotonic() - saved >= _RECORD_SECONDS:
                save_record(out / RECORD, record, settings)
                saved = time.monotonic()
            yield record.heads - 1

    if jobs:
        if not before:
            save_record(out / RECORD, record, settings)  # from now on the folder has settings
        for _ in track(heads(), before):
            pass
        save_record(out / RECORD, record, settings)
    _write_summaries(out, settings, record)
    return before


def render_head(job: tuple[Path, Settings, int]) -> Int[np.ndarray, "2 labels"]:
    """Draw and write every view of head `job[2]`. Returns each label's pixels, and the images that show it."""
    out, settings, number = job
    z, poses_deg = draw_head(settings, number)
    head = Head.from_latent(z)
    counts = np.zeros((2, len(LABEL_NAMES)), np.int64)
    for index, (yaw, pitch) in enumerate(camera_angles(poses_deg)):
        view = render(head, float(yaw), float(pitch), settings.size)
        if settings.mask_size:
            large = render(head, float(yaw), float(pitch), settings.mask_size, supersample=1).labels
            view = replace(view, labels=large)
        write_view(out, number * VIEWS_A_HEAD + index, view, settings)
        pixels = np.bincount(view.labels.ravel(), minlength=len(LABEL_NAMES))
        counts += np.stack([pixels, pixels > 0])
    return counts


def write_view(out: Path, identity: int, view: HeadView, settings: Settings) -> None:
    """Write one image with its parts (or its combined mask) and, if asked for, its depth.

    Raises:
        UserError: a file cannot be written.
    """
    if settings.merged:
        _save(view.labels, out / MASKS / f"{identity}.png")
    else:
        folder = out / PARTS / str(identity // _IDS_A_FOLDER)
        folder.mkdir(exist_ok=True)
        for label in np.unique(view.labels[view.labels > 0]):
            part = np.where(view.labels == label, np.uint8(255), np.uint8(0))
            _save(part, folder / f"{identity:05d}_{LABEL_NAMES[label]}.png")
    if settings.depth:
        _save(pack_depth(view.depth), out / DEPTH_FOLDER / f"{identity}.png")
    _save(view.rgb, out / IMAGES / f"{identity}.jpg", quality=95, subsampling=0)


def pack_depth(depth: Float[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    """Distances, infinite on the background -> 16-bit steps of DEPTH_UNIT, 0 on the background."""
    return np.where(np.isfinite(depth), np.round(depth / DEPTH_UNIT), 0).astype(np.uint16)


def write_poses(path: Path, poses_deg: dict[int, Float[np.ndarray, "2"]]) -> None:
    """Write a pose file as CelebAMask-HQ has it: id -> (yaw, pitch), the head's angles in degrees; roll is 0."""
    lines = [f"{identity}.jpg {yaw:.2f} {pitch:.2f} 0.00\n" for identity, (yaw, pitch) in poses_deg.items()]
    write_text(path, f"{len(lines)}\nYaw Pitch Roll\n{''.join(lines)}")


def _write_summaries(out: Path, settings: Settings, record: Record) -> None:
    heads = range(settings.num_heads)
    codes, poses_deg = (np.stack(column) for column in zip(*[draw_head(settings, head) for head in heads], strict=True))
    ids = np.array([[head * VIEWS_A_HEAD + view for view in range(settings.views)] for head in heads])
    write_poses(out / _CONFIG.pose_file, dict(zip(ids.ravel().tolist(), poses_deg.reshape(-1, 2), strict=True)))
    names = np.array([f"{entry.group}/{entry.name}" for entry in ENTRIES])
    with atomic_path(out / "latents.npz") as temporary:
        np.savez(temporary, z=codes, names=names, ids=ids, camera=camera_angles(poses_deg))
    splits = split_heads(settings.num_heads, 2 if settings.edits else 1)
    members = {name: list(chain.from_iterable(ids[numbers].tolist())) for name, numbers in splits.items()}
    held = members["val"]
    members["vis"] = [held[i * len(held) // VIS] for i in range(VIS)] if len(held) > VIS else held
    for name, images in members.items():
        write_text(out / f"{name}_paths.txt", "".join(f"{identity}.png\n" for identity in images))
    write_text(out / "dataset_card.md", dataset_card(settings, record, splits))


def _save(pixels: np.ndarray, path: Path, **options: object) -> None:
    """Write an image under a temporary name and rename it; the record, not each file, waits for the disk."""
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        Image.fromarray(pixels).save(temporary, **options)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); make room on the disk, then run the "
                        "same command again: it continues") from error
