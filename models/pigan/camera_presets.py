"""The camera and compositing constants that a pretrained pi-GAN goes with."""

from dataclasses import dataclass

from configs.data_configs import canonical_preset


@dataclass(frozen=True)
class CameraPreset:
    """Where a pi-GAN's camera stands and how its rays are composited.

    Distances are in world units; the camera is at distance 1 from the origin.
    """

    name: str
    fov_deg: float  # edge to edge
    ray_start: float
    ray_end: float
    last_back: bool  # in training: the last sample takes the left-over weight
    eval_last_back: bool  # the same, at inference
    clamp_mode: str = "relu"


CAMERA_PRESETS = {
    camera_preset.name: camera_preset
    for camera_preset in (
        CameraPreset("CelebAMask_HQ", fov_deg=12, ray_start=0.88, ray_end=1.12, last_back=True, eval_last_back=True),
        CameraPreset("CatMask", fov_deg=18, ray_start=0.8, ray_end=1.2, last_back=False, eval_last_back=True),
    )
}


def get_camera_preset(name: str) -> CameraPreset:
    """Look up a camera preset by its name or its old name.

    Raises:
        UserError: there is none of that name.
    """
    return CAMERA_PRESETS[canonical_preset(name)]
