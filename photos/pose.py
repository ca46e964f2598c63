"""A head's pose from five points of the face: a model head is turned until its points lie where they were found.

    yaw_deg, pitch_deg = head_pose(landmarks)       # of the head, as in CelebAMask-HQ's pose file
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from photos.alignment import Landmarks

# an average head's points, in distances between the eyes: x to the image's right, y down, z towards the camera
MODEL = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.62, 0.42], [-0.4, 1.12, 0.05], [0.4, 1.12, 0.05]])
# What the pose file says for each degree that the model head turns: fitted to the points that MTCNN finds on
# computer-made heads whose pose is known (yaw: correlation .99, median error 1 degree; pitch: .86 and 1.4 degrees).
YAW, PITCH = -0.77, -0.53


def head_pose(landmarks: Landmarks) -> tuple[float, float]:
    """Yaw and pitch in degrees, as pose files of CelebAMask-HQ have them: yaw < 0 where the head looks to the image's
    right, pitch < 0 where it looks down.

    Orthographic: the affine map of the model's points to those found is fitted by least squares and its nearest
    rotation taken; what the camera's distance does to a face is within the error of five points.
    """
    points = landmarks - landmarks.mean(0)
    model = MODEL - MODEL.mean(0)
    rows: Float[np.ndarray, "2 3"] = np.linalg.lstsq(model, points, rcond=None)[0].T
    u, _, v = np.linalg.svd(rows, full_matrices=False)
    first, second = u @ v
    forward = np.cross(first, second)       # the model's axis towards the camera, seen from the camera: third row
    rotation = np.stack([first, second, forward])
    looks = rotation @ np.array([0.0, 0.0, 1.0])
    turned, bowed = np.arctan2(looks[0], looks[2]), np.arcsin(np.clip(looks[1], -1, 1))
    return YAW * float(np.degrees(turned)), PITCH * float(np.degrees(bowed))
