"""Writing videos frame by frame, so that memory does not grow with their length."""

from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from utils.errors import UserError
from utils.files import atomic_path

FRAMES_PER_SECOND = 25 / 1.5  # of the 2022 release: 25, played 1.5 times as long


def write_video(path: str | Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], size: int) -> int:
    """Write square frames to `path`, as H.264 (.mp4, yuv420p, which every player reads) or animated .gif.

    Args:
        frames: images of size x size; they are taken one at a time.
        size: pixels; H.264 needs an even number, so an odd size is extended by repeating the last row and column.

    Returns:
        the number of frames written.

    Raises:
        UserError: the file cannot be written or ffmpeg fails.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        return _write_gif(temporary, frames) if path.suffix == ".gif" else _write_mp4(temporary, frames, size)


def _write_mp4(path: Path, frames: Iterable[np.ndarray], size: int) -> int:
    even = size + size % 2
    writer = imageio_ffmpeg.write_frames(
        str(path), (even, even), fps=FRAMES_PER_SECOND, codec="libx264", pix_fmt_out="yuv420p", macro_block_size=1,
        output_params=["-crf", "14", "-preset", "medium", "-movflags", "+faststart"], quality=None,  # pyright: ignore[reportArgumentType]  (None: -crf decides)
        ffmpeg_log_level="error")
    count = 0
    try:
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(np.pad(frame, ((0, even - size), (0, even - size), (0, 0)), mode="edge")))
            count += 1
    except OSError as error:  # ffmpeg ended: its own words are in the message
        raise UserError(f"{path.name}: ffmpeg could not write the video ({str(error).strip().splitlines()[-1]}); try "
                        "`video_format` gif") from error
    finally:
        writer.close()
    return count


def _write_gif(path: Path, frames: Iterable[np.ndarray]) -> int:
    images = (Image.fromarray(frame).quantize(256, method=Image.Quantize.MEDIANCUT) for frame in frames)
    count = 1

    def rest() -> Iterable[Image.Image]:
        nonlocal count
        for image in images:
            count += 1
            yield image

    next(images).save(path, format="GIF", save_all=True, append_images=rest(), loop=0,
                      duration=round(1000 / FRAMES_PER_SECOND))
    return count
