"""What others see in SynthHeads: a face detector that was trained on photographs (facenet-pytorch's MTCNN).

    pip install --no-deps facenet-pytorch && pip install requests    # its weights are in the package
"""

import math

import numpy as np
import pytest

from synth_heads.generator import LATENT_DIM, Head, render

mtcnn = pytest.importorskip("facenet_pytorch", reason="facenet-pytorch is not installed (a judge for developers)").MTCNN
pytestmark = pytest.mark.slow

SURE = 0.95  # MTCNN's probability of a face


@pytest.fixture(scope="module")
def judged():
    """For 100 heads: the probability of a face in the frontal view; a turned view's yaw and the five landmarks in it.

    Landmarks (5, 2): the eyes, the nose and the corners of the mouth, in pixels, from left to right of the image.
    """
    detector = mtcnn(device="cpu")
    probabilities, turns = [], []
    for seed in range(100):
        rng = np.random.default_rng((99, seed))
        head = Head.from_latent(rng.standard_normal(LATENT_DIM))
        _, found = detector.detect(render(head, math.pi / 2, math.pi / 2, 256).rgb)
        probabilities.append(found[0] or 0.0)
        yaw, pitch = math.pi / 2 + rng.uniform(-0.6, 0.6), math.pi / 2 + rng.uniform(-0.15, 0.15)
        _, _, landmarks = detector.detect(render(head, yaw, pitch, 256).rgb, landmarks=True)
        if landmarks is not None:
            turns.append((yaw, landmarks[0]))
    return np.array(probabilities), turns


def test_a_face_detector_finds_a_face_in_frontal_views(judged):
    probabilities, _ = judged
    print(f"faces found: {(probabilities > SURE).mean():.2%}, least probability {probabilities.min():.4f}")
    assert (probabilities > SURE).mean() >= 0.99


def test_the_yaw_that_landmarks_show_is_the_camera_s(judged):
    _, turns = judged
    assert len(turns) >= 97
    shown = []
    for _, (left_eye, right_eye, nose, *mouth) in turns:
        # the nose stands out: when the head turns it moves sideways, relative to the middle of eyes and mouth
        eyes, lips = (left_eye + right_eye) / 2, (mouth[0] + mouth[1]) / 2
        size = max(np.linalg.norm(right_eye - left_eye), np.linalg.norm(eyes - lips))
        shown.append((nose - (eyes + lips) / 2)[0] / size)
    correlation = np.corrcoef([yaw for yaw, _ in turns], shown)[0, 1]
    print(f"{len(turns)} turned views found; correlation of the yaws {correlation:.4f}")
    assert correlation > 0.95  # positive: with a smaller yaw the nose points to the left of the image
