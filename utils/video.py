"""Writing videos frame by frame, so that memory does not grow with their length."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from utils.errors import UserError
from utils.files import atomic_path

FRAMES_PER_SECOND = 25 / 1.5  # of the 2022 release: 25, played 1.5 times as long


def write_video(path: str | Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], size: int) -> None:
    """Write square frames to `path`, as H.264 (.mp4, yuv420p, which every player reads) or animated .gif.

    Args:
        frames: images of size x size; they are taken one at a time.
        size: pixels; H.264 needs an even number, so an odd size is extended by repeating the last row and column.

    Raises:
        UserError: the file cannot be written or ffmpeg fails.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        if path.suffix == ".gif":
            _write_gif(temporary, frames)
        else:
            _write_mp4(temporary, path.name, frames, size)


def _write_mp4(path: Path, name: str, frames: Iterable[np.ndarray], size: int) -> None:
    even = size + size % 2
    with tempfile.TemporaryFile() as words:
        try:
            ffmpeg = subprocess.Popen(
                [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
                 "-s", f"{even}x{even}", "-r", str(FRAMES_PER_SECOND), "-i", "-", "-an", "-c:v", "libx264",
                 "-pix_fmt", "yuv420p", "-crf", "14", "-preset", "medium", "-movflags", "+faststart", str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{name}: there is no ffmpeg that can be started ({error}); install one and name it in "
                            "IMAGEIO_FFMPEG_EXE, or try `video_format` gif") from error
        assert ffmpeg.stdin is not None
        try:
            for frame in frames:
                padded = np.pad(frame, ((0, even - size), (0, even - size), (0, 0)), mode="edge")
                ffmpeg.stdin.write(padded.tobytes())
            ffmpeg.stdin.close()
        except OSError:
            pass  # it has ended: its words say why
        except BaseException:
            ffmpeg.kill()
            raise
        finally:
            code = ffmpeg.wait()
        if code:
            raise UserError(f"{name}: ffmpeg could not write the video ({_last_words(words, path, name)}); try "
                            "`video_format` gif")


def _last_words(words: IO[bytes], path: Path, name: str) -> str:
    """What ffmpeg said last, about the video and not about its temporary file."""
    words.seek(0)
    lines = words.read().decode(errors="replace").replace(str(path), name).splitlines()
    return "; ".join([line.strip() for line in lines if line.strip()][-3:]) or "it ended without a word"


def _write_gif(path: Path, frames: Iterable[np.ndarray]) -> None:
    images = (Image.fromarray(frame).quantize(256, method=Image.Quantize.MEDIANCUT) for frame in frames)
    next(images).save(path, format="GIF", save_all=True, append_images=images, loop=0,
                      duration=round(1000 / FRAMES_PER_SECOND))
