"""Pose annotations: text files of head poses -> (yaw, pitch) of the camera.

Frontal is yaw = pitch = pi/2; yaw < pi/2 puts the camera on the person's left.
"""

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from configs.data_configs import DataConfig, PoseFormat
from utils.errors import UserError
from utils.files import read_text, reason

# format -> (header lines, angles per line, what a line looks like, magnitude beyond which an angle deserves a word)
_FORMATS: dict[str, tuple[int, int, str, float]] = {
    "celebahq": (2, 3, "'ID.jpg yaw pitch roll' in degrees", 180.0),
    "pseudo": (1, 2, "'ID yaw pitch' in radians", 2 * math.pi),
}


def image_id(path: str | Path) -> int:
    """The integer before the first `_` or `.` of the file name, so that an edited mask 419_hair.png shares 419's pose.

    Raises:
        UserError: the name does not start with an integer.
    """
    match = re.match(r"([0-9]+)(?=[_.]|$)", Path(path).name)
    if match is None:
        raise UserError(f"{path}: the name has no image id, which its pose is looked up by; rename it to ID.png or "
                        "ID_anything.png")
    return int(match[1])


def find_pose_file(mask_folder: str | Path, config: DataConfig) -> Path:
    """The pose file for the masks of `mask_folder`: inside the folder, beside it, or one folder further up.

    Raises:
        UserError: it is in none of these places.
    """
    folder = Path(mask_folder).resolve()
    for place in (folder, *folder.parents[:2]):
        if (place / config.pose_file).is_file():
            return place / config.pose_file
    raise UserError(f"{mask_folder}: there is no {config.pose_file} in this folder or beside it; put one there, "
                    "or leave out `use_original_pose`")


def read_poses(path: str | Path, format: PoseFormat) -> dict[int, tuple[float, float]]:
    """Read a pose file: image id -> (yaw, pitch), radians.

    Format 'celebahq': two header lines, then `ID.jpg yaw pitch roll`, the head's angles in degrees; the camera is at
    yaw = rad(90 - yaw), pitch = rad(90 + pitch); roll is not used. Format 'pseudo': one header line, then
    `ID yaw pitch`, the camera's angles in radians. Empty lines do not count, further columns are not read, and of two
    lines for one image the later one holds.

    Raises:
        UserError: the file cannot be read, or a line is malformed.

    Warns:
        UserWarning: two lines say different things of one image, or angles are larger than a turn of the head.
    """
    header_lines, angles, expected, limit = _FORMATS[format]
    try:
        lines = [(number, line) for number, line in enumerate(read_text(path).splitlines(), start=1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this pose file cannot be read ({reason(error)}); give a text file with lines "
                        f"{expected}") from error
    poses: dict[int, tuple[float, float]] = {}
    twice, large = [], []
    for number, line in lines[:header_lines]:
        if _parse(line, angles) is not None:
            raise UserError(f"{path}, line {number}: {line.strip()!r} looks like a pose, but {header_lines} heading "
                            "line(s) come first; put them above the poses")
    for number, line in lines[header_lines:]:
        parsed = _parse(line, angles)
        if parsed is None:
            raise UserError(f"{path}, line {number}: {line.strip()!r} is not {expected}; mend this line")
        identity, (yaw, pitch) = parsed
        if max(abs(yaw), abs(pitch)) > limit:
            large.append(number)
        if format == "celebahq":
            yaw, pitch = math.radians(90 - yaw), math.radians(90 + pitch)
        if poses.get(identity, (yaw, pitch)) != (yaw, pitch):
            twice.append(number)
        poses[identity] = (yaw, pitch)
    for numbers, what in ((twice, "says something else of an image than a line above, and holds"),
                          (large, f"has an angle beyond {limit:.4g}, where {expected} is expected")):
        if numbers:
            more = f" (and {len(numbers) - 1} more lines)" if len(numbers) > 1 else ""
            warnings.warn(f"{path}, line {numbers[0]}{more}: {what}", stacklevel=2)
    return poses


def poses_of(masks: Sequence[Path], config: DataConfig, otherwise: str) -> dict[int, tuple[float, float]]:
    """Image id -> pose, of all images of these masks' pose files; every mask has one.

    Args:
        otherwise: what else than adding a missing pose can be done, for the message.

    Raises:
        UserError: a pose or a file is missing, or a file is not well formed.
    """
    poses: dict[int, tuple[float, float]] = {}
    files = list(dict.fromkeys(find_pose_file(folder, config) for folder in dict.fromkeys(p.parent for p in masks)))
    for file in reversed(files):
        poses |= read_poses(file, config.pose_format)
    missing = [path for path in masks if image_id(path) not in poses]
    if missing:
        more = f" (and for {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{files[0]}: no pose for mask {missing[0].name}, image {image_id(missing[0])}{more}; add a "
                        f"line for it, or {otherwise}")
    return poses


def _parse(line: str, angles: int) -> tuple[int, tuple[float, float]] | None:
    """`ID[.jpg] yaw pitch ...` -> (id, (yaw, pitch)), or None where the line is anything else."""
    name, *values = line.split()
    try:
        numbers = [float(value) for value in values[:angles]]
        identity = image_id(name)
    except (ValueError, UserError):
        return None
    if len(numbers) < angles or not all(map(math.isfinite, numbers)):
        return None
    return identity, (numbers[0], numbers[1])
