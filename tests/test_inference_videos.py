"""Videos of scripts/inference3d.py, read back frame by frame."""

import imageio_ffmpeg
import numpy as np
import pytest
from inferring import infer
from PIL import Image

from models.pigan.trajectories import front_trajectory
from models.sem2nerf import Sem2NeRF
from utils.images import to_uint8


def read_video(path):
    frames = imageio_ffmpeg.read_frames(str(path))
    info = next(frames)
    width, height = info["size"]
    return info, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]


@pytest.mark.parametrize("size", [32, 17])
def test_video_frame_by_frame(tmp_path, weights, faces, size):
    """Number of frames, size, pixel format; each frame is its own camera's view of the scene and no other's.

    Colour is stored at half resolution, so brightness is compared. Compression costs 2 of 255; the weights' colours are
    so rich that another camera's view is 8 to 9 away. The path ends where it began.
    """
    infer(tmp_path, weights, faces / "90001.png", "--render_videos", "--num_frames=5", f"--test_output_size={size}",
          "--latent_mask=", "--n_outputs_to_generate=1")
    info, frames = read_video(tmp_path / f"iter_500_infer_videos_{size}/90001.mp4")
    even = size + size % 2
    assert info["codec"] == "h264"
    assert info["fps"] == pytest.approx(25 / 1.5, abs=0.01), "as slow as the release plays"
    assert info["pix_fmt"].startswith("yuv420p")
    assert info["size"] == (even, even)
    assert len(frames) == 5
    scene = Sem2NeRF.from_checkpoint(weights).scene(faces / "90001.png")
    views = np.stack([brightness(to_uint8(scene.render(camera, size, 4).rgb)) for camera in front_trajectory(5)])
    shown = np.stack([brightness(frame[:size, :size]) for frame in frames])
    error = np.abs(shown[:, None] - views[None]).mean((2, 3))  # (frame, camera)
    own = np.eye(5, dtype=bool)
    own[0, 4] = own[4, 0] = True
    assert error[own].max() < 3, error
    assert error[~own].min() > 6, error


def brightness(image):
    return image @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as the video stores it


def test_ping_pong_video_and_gif(tmp_path, weights, faces):
    """Frames 1 2 3 4 3 2: frame 6 is frame 2, and not frame 3."""
    options = ["--render_videos", "--num_frames=4", "--video_rev_end", "--trajectory=orbit",
               "--n_outputs_to_generate=1"]
    infer(tmp_path, weights, faces / "90001.png", *options, "--video_format=gif")
    gif = Image.open(next(tmp_path.rglob("*.gif")))
    assert gif.n_frames == 6
    assert gif.info["duration"] == 60
    infer(tmp_path, weights, faces / "90001.png", *options)
    _, frames = read_video(next(tmp_path.rglob("*.mp4")))
    assert len(frames) == 6
    images = []
    for i in range(6):
        gif.seek(i)
        images.append(np.array(gif.convert("RGB")))
    for film in (frames, images):
        difference = [np.abs(film[1].astype(int) - film[i]).mean() for i in (5, 2)]
        assert difference[0] < 4 < 8 < difference[1], difference
