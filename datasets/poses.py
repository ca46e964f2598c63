"""Pose annotations: text files of head poses -> (yaw, pitch) of the camera.

Frontal is yaw = pitch = pi/2; yaw < pi/2 puts the camera on the person's left.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from configs.data_configs import DataConfig, PoseFormat
from utils.errors import UserError

# format -> (header lines, angles per line, what a line looks like, largest believable magnitude in the file's unit)
_FORMATS: dict[str, tuple[int, int, str, float]] = {
    "celebahq": (2, 3, "'ID.jpg yaw pitch roll' in degrees", 180.0),
    "pseudo": (1, 2, "'ID yaw pitch' in radians", 2 * math.pi),
}


def image_id(path: str | Path) -> int:
    """The integer before the first `_` or `.` of the file name, so that an edited mask 419_hair.png shares 419's pose.

    Raises:
        UserError: the name does not start with an integer.
    """
    name = Path(path).name
    match = re.match(r"([0-9]+)(?=[_.]|$)", name)
    if match is None:
        raise UserError(f"{path}: the name has no image id, which its pose is looked up by; rename it to ID.png or "
                        "ID_anything.png")
    return int(match[1])


def find_pose_file(mask_folder: str | Path, config: DataConfig) -> Path:
    """The pose file for the masks of `mask_folder`: inside the folder, or else beside it.

    Raises:
        UserError: it is in neither place.
    """
    folder = Path(mask_folder).resolve()
    for place in (folder, folder.parent):
        if (place / config.pose_file).is_file():
            return place / config.pose_file
    raise UserError(f"{mask_folder}: there is no {config.pose_file} in this folder or beside it; put one there, "
                    "or leave out `use_original_pose`")


def read_poses(path: str | Path, format: PoseFormat) -> dict[int, tuple[float, float]]:
    """Read a pose file: image id -> (yaw, pitch), radians.

    Format 'celebahq': two header lines, then `ID.jpg yaw pitch roll`, the head's angles in degrees; the camera is at
    yaw = rad(90 - yaw), pitch = rad(90 + pitch); roll is not used. Format 'pseudo': one header line, then
    `ID yaw pitch`, the camera's angles in radians.

    Raises:
        UserError: the file cannot be read, a line is malformed or an id comes twice.
    """
    header_lines, angles, expected, limit = _FORMATS[format]
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this pose file cannot be read ({_reason(error)}); give a text file with lines "
                        f"{expected}") from error
    poses: dict[int, tuple[float, float]] = {}
    for number, line in enumerate(lines, start=1):
        parsed = _parse(line, angles, limit)
        if number <= header_lines:
            if parsed is not None:
                raise UserError(f"{path}, line {number}: {line.strip()!r} looks like a pose, but "
                                f"{header_lines} heading line(s) come first; put them above the poses")
            continue
        if not line.strip():
            continue
        if parsed is None:
            raise UserError(f"{path}, line {number}: {line.strip()!r} is not {expected}; mend this line")
        identity, (yaw, pitch) = parsed
        if identity in poses:
            raise UserError(f"{path}, line {number}: image {identity} already has a pose above; remove one of the two")
        if format == "celebahq":
            yaw, pitch = math.radians(90 - yaw), math.radians(90 + pitch)
        poses[identity] = (yaw, pitch)
    return poses


def poses_of(
    masks: Sequence[Path], file: Path, format: PoseFormat, otherwise: str, kind: str = ""
) -> dict[int, tuple[float, float]]:
    """The poses of a pose file, see `read_poses`; every mask has one.

    Args:
        otherwise: what else than adding a missing pose can be done, for the message.
        kind: a word before the mask's name there.

    Raises:
        UserError: a pose is missing, or the file is not well formed.
    """
    poses = read_poses(file, format)
    missing = [path for path in masks if image_id(path) not in poses]
    if missing:
        more = f" (and for {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{file}: no pose for {kind}{missing[0].name}, image {image_id(missing[0])}{more}; add a line "
                        f"for it, or {otherwise}")
    return poses


def _parse(line: str, angles: int, limit: float) -> tuple[int, tuple[float, float]] | None:
    """`ID[.jpg] yaw pitch ...` -> (id, (yaw, pitch)), or None where the line is anything else."""
    match line.split():
        case [name, *values] if len(values) == angles:
            try:
                numbers = [float(value) for value in values]
                identity = image_id(name)
            except (ValueError, UserError):
                return None
            if all(abs(number) <= limit for number in numbers):  # False for nan
                return identity, (numbers[0], numbers[1])
    return None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"
