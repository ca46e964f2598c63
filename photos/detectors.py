"""Face detectors that give five points: YuNet (by OpenCV) and MTCNN (of facenet-pytorch).

    detect = load_detector("yunet", "pretrained_models/face_detection_yunet_2023mar.onnx")
    for face in detect(pixels): face.box, face.landmarks, face.score       # best first
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from configs.paths_config import YUNET_PAGE, YUNET_WEIGHTS
from photos.alignment import Landmarks
from utils.errors import UserError

DETECTORS = ("auto", "yunet", "mtcnn")
LEAST_SCORE = {"yunet": 0.7, "mtcnn": 0.9}
SIDE = 640      # of YuNet's input: the older file knows no other in OpenCV 5; smaller images are not enlarged
GET_MTCNN = "pip install requests && pip install --no-deps facenet-pytorch"


@dataclass(frozen=True)
class Face:
    """A face in an image."""

    box: Float[np.ndarray, "4"]     # left, top, width, height; pixels
    landmarks: Landmarks
    score: float                    # 0 to 1


Detect = Callable[[UInt8[np.ndarray, "height width 3"]], list[Face]]    # RGB -> faces, the most certain first


def load_detector(name: str, weights: str | Path | None = None) -> Detect:
    """A detector that is ready to use; `auto` is YuNet where its file is there, else MTCNN.

    Raises:
        UserError: its file is missing or holds something else, or its package is not installed.
    """
    path = Path(weights) if weights is not None else YUNET_WEIGHTS
    if name == "yunet" or (name == "auto" and path.is_file()) or weights is not None:
        return yunet(path)
    return mtcnn(otherwise=f"; or put {YUNET_WEIGHTS.name} from {YUNET_PAGE} into {YUNET_WEIGHTS.parent}/")


def yunet(path: str | Path) -> Detect:
    """YuNet from its ONNX file.

    Raises:
        UserError: the file is missing or holds something else.
    """
    if not Path(path).is_file():
        raise UserError(f"`detector_weights` {path}: there is no such file; get {YUNET_WEIGHTS.name} from "
                        f"{YUNET_PAGE}, or use `detector` mtcnn ({GET_MTCNN})")
    try:
        network = cv2.FaceDetectorYN.create(str(path), "", (SIDE, SIDE), LEAST_SCORE["yunet"])
    except cv2.error as error:
        raise UserError(f"`detector_weights` {path}: OpenCV cannot read this as YuNet; get {YUNET_WEIGHTS.name} from "
                        f"{YUNET_PAGE}") from error

    def detect(pixels: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        scale = min(1.0, SIDE / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
        canvas[:small.shape[0], :small.shape[1]] = small[..., ::-1]
        _, found = network.detect(canvas)
        return [Face(row[:4] / scale, row[4:14].reshape(5, 2) / scale, float(row[14]))
                for row in sorted(found if found is not None else [], key=lambda row: -row[14])]

    return detect


def mtcnn(otherwise: str = "") -> Detect:
    """MTCNN, whose weights the package facenet-pytorch brings along.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from facenet_pytorch import MTCNN  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise UserError(f"`detector` mtcnn needs facenet-pytorch: {GET_MTCNN}{otherwise}") from error
    network = MTCNN(keep_all=True, device="cpu")

    def detect(pixels: UInt8[np.ndarray, "height width 3"]) -> list[Face]:
        boxes, scores, points = network.detect(pixels, landmarks=True)
        if boxes is None:
            return []
        faces = [Face(np.array([*box[:2], *(np.array(box[2:]) - box[:2])], np.float64),
                      np.asarray(five, np.float64), float(score))
                 for box, score, five in zip(boxes, scores, points, strict=True)]
        return sorted((face for face in faces if face.score >= LEAST_SCORE["mtcnn"]), key=lambda face: -face.score)

    return detect
