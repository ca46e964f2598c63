"""Photographs -> aligned faces with masks and poses, in the layout that every other script reads.

    <out>/images/1.png, 2.png ...           aligned faces
    <out>/mask/1.png ...                    their labels (CelebAMask-HQ, 19)
    <out>/CelebAMask-HQ-pose-anno.txt       yaw and pitch from the five points of the face
    <out>/own_*_paths.txt                   lists for training, validation and test
    <out>/sources.txt                       which photograph became which image
    <out>/report.png                        crops and masks to look at
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from configs.label_spaces import LABEL_SPACES, LabelSpace
from datasets.masks.files import NoFaceError, check_face
from datasets.photographs import open_photograph
from datasets.split import write_lists
from photos.alignment import align, face_square
from photos.detectors import Detect, Face
from photos.pose import head_pose
from utils.errors import UserError
from utils.files import atomic_path, write_text
from utils.images import to_tensor
from utils.panels import mask_image, panel

SPACE = LABEL_SPACES["CelebAMask_HQ"]
POSE_FILE = "CelebAMask-HQ-pose-anno.txt"
LEAST_FACE = 64         # pixels along a side of a face's square; smaller ones are enlarged blots
DARK = 35               # mean of 255 in the aligned face
PROFILE_DEG = 45        # yaw from which on the farther half of a face is hidden
OTHER_FACE = 0.5        # a second face of at least this share of the first one's width is worth a word

Segment = Callable[[torch.Tensor], torch.Tensor]    # (1, 3, size, size) in [-1, 1] -> (1, size, size) merged labels


@dataclass(frozen=True)
class Prepared:
    """An aligned face."""

    source: Path
    image: UInt8[np.ndarray, "size size 3"]
    labels: UInt8[np.ndarray, "size size"]      # of CelebAMask_HQ
    pose: tuple[float, float]                   # yaw and pitch of the head, degrees
    remarks: tuple[str, ...] = ()


class NotPrepared(UserError):
    """A photograph that no face can be taken from; the message says why, in one line."""


def prepare(path: Path, detect: Detect, segment: Segment, size: int) -> Prepared:
    """One photograph.

    Raises:
        NotPrepared: it cannot be read, or shows no face that could be used.
    """
    try:
        photo = open_photograph(path)
    except UserError as error:
        raise NotPrepared(str(error)) from error
    faces = detect(np.asarray(photo))
    if not faces:
        raise NotPrepared(f"{path}: no face was found in it; give a photograph that shows one from the front, or a "
                          "part of it")
    face, remarks = chosen(faces)
    side, pose = face_square(face.landmarks).side, head_pose(face.landmarks)
    if side < LEAST_FACE:
        raise NotPrepared(f"{path}: its face is {side:.0f} pixels wide, and {LEAST_FACE} are needed; give a larger "
                          "photograph")
    if abs(pose[0]) > PROFILE_DEG:
        raise NotPrepared(f"{path}: the face is turned aside by {abs(pose[0]):.0f} degrees, and half of it is hidden; "
                          "give one that looks at the camera")
    image = align(photo, face.landmarks, size)
    if image.mean() < DARK:
        raise NotPrepared(f"{path}: the face is very dark (mean {image.mean():.0f} of 255); give a brighter photograph")
    labels = split_sides(segment(to_tensor(image)[None])[0].cpu().numpy())
    try:
        check_face(path, labels, SPACE)
    except NoFaceError as error:
        raise NotPrepared(f"{path}: the face segmenter finds no face in the aligned crop; look whether it fits this "
                          "kind of picture (`face_segmenter`)") from error
    return Prepared(path, image, labels, pose, remarks)


def chosen(faces: Sequence[Face]) -> tuple[Face, tuple[str, ...]]:
    """The largest face, and a word where there are others of its kind."""
    ordered = sorted(faces, key=lambda face: -face_square(face.landmarks).side)
    widths = [face_square(face.landmarks).side for face in ordered]
    others = sum(width >= OTHER_FACE * widths[0] for width in widths[1:])
    return ordered[0], (f"{others + 1} faces; the largest was taken",) if others else ()


def split_sides(merged: UInt8[np.ndarray, "size size"]) -> UInt8[np.ndarray, "size size"]:
    """Labels of CelebAMask_HQ_merged -> of CelebAMask_HQ: an eye, a brow or an ear is the person's right one where it
    lies on the left of the face's middle in the image."""
    assert SPACE.merge is not None
    where = [SPACE.merge.index(label) for label in range(max(SPACE.merge) + 1)]  # the left one where there are two
    labels = np.array(where, np.uint8)[merged]
    columns = np.nonzero(labels == SPACE.index("nose"))[1]
    if not len(columns):
        columns = np.nonzero(labels == SPACE.index("skin"))[1]
    middle = columns.mean() if len(columns) else labels.shape[1] / 2
    left_in_image = np.arange(labels.shape[1])[None] < middle
    for part in ("eye", "brow", "ear"):
        labels[(labels == SPACE.index(f"l_{part}")) & left_in_image] = SPACE.index(f"r_{part}")
    return labels


def prepare_all(paths: Sequence[Path], out: Path, detect: Detect, segment: Segment, size: int,
                say: Callable[[str], None]) -> list[Prepared]:
    """Every photograph that can be used, written as it is found; one line for each of the others.

    Raises:
        UserError: nothing could be prepared, or a file cannot be written.
    """
    done: list[Prepared] = []
    for path in paths:
        try:
            face = prepare(path, detect, segment, size)
        except NotPrepared as error:
            say(f"left out: {error}")
            continue
        done.append(face)
        for folder, pixels in (("images", face.image), ("mask", face.labels)):
            with atomic_path(out / folder / f"{len(done)}.png") as temporary:
                Image.fromarray(pixels).save(temporary, format="PNG")
        for remark in face.remarks:
            say(f"note: {path}: {remark}")
    if not done:
        raise UserError(f"of {len(paths)} photographs none could be prepared; the lines above say why")
    write_text(out / POSE_FILE, "".join([f"{len(done)}\n", "Yaw Pitch Roll\n", *pose_lines(done)]))
    write_text(out / "sources.txt", "".join(f"{number}.png {face.source}\n" for number, face in enumerate(done, 1)))
    say(write_lists(out, range(1, len(done) + 1)))
    with atomic_path(out / "report.png") as temporary:
        Image.fromarray(sheet(done, SPACE)).save(temporary, format="PNG")
    return done


def pose_lines(faces: Sequence[Prepared]) -> Iterator[str]:
    """Lines of CelebAMask-HQ's pose file; the crops are upright, so that roll is 0."""
    for number, face in enumerate(faces, 1):
        yield f"{number}.png {face.pose[0]:.2f} {face.pose[1]:.2f} 0.00\n"


def sheet(faces: Sequence[Prepared], space: LabelSpace) -> UInt8[np.ndarray, "height width 3"]:
    """Crops and masks, the first 24."""
    shown = [(face.image, mask_image(torch.from_numpy(face.labels), space.palette)) for face in faces[:24]]
    rows = [[image for pair in shown[start:start + 4] for image in pair] for start in range(0, len(shown), 4)]
    return panel([name for _ in rows[0][::2] for name in ("face", "mask")], rows, 160)
