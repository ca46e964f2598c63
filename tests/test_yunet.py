"""YuNet: OpenCV reads and decodes a file of its format, which is made here, through `load_detector`.

The published file has, for each stride of 8, 16 and 32 pixels, four outputs of one row per cell: the chance of a face,
of an object, the box and the five points. That made here finds a face in every cell that is red enough.
"""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from photos.detectors import SIDE, load_detector

BOX = (0.5, 0.25, math.log(12), math.log(14))       # centre in its cell, width and height in cells
POINTS = (-3.0, -2.0, 3.0, -2.0, 0.0, 1.0, -2.0, 4.0, 2.0, 4.0)     # x and y of each, in cells
OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    nodes, constants, outputs = [], [], []

    def constant(name, values):
        values = np.asarray(values)
        kind = TensorProto.INT64 if values.dtype == np.int64 else TensorProto.FLOAT
        constants.append(helper.make_tensor(name, kind, values.shape, values.flatten().tolist()))
        return name

    for stride in (8, 16, 32):
        cells = (SIDE // stride) ** 2
        nodes.append(helper.make_node("AveragePool", ["input"], [f"mean_{stride}"], kernel_shape=[stride] * 2,
                                      strides=[stride] * 2))
        for name, channels in OUTPUTS.items():
            at = f"{name}_{stride}"
            weight, bias = np.zeros((channels, 3, 1, 1), np.float32), np.zeros(channels, np.float32)
            if channels == 1 and stride == 8:
                weight[:, 2], bias[:] = 1.0, -230.0      # images come as blue, green, red, 0 to 255
            elif channels == 1:
                bias[:] = -20.0
            else:
                bias[:] = BOX if name == "bbox" else POINTS
            inputs = [f"mean_{stride}", constant(f"w_{at}", weight), constant(f"b_{at}", bias)]
            nodes += [helper.make_node("Conv", inputs, [f"conv_{at}"]),
                      helper.make_node("Transpose", [f"conv_{at}"], [f"rows_{at}"], perm=[0, 2, 3, 1]),
                      helper.make_node("Reshape", [f"rows_{at}", constant(f"s_{at}", np.array([1, cells, channels]))],
                                       [at if channels > 1 else f"flat_{at}"])]
            if channels == 1:
                nodes.append(helper.make_node("Sigmoid", [f"flat_{at}"], [at]))
    for name, channels in OUTPUTS.items():
        outputs += [helper.make_tensor_value_info(f"{name}_{stride}", TensorProto.FLOAT,
                                                  [1, (SIDE // stride) ** 2, channels]) for stride in (8, 16, 32)]
    graph = helper.make_graph(nodes, "faces", [helper.make_tensor_value_info("input", TensorProto.FLOAT,
                                                                             [1, 3, SIDE, SIDE])], outputs, constants)
    path = tmp_path_factory.mktemp("yunet") / "made.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), str(path))
    return path


@pytest.mark.parametrize("scale", [1, 2])
def test_faces_are_where_they_are(made, scale):
    """A red cell at row 30, column 20 of a photograph of 640 pixels, and of one twice as large."""
    photo = np.zeros((480 * scale, 640 * scale, 3), np.uint8)
    photo[240 * scale:248 * scale, 160 * scale:168 * scale, 0] = 255
    (face,) = load_detector("auto", made)(photo)
    assert face.score == pytest.approx(1, abs=1e-3)
    column, row = 20, 30
    centre = np.array([(column + BOX[0]) * 8, (row + BOX[1]) * 8])
    np.testing.assert_allclose(face.box, np.array([*(centre - [48, 56]), 96, 112]) * scale, atol=0.1 * scale)
    points = (np.array(POINTS).reshape(5, 2) + np.array([column, row])) * 8
    np.testing.assert_allclose(face.landmarks, points * scale, atol=0.1 * scale)


def test_no_face_and_several(made):
    photo = np.zeros((640, 640, 3), np.uint8)
    detect = load_detector("yunet", made)
    assert detect(photo) == []
    photo[80:88, 80:88, 0], photo[480:488, 480:488, 0] = 255, 240
    faces = detect(photo)
    assert len(faces) == 2
    assert faces[0].score > faces[1].score
    assert faces[0].landmarks.mean() < faces[1].landmarks.mean()
